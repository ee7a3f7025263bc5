"""Writes the tables of a raw folder, for tests with pictures of their own."""

from pathlib import Path

import polars as pl

from dataset.schema import Frame, Image
from dataset.tables import empty, write_table


def write_pictures(raw: Path, pictures: list[tuple[str, str]]) -> None:
    """Write a raw folder's tables of (image_sha256, path)."""
    ids = [f"{number:05}" for number in range(len(pictures))]
    images = [(name, digest, "jpeg", 1, 1, 1, path) for name, (digest, path) in zip(ids, pictures, strict=True)]
    table = pl.DataFrame(images, schema=empty(Image).schema, orient="row")
    write_table(table, Image, raw / "images.parquet")
    columns = {"frame_id": ids, "movie_id": ["m"] * len(ids), "kind": ["still"] * len(ids)}
    frames = pl.DataFrame(columns, schema_overrides={"kind": empty(Frame).schema["kind"]})
    rest = [pl.lit(None, t).alias(c) for c, t in empty(Frame).schema.items() if c not in columns]
    write_table(frames.with_columns(rest), Frame, raw / "frames.parquet")
