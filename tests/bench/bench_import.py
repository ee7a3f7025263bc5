"""Import of 400,000 ratings beside a long text column: memory, against the same file without that column; and speed."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from run import Result

N_ROWS, N_TEXTS, TEXT_CHARACTERS = 400_000, 1_000, 800
LIMIT = 1.25
COLUMNS = ("--rating-column", "rating", "--time-column", "when")
PROGRAM = """
import sys
from pathlib import Path
from dataset.__main__ import main
main(sys.argv[1:])
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # getrusage would count this process too
"""


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = _ratings()
        for kind, write in (("csv", pl.DataFrame.write_csv), ("parquet", pl.DataFrame.write_parquet)):
            peaks_mib = []
            for part, columns in (("with", table.columns), ("without", table.drop("review").columns)):
                file = folder / f"{part}.{kind}"
                write(table.select(columns), file)
                peaks_mib.append(_import(file, folder / f"raw {part} {kind}"))
            what = f"import of {N_ROWS:,} rows with long texts, {kind}: memory"
            yield Result(what, peaks_mib[0], f"without the texts, limit {LIMIT}", peaks_mib[1], "MiB")
        started = time.perf_counter()
        _import(folder / "without.csv", folder / "raw again")
        rate = N_ROWS / (time.perf_counter() - started)
        yield Result("import of a CSV file, as a command", rate, "limit", 50_000, "rows/s")


def _ratings() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    texts = ["".join(chr(97 + n) for n in generator.integers(0, 26, TEXT_CHARACTERS)) for _ in range(N_TEXTS)]
    return pl.DataFrame({
        "user": generator.integers(0, 50_000, N_ROWS),
        "item": generator.integers(0, 20_000, N_ROWS),
        "rating": generator.integers(1, 6, N_ROWS),
        "when": generator.integers(1_000_000_000, 1_700_000_000, N_ROWS),
        "review": [f"{texts[n % N_TEXTS]} {n}" for n in range(N_ROWS)],
    })  # fmt: skip


def _import(file: Path, raw: Path) -> float:
    """Import a file in a process of its own; return its peak memory in MiB."""
    line = [sys.executable, "-c", PROGRAM, "import", str(file), "--to", str(raw), *COLUMNS]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024
