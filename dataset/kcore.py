"""The k-core: the largest set in which every user and every item keeps enough interactions."""

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import UsageError


def k_core(interactions: pl.DataFrame, k_user: int = 5, k_item: int = 5) -> pl.DataFrame:
    """Return the rows of the k-core, in their given order.

    Users with fewer than `k_user` and movies with fewer than `k_item` rows are dropped, again and
    again until nothing changes; the fixed point does not depend on the order of dropping. Each
    row counts once, so pairs must not repeat.

    Args:
        interactions: has the columns `user_id` and `movie_id`; others are kept.
        k_user: rows a user must keep, at least 0 (0 or 1: no bound).
        k_item: rows a movie must keep, likewise.

    Raises:
        UsageError: a negative k.

    Source: Wu et al. 2019, section 4 ("each user and each item have at least 5 rating records").
    """
    if k_user < 0 or k_item < 0:
        raise UsageError(f"k-core: k must not be negative (got {k_user} for users, {k_item} for items); use 5")
    users, movies = _codes(interactions["user_id"]), _codes(interactions["movie_id"])
    return interactions[k_core_rows(users, movies, k_user, k_item)]


def k_core_rows(
    users: npt.NDArray[np.uint32], movies: npt.NDArray[np.uint32], k_user: int, k_item: int
) -> npt.NDArray[np.int64]:
    """Return the row numbers of the k-core, ascending.

    Args:
        users: (n,) contiguous user codes.
        movies: (n,) contiguous movie codes.
        k_user: rows a user must keep.
        k_item: rows a movie must keep.
    """
    rows = np.arange(len(users), dtype=np.int64)
    while True:
        kept = (np.bincount(users)[users] >= k_user) & (np.bincount(movies)[movies] >= k_item)
        if kept.all():
            return rows
        rows, users, movies = rows[kept], users[kept], movies[kept]


def _codes(ids: pl.Series) -> npt.NDArray[np.uint32]:
    """Return each id as a contiguous code: 0, 1, …, in no particular order."""
    return (ids.rank("dense").cast(pl.UInt32) - 1).to_numpy()
