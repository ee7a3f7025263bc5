"""Features on disk: reading a whole table, and rows by id from a memory-mapped cache of 250,000 x 4096."""

import hashlib
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
from run import Result

from dataset.feature_schema import FrameFeature
from dataset.files import sha256_of_file
from dataset.schema import Frame
from dataset.tables import empty, read_table, write_table
from features.config import ExtractorIdentity
from features.store import FeatureStore
from features.table import write_features
from model.data.feature_cache import frame_features

WIDTH, N_TABLE, N_CACHE, N_ROWS = 4096, 50_000, 250_000, 1000
READ_LIMIT_MB_S, ROWS_LIMIT_S = 400.0, 0.1


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = _table(folder, N_TABLE)
        started = time.perf_counter()
        read_table(path, FrameFeature)
        mb_s = N_TABLE * WIDTH * 2 / 1e6 / (time.perf_counter() - started)
        seconds, open_s = _cached_rows(folder, path)
    return [
        Result("feature table read as a whole", mb_s, "limit", READ_LIMIT_MB_S, "MB/s"),
        Result(f"{N_ROWS:,} of {N_CACHE:,} features by id", 1 / seconds, "limit", 1 / ROWS_LIMIT_S, "a second"),
        Result("cache opened, its size and time checked", N_CACHE * WIDTH * 2 / 1e6 / open_s, "table", mb_s, "MB/s"),
    ]


def _table(folder: Path, n_rows: int) -> Path:
    """Write a feature table as `features` does, of vectors in which two of three values are 0, as in fc7."""
    store = FeatureStore(folder / "store", ExtractorIdentity("vgg19", "fc7", "", "", True, "", "fp32"))
    rng = np.random.default_rng(0)
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n_rows)]
    for start in range(0, n_rows, 1000):
        values = rng.standard_normal((1000, WIDTH), dtype=np.float32) - np.float32(0.43)
        store.add(names[start : start + 1000], np.maximum(values, 0).astype(np.float16))
    images = pl.DataFrame({"frame_id": [f"{n:07}" for n in range(n_rows)], "image_sha256": names})
    shards = store.shards_of(images["image_sha256"])[0]
    write_features(images, shards, store, folder / "frame_features.parquet")
    return folder / "frame_features.parquet"


def _cached_rows(folder: Path, table: Path) -> tuple[float, float]:
    """Return the seconds to read 1,000 rows by id, and the seconds to open the cache a second time."""
    snapshot = _repeated(folder, table)
    frame_features(snapshot)
    started = time.perf_counter()
    features = frame_features(snapshot)
    open_s = time.perf_counter() - started
    wanted = features["frame_id"].sample(N_ROWS, seed=0)
    started = time.perf_counter()
    places = features.select("frame_id").with_row_index("place").join(wanted.to_frame(), on="frame_id", how="semi")
    rows = features["feature"].to_numpy()[places["place"].to_numpy()]
    seconds = time.perf_counter() - started
    if rows.shape != (N_ROWS, WIDTH):
        raise SystemExit(f"asked for {N_ROWS} rows of {WIDTH}, got {rows.shape}")
    return seconds, open_s


def _repeated(folder: Path, table: Path) -> Any:
    """Return the parts of a snapshot that the cache needs: the table repeated up to 250,000 rows, and its frames."""
    import pyarrow.parquet as pq

    path = folder / "v0001" / "frame_features.parquet"
    path.parent.mkdir()
    source = pq.ParquetFile(table)
    with pq.ParquetWriter(path, source.schema_arrow, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, N_CACHE, N_TABLE):
            for batch in source.iter_batches(4096):
                ids = [f"{start + int(name):07}" for name in batch["frame_id"].to_pylist()]
                writer.write_batch(
                    batch.set_column(0, batch.schema.field(0), _as_type(ids, batch.schema.field(0).type))
                )
    columns = {"frame_id": [f"{n:07}" for n in range(N_CACHE)], "movie_id": [f"m{n // 10}" for n in range(N_CACHE)]}
    frames = pl.DataFrame(
        {**columns, "kind": ["still"] * N_CACHE}, schema_overrides={"kind": empty(Frame).schema["kind"]}
    )
    missing = [pl.lit(None, t).alias(c) for c, t in empty(Frame).schema.items() if c not in frames.columns]
    write_table(frames.with_columns(missing), Frame, path.with_name("frames.parquet"))
    files = {name: path.with_name(f"{name}.parquet") for name in ("frames", "frame_features")}
    tables = {name: SimpleNamespace(file=file.name, sha256=sha256_of_file(file)) for name, file in files.items()}
    return cast(
        Any,
        SimpleNamespace(
            path=path.parent,
            manifest=SimpleNamespace(tables=tables),
            read=lambda name: read_table(files[name], Frame),
        ),
    )


def _as_type(values: list[str], dtype: Any) -> Any:
    import pyarrow as pa

    return pa.array(values, dtype)
