"""Import of 50,000 small pictures from tar files, against the same pictures as files of a folder: rate and memory.

`BENCH_SHARDS_PICTURES=1000000` takes a million, from tar files alone: the folder would take longer than all the rest.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from run import Result

N_PICTURES = int(os.environ.get("BENCH_SHARDS_PICTURES", "50000"))
PER_SHARD, PER_ITEM, N_SEEDS, SIDE_PX = 10_000, 5, 200, 64
MOST_IN_FOLDER = 100_000
LIMIT_MIB = 1024


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (f"u{number % 997},{number}\n" for number in range(-(-N_PICTURES // PER_ITEM)))
        (folder / "ratings.csv").write_text("user,item\n" + "".join(lines))
        _write_shards(folder / "shards")
        from_shards, peak_mib = _import(folder, "shards")
        what = f"import of {N_PICTURES:,} pictures from tar files"
        if N_PICTURES <= MOST_IN_FOLDER:
            _write_files(folder / "files")
            from_files, _ = _import(folder, "files")
            yield Result(what, from_shards, "the same as files of a folder", from_files, "pictures/s")
        else:
            yield Result(what, from_shards, "limit", 500, "pictures/s")
        yield Result("the same: peak memory of all processes", peak_mib, "limit", LIMIT_MIB, "MiB")


def _pictures() -> Iterator[tuple[str, bytes]]:
    """Yield names and distinct JPEGs: a few pictures, each time with another comment."""
    generator = np.random.default_rng(0)
    seeds = []
    for _ in range(N_SEEDS):
        content = io.BytesIO()
        levels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(levels).resize((SIDE_PX, SIDE_PX)).save(content, "JPEG")
        seeds.append(content.getvalue())
    for number in range(N_PICTURES):
        seed, comment = seeds[number % N_SEEDS], f"{number:010d}".encode()
        with_comment = seed[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + seed[2:]
        yield f"{number // PER_ITEM}/{number}.jpg", with_comment


def _write_shards(folder: Path) -> None:
    folder.mkdir()
    pictures = _pictures()
    for number in range(-(-N_PICTURES // PER_SHARD)):
        with tarfile.open(folder / f"{number:06d}.tar", "w") as tar:
            for name, content in islice(pictures, PER_SHARD):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _write_files(folder: Path) -> None:
    for name, content in _pictures():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _import(folder: Path, pictures: str) -> tuple[float, float]:
    """Import in a process of its own; return pictures per second, and the peak memory of it and its children in MiB."""
    raw = folder / f"raw-{pictures}"
    line = [
        sys.executable,
        "-m",
        "dataset",
        "import",
        folder / "ratings.csv",
        "--pictures",
        folder / pictures,
        "--to",
        raw,
    ]
    started, peak_mib = time.perf_counter(), 0.0
    with subprocess.Popen([*map(str, line), "--quiet"], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_mib = max(peak_mib, _memory_mib(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit("make bench: the import failed")
    return N_PICTURES / (time.perf_counter() - started), peak_mib


def _memory_mib(process_id: int) -> float:
    """Return the memory of a process and its children, pages that they share counted once per process."""
    try:
        threads = Path(f"/proc/{process_id}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        texts = [Path(f"/proc/{number}/status").read_text() for number in (process_id, *children)]
    except OSError:  # one has ended
        return 0.0
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts if "VmRSS:" in text) / 1024
