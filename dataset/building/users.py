"""The published table of users: who was read, in ranges and months that do not name anyone."""

import dataframely as dy
import polars as pl

from dataset.schema import COUNT_BINS, Quarantine, RawUser, SnapshotUser
from dataset.tables import empty, quarantine_rows

_LOWEST = (10, 30, 100, 300, 1000, 3000)  # of each bin but the first


def published_users(
    users: pl.DataFrame | None, interactions: pl.DataFrame
) -> tuple[pl.DataFrame | None, dy.DataFrame[Quarantine]]:
    """Return the users who have interactions, with binned counts and months, and the others as quarantine rows.

    Args:
        users: the raw table; None if there is none.
        interactions: the interactions of the dataset.
    """
    raw = empty(RawUser) if users is None else users
    kept = raw.join(interactions, on="user_id", how="semi")
    dropped = quarantine_rows(raw.join(kept, on="user_id", how="anti"), "users", "no interaction in the dataset")
    if users is None:
        return None, dropped
    published = kept.select(
        "user_id",
        "found_through",
        pl.col("read_on").dt.strftime("%Y-%m").alias("read_in"),
        _binned("marks_claimed").alias("claimed"),
        _binned("marks_read").alias("read"),
        "is_complete",
    )
    return published.cast(empty(SnapshotUser).schema), dropped


def _binned(count: str) -> pl.Expr:
    found = pl.lit(COUNT_BINS[0])
    for lowest, name in zip(_LOWEST, COUNT_BINS[1:], strict=True):
        found = pl.when(pl.col(count) >= lowest).then(pl.lit(name)).otherwise(found)
    return pl.when(pl.col(count).is_not_null()).then(found)
