"""`make bench [ONLY=<name>] [QUICK=1]`: measure speed and memory, as ratios to a peer or a limit in the same run.

A benchmark is a module `bench_<name>.py` of this folder. Its `measure()` returns or yields `Result`s. Absolute
times drift on shared machines, so quote the ratio.
"""

import importlib
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from peers import running
from quick import QUICK, is_quick, make_quick

from dataset.progress import progress

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Result:
    """One printed line: our value and that of a peer (or a limit), both in `unit`."""

    what: str
    ours: float
    peer: str
    peers: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.ours / self.peers


def main(names: list[str]) -> None:
    known = sorted(path.stem for path in FOLDER.glob("bench_*.py"))
    chosen = [f"bench_{name}" for name in names] or known
    if unknown := sorted(set(chosen) - set(known)):
        rows = ", ".join(name.removeprefix("bench_") for name in known)
        sys.exit(f"make bench: no benchmark {unknown[0].removeprefix('bench_')!r}; ONLY=<name> takes one of {rows}")
    sys.path.insert(0, str(FOLDER))
    print(f"{machine()}\n")
    if is_quick():
        print(
            "QUICK=1: smaller sizes, so these are not the figures of the README; names of rows keep the usual sizes.\n"
        )
    print(f"{'what':<44} {'ours':>14} {'peer':>14}  {'ratio':>6}  against")
    for name in chosen:
        if is_quick() and QUICK[name.removeprefix("bench_")] is None and not names:
            print(f"  {name.removeprefix('bench_')}: left out by QUICK=1", flush=True)
            continue
        for result in _at_work(name, make_quick(importlib.import_module(name))):
            ours, peers = f"{_number(result.ours)} {result.unit}", _number(result.peers)
            print(f"{result.what:<44} {ours:>14} {peers:>14}  {result.ratio:>6.2f}  {result.peer}", flush=True)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of this process: {peak_gib:.1f} GiB")


def _at_work(name: str, module: ModuleType) -> Iterator[Result]:
    """Yield the rows of a benchmark; while it is at work on the next one, a line says so every 30 s."""
    rows = 0
    with progress("") as bars:
        bars.add_task(
            f"Measuring {name.removeprefix('bench_')}",
            total=None,
            now=lambda: f"{rows} rows so far, {running[-1] if running else 'this project'} is at work",
        )
        for result in module.measure():
            rows += 1
            yield result


def run_command(module: str, *arguments: object) -> None:
    """Run `python -m <module>` and print how long it took; stop with its last words if it fails."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"make bench: {' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    print(f"  python -m {module}: {time.perf_counter() - started:.0f} s", flush=True)


def chosen_jobs() -> int:
    """Return how much is measured at the same time, `BENCH_JOBS`; 1 by default."""
    return int(os.environ.get("BENCH_JOBS", "1"))


def chosen_device() -> str:
    """Return what trains, `BENCH_DEVICE`: "cpu", the default, or "cuda"."""
    return os.environ.get("BENCH_DEVICE", "cpu")


def jobs_and_devices() -> list[object]:
    """Return the options of `model.experiment` that the environment asks for; none leaves it to the command."""
    jobs = ["--jobs", chosen_jobs()] if "BENCH_JOBS" in os.environ else []
    return jobs + (["--devices", chosen_device()] if "BENCH_DEVICE" in os.environ else [])


def machine() -> str:
    """Return one line about this machine: processor, support of bfloat16, memory, GPU, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    capabilities = [
        name.upper() for name, has in torch.cpu.get_capabilities().items() if "bf16" in name and has is True
    ]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{os.cpu_count()} cores of {processor} ({', '.join(capabilities) or 'no bfloat16'}), {memory_gib:.0f} GiB, "
        f"{gpu}; Python {platform.python_version()}, torch {torch.__version__}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
