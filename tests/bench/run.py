"""`make bench [ONLY=<name>]`: measure speed and memory, each as a ratio to a peer or a limit in the same run.

A row is a module of this folder with `measure()`, which returns or yields `Result`s. Absolute times drift on shared
machines; the ratio is what to quote.
"""

import importlib
import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Result:
    """What a row found: ours against a peer, both as rates in `unit` a second."""

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
        sys.exit(f"make bench: no row {unknown[0].removeprefix('bench_')!r}; ONLY=<name> takes one of {rows}")
    sys.path.insert(0, str(FOLDER))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, one run of all rows\n")
    print(f"{'what':<44} {'ours':>14} {'peer':>14}  {'ratio':>6}  against")
    for name in chosen:
        for result in importlib.import_module(name).measure():
            ours, peers = f"{result.ours:,.1f} {result.unit}", f"{result.peers:,.1f}"
            print(f"{result.what:<44} {ours:>14} {peers:>14}  {result.ratio:>6.2f}  {result.peer}", flush=True)
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of this process: {peak_gib:.1f} GiB")


if __name__ == "__main__":
    main(sys.argv[1:])
