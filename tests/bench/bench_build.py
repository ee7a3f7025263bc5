"""From raw tables to a published snapshot, at the size of the paper's dataset, without features: limit 20 s."""

import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from run import Result

from dataset.building.build import DatasetConfig, build
from dataset.files import write_json
from dataset.schema import FRAME_KINDS, LIKE_SOURCES, RAW_TABLES
from dataset.snapshots.publish import publish
from dataset.tables import empty, write_table

N_USERS, N_MOVIES, N_RATINGS, N_FRAMES, N_LIKES = 16_166, 12_811, 560_000, 250_000, 60_000
LIMIT_S = 20


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_raw(folder / "raw")
        started = time.perf_counter()
        built = build(folder / "raw", folder / "dataset", DatasetConfig())
        build_s = time.perf_counter() - started
        publish(folder / "dataset", "bench", folder / "snapshots")
        all_s = time.perf_counter() - started
    numbers = built.description["statistics"]
    print(
        f"  {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} movies, {numbers['n_frames']:,} frames; build {build_s:.1f} s",
        flush=True,
    )
    return [Result("raw tables to snapshot, paper's size", all_s, "limit", LIMIT_S, "s")]


def _write_raw(raw):
    rng = np.random.default_rng(0)
    users = rng.integers(0, N_USERS, N_RATINGS)
    movies = np.minimum((rng.pareto(0.7, N_RATINGS) * 300).astype(np.int64), 10**9) % N_MOVIES
    movies_of_frames = rng.integers(0, N_MOVIES, N_FRAMES)
    liked = rng.integers(0, N_RATINGS, N_LIKES)
    frames_of_likes = rng.integers(0, N_FRAMES, N_LIKES)
    tables = {
        "movies": {"movie_id": np.arange(N_MOVIES), "title": np.arange(N_MOVIES)},
        "ratings": {
            "user_id": users,
            "movie_id": movies,
            "stars": rng.integers(1, 6, N_RATINGS),
            "rated_on": rng.integers(14_000, 18_000, N_RATINGS).astype(np.int32),
        },
        "frames": {
            "frame_id": np.arange(N_FRAMES),
            "movie_id": movies_of_frames,
            "kind": np.full(N_FRAMES, FRAME_KINDS[0]),
        },
        "images": {"frame_id": np.empty(0, dtype=np.int64)},
        "frame_likes": {
            "user_id": users[liked],
            "frame_id": frames_of_likes,
            "source": np.full(N_LIKES, LIKE_SOURCES[0]),
        },
    }
    for name, schema in RAW_TABLES.items():
        columns = empty(schema).schema
        table = pl.DataFrame(tables[name])
        if name == "frame_likes":
            table = table.unique(["user_id", "frame_id"])
        missing = [
            pl.lit([] if isinstance(dtype, pl.List) else None, dtype).alias(column)
            for column, dtype in columns.items()
            if column not in table.columns
        ]
        write_table(table.with_columns(missing).cast(columns).select(list(columns)), schema, raw / f"{name}.parquet")
    write_json(raw / "provenance.json", {"source": "invented"})
