"""Import of 250,000 x 4096 float16 vectors from a .npy: speed against pyarrow alone, and memory."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from run import Result

from dataset.description import write_description
from dataset.schema import FrameLike, Interaction, Quarantine, SnapshotFrame, SnapshotMovie
from dataset.tables import empty, fill_columns, write_table

N_VECTORS, WIDTH, BLOCK = 250_000, 4096, 10_000
LIMIT, LIMIT_MIB = 0.5, 2048
PROGRAM = """
import sys, time
from pathlib import Path
from features.__main__ import main
started = time.perf_counter()
main(sys.argv[1:])
print(time.perf_counter() - started)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # getrusage would count this process too
"""


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrix = _matrix(folder / "image_feat.npy")
        dataset = _dataset(folder / "dataset")
        ids = folder / "ids.txt"
        ids.write_text("\n".join(_frame_ids()) + "\n")
        line = ["import", str(matrix), "--ids", str(ids), "--dataset", str(dataset)]
        done = subprocess.run([sys.executable, "-c", PROGRAM, *line], capture_output=True, text=True, check=True)
        seconds, peak_kib = (float(value) for value in done.stdout.splitlines()[-2:])
        peer_s = _pyarrow(matrix, folder / "alone.parquet")
        mb = N_VECTORS * WIDTH * 2 / 1e6
        yield Result(
            f"import of {N_VECTORS:,} x {WIDTH:,} from .npy",
            mb / seconds,
            f"pyarrow alone, limit {LIMIT}",
            mb / peer_s,
            "MB/s",
        )
        yield Result("the same: peak memory", peak_kib / 1024, "limit", LIMIT_MIB, "MiB")


def _frame_ids() -> list[str]:
    return [f"f{number:07}" for number in range(N_VECTORS)]


def _matrix(path: Path) -> Path:
    """Write vectors in which two of three values are 0, as in fc7."""
    rng = np.random.default_rng(0)
    matrix = np.lib.format.open_memmap(path, "w+", np.float16, (N_VECTORS, WIDTH))
    for start in range(0, N_VECTORS, BLOCK):
        values = rng.standard_normal((BLOCK, WIDTH), dtype=np.float32) - np.float32(0.43)
        matrix[start : start + BLOCK] = np.maximum(values, 0)
    del matrix
    return path


def _dataset(folder: Path) -> Path:
    """Write a dataset of 250,000 frames of one movie."""
    frames = pl.DataFrame({"frame_id": _frame_ids()}).with_columns(movie_id=pl.lit("m"), kind=pl.lit("still"))
    write_table(fill_columns(frames, SnapshotFrame), SnapshotFrame, folder / "frames.parquet")
    movies = pl.DataFrame({"movie_id": ["m"], "title": ["m"], "genres": [[]], "directors": [[]]})
    write_table(fill_columns(movies, SnapshotMovie), SnapshotMovie, folder / "movies.parquet")
    for name, schema in (("interactions", Interaction), ("frame_likes", FrameLike), ("quarantine", Quarantine)):
        write_table(empty(schema), schema, folder / f"{name}.parquet")
    numbers = json.loads('{"n_users": 0, "n_movies": 1, "n_interactions": 0, "n_frames": 250000}')
    write_description(folder, {"config": {}, "provenance": {}, "quarantined": [], "statistics": numbers})
    return folder


def _pyarrow(matrix: Path, path: Path) -> float:
    """Return the seconds that pyarrow alone takes to write the array, without a dictionary, which takes it longer."""
    started = time.perf_counter()
    vectors = np.load(matrix, mmap_mode="r")
    schema = pa.schema([("frame_id", pa.string()), ("feature", pa.list_(pa.float16(), WIDTH))])
    ids = pa.array(_frame_ids())
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for start in range(0, N_VECTORS, 4096):
            rows = np.asarray(vectors[start : start + 4096])
            lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), WIDTH)
            writer.write_table(pa.table([ids[start : start + 4096], lists], schema=schema))
    return time.perf_counter() - started
