"""The 5-core of 200 million interactions, Parquet of strings to Parquet: peak memory against 16 GiB. Takes minutes."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from run import Result

N_ROWS, N_PARTS, LIMIT_GIB = 200_000_000, 20, 16

_CHILD = """
import resource, sys
from pathlib import Path
from dataset.building.kcore import k_core_parquet
n, kept, _ = k_core_parquet(Path(sys.argv[1]), Path(sys.argv[2]))
print(n, kept, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parts").mkdir()
        for part in range(N_PARTS):
            _write_part(part, folder / "parts" / f"{part:03}.parquet")
        command = [sys.executable, "-c", _CHILD, str(folder / "parts"), str(folder / "core.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the filter failed: {done.stderr[-2000:]}")
    n, kept, peak_gib = done.stdout.split()
    print(f"  {int(n):,} rows, {int(kept):,} kept", flush=True)
    return [Result("5-core of 200 million, Parquet: peak", float(peak_gib), "limit", LIMIT_GIB, "GiB")]


def _write_part(part, path):
    rng, n = np.random.default_rng(part), N_ROWS // N_PARTS
    users = (rng.pareto(0.9, n) * N_ROWS / 1000).astype(np.int64) % (N_ROWS // 10)
    items = (rng.pareto(0.8, n) * N_ROWS / 10_000).astype(np.int64) % (3 * N_ROWS // 100)
    ids = pl.DataFrame({"user_id": users, "movie_id": items})
    ids.select(
        pl.format("user-{}", "user_id").alias("user_id"), pl.format("m{}", "movie_id").alias("movie_id")
    ).write_parquet(path)
