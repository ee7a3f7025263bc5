"""Computes the distributions of interactions, frames and likes: small tables that the report draws."""

from typing import cast

import dataframely as dy
import polars as pl

from dataset.report.schema import Concentration, Distribution
from dataset.tables import validate

_TOP_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_BINS = 8


def distributions(
    interactions: pl.DataFrame, movies: pl.DataFrame, frames: pl.DataFrame, frame_likes: pl.DataFrame
) -> dy.DataFrame[Distribution]:
    """Return the `distributions` table of a snapshot.

    Args:
        interactions: `Interaction` rows.
        movies: `SnapshotMovie` rows.
        frames: `Frame` rows.
        frame_likes: `FrameLike` rows.
    """
    frames_per_movie = movies.select("movie_id").join(frames.group_by("movie_id").len("n"), on="movie_id", how="left")
    counts = {
        "interactions per user": interactions["user_id"].value_counts()["count"],
        "interactions per movie": interactions["movie_id"].value_counts()["count"],
        "frames per movie": frames_per_movie["n"].fill_null(0),
        "liked frames per pair": frame_likes.group_by("user_id", "movie_id").len("n")["n"],
        "interactions per year": interactions["rated_on"].dt.year().drop_nulls().cast(pl.UInt32),
    }
    parts = [_binned(name, values, is_year=name.endswith("year")) for name, values in counts.items() if len(values)]
    return validate(pl.concat(parts), Distribution, "distributions")


def concentration(interactions: pl.DataFrame) -> dy.DataFrame[Concentration]:
    """Return the `concentration` table: the share of interactions of the top movies and of the top users."""
    rows = []
    for of in ("movie", "user"):
        counts = interactions[f"{of}_id"].value_counts()["count"].sort(descending=True)
        for top in _TOP_SHARES:
            n = max(1, round(top * len(counts)))
            rows.append((of, top, n, int(counts.head(n).sum()) / max(1, interactions.height)))
    types = {name: column.dtype for name, column in Concentration.columns().items()}
    return validate(pl.DataFrame(rows, schema=types, orient="row"), Concentration, "concentration")


def _binned(name: str, values: pl.Series, is_year: bool) -> pl.DataFrame:
    """Count values in bins: one bin per value for few values or years, otherwise bins that double (1, 2–3, 4–7, …)."""
    low, high = cast(int, values.min()), cast(int, values.max())
    if is_year or high - low < 2 * _BINS:
        edges = list(range(low, high + 2))
    else:
        edges = [low] if low < 1 else []
        start = max(1, low)
        while start <= high:
            edges.append(start)
            start *= 2
        edges.append(start)
    bins = pl.DataFrame({"low": edges[:-1], "high": [edge - 1 for edge in edges[1:]]}, schema_overrides=_WHOLE)
    found = (
        values.cast(pl.UInt32)
        .sort()
        .to_frame("value")
        .join_asof(bins.with_columns(value=pl.col("low")), on="value", strategy="backward")
    )
    counted = bins.join(found.group_by("low").len("n"), on="low", how="left").with_columns(pl.col("n").fill_null(0))
    return counted.select(pl.lit(name).alias("distribution"), "low", "high", pl.col("n").cast(pl.UInt32))


_WHOLE = {"low": pl.UInt32, "high": pl.UInt32}
