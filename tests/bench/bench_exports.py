"""Whether RecBole's and Cornac's own loaders read back all that `export` writes: rows, titles and features.

The limit is what was written, so a ratio of 1 means that every row, time and title is read back unchanged.
"""

import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from peers import run_peer
from run import Result

from dataset.feature_schema import FrameFeature, ItemFeature
from dataset.formats.export_formats import ExportFormat
from dataset.formats.exporting import export
from dataset.schema import Interaction, SnapshotFrame, SnapshotMovie
from dataset.tables import fill_columns, write_table

IDS = [
    "plain", "007", "7", "7.0", "1e5", "True", "inf", "-1", "#comment", '"quoted"', '"open', 'in"side', "'", "\\",
    "a,b", "a b", "trailing ", "\ufeffbom", "\u7535\u5f71", "e\u0301", "\u00e9", "x\u2028y", "x\x85y", "x\x0by",
    "x\x1cy", "x\x1ay", "long" * 20_000, "nan ", "NAN",
]  # fmt: skip
ONLY_RECBOLE = ["tab\tbed", "line\nbreak", "car\rriage", "both\r\n", '"\t"', " leading", "\u3000wide"]
TITLES = [
    '"Great" Stories',
    "NA",
    "None",
    "null",
    "",
    '"',
    "# 1",
    "1.0",
    "001",
    "one  two",
    "tab\tbed",
    "\x00",
    "a\u2028b",
]
WIDTH = 7
SPLITS = {"train": "train", "validation": "valid", "test": "test"}


def measure() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(IDS + ONLY_RECBOLE, folder / "all")
        _write(IDS, folder / "some")
        yield from _compare(folder / "all", "recbole", "recbole", "out", folder / "recbole")
        yield from _compare(folder / "some", "uir", "cornac", "UIR", folder / "uir")
        yield from _compare(folder / "some", "uirt", "cornac", "UIRT", folder / "uirt")


def _compare(source: Path, form: ExportFormat, reader: str, kind: str, folder: Path) -> Iterator[Result]:
    export(source, folder, form, "out", features="items", modality="text")
    found = run_peer("exports", reader, folder, kind)
    table = pl.read_parquet(source / "interactions.parquet").with_columns(pl.col("rated_at").dt.epoch("s"))
    columns = ["user_id", "movie_id", "stars", "rated_at"][: 3 if kind == "UIR" else 4]
    expected = [(split, *row) for split, rows in table.group_by("split") for row in rows.select(columns).rows()]
    read = {(split, *row) for split in SPLITS for row in found["rows"][SPLITS[split]]}
    same = sum((split, *row) in read for (split,), *row in expected)
    yield Result(f"export as {form}: rows that its reader reads back", same, "rows written", len(expected), "rows")
    known = pl.read_parquet(source / "frame_features.parquet").rows_by_key("frame_id", unique=True)
    vectors = {frame.removeprefix("of "): vector for frame, (_, vector) in known.items()}
    same = sum(found["vectors"].get(item) == vector for item, vector in vectors.items())
    yield Result(f"export as {form}: items' features", same, "features written", len(vectors), "features")
    texts = dict(pl.read_parquet(source / "item_features-text.parquet").select("movie_id", "feature").iter_rows())
    same = sum(found["texts"].get(item) == vector for item, vector in texts.items())
    yield Result(f"export as {form}: features of texts", same, "features written", len(texts), "features")
    if titles := found.get("titles"):
        movies = pl.read_parquet(source / "movies.parquet")
        words = {
            movie: " ".join(title.replace("\0", " ").split()) for movie, title in movies["movie_id", "title"].rows()
        }
        same = sum(titles.get(movie) == title for movie, title in words.items())
        yield Result(f"export as {form}: titles", same, "titles written", len(words), "titles")


def _write(ids: list[str], folder: Path) -> None:
    """Write a dataset in which users and movies have these ids."""
    rng, start = random.Random(0), datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    rows = [
        {
            "user_id": user, "movie_id": movie, "stars": rng.choice([0.5, 3.0, 5.0]),
            "rated_at": start + timedelta(seconds=rng.randrange(10**8)), "rated_on": date(2001, 2, 3),
            "split": rng.choice(["train", "train", "validation", "test"]),
        }
        for user in ids for movie in ids if rng.random() < 0.7
    ]  # fmt: skip
    movies: list[dict[str, object]] = [
        {
            "movie_id": movie,
            "title": TITLES[n % len(TITLES)],
            "year": 1998 if n % 2 else None,
            "genres": [],
            "directors": [],
        }
        for n, movie in enumerate(ids)
    ]
    write_table(fill_columns(pl.DataFrame(rows), Interaction), Interaction, folder / "interactions.parquet")
    write_table(fill_columns(pl.DataFrame(movies), SnapshotMovie), SnapshotMovie, folder / "movies.parquet")
    frames = pl.DataFrame({"frame_id": [f"of {movie}" for movie in ids], "movie_id": ids}).with_columns(
        kind=pl.lit("still")
    )
    write_table(fill_columns(frames, SnapshotFrame), SnapshotFrame, folder / "frames.parquet")
    vectors = np.random.default_rng(0).standard_normal((len(ids), WIDTH), dtype=np.float32)
    features = frames.select("frame_id", image_sha256=pl.lit(None, dtype=pl.String)).with_columns(
        feature=pl.Series(vectors, dtype=pl.Array(pl.Float32, WIDTH))
    )
    write_table(features, FrameFeature, folder / "frame_features.parquet")
    texts = pl.DataFrame({"movie_id": ids, "text_sha256": None}, schema_overrides={"text_sha256": pl.String})
    texts = texts.with_columns(feature=pl.Series(-vectors[:, :3], dtype=pl.Array(pl.Float32, 3)))
    write_table(texts, ItemFeature, folder / "item_features-text.parquet")
