"""The k-core: the largest set in which every user and every item keeps enough interactions.

Everything works on dense integer codes. Of a table that is larger than memory only these are
held (`k_core_parquet`): 8 bytes a row, beside 20 for the moment in which they are made.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.building.codes import Codes, dense_codes
from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.files import atomic_path

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

_SCANS = 8
"""Rounds over rows before the few that are left are followed one by one."""

_PART = 1 << 16
"""Rows that are looked up at a time."""


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
    _require_bounds(k_user, k_item)
    table = interactions.lazy()
    return interactions.filter(
        k_core_mask(dense_codes(table, "user_id"), dense_codes(table, "movie_id"), k_user, k_item)
    )


def k_core_parquet(
    source: Path,
    destination: Path,
    k_user: int = 5,
    k_item: int = 5,
    user_column: str = "user_id",
    item_column: str = "movie_id",
) -> tuple[int, int]:
    """Write the k-core of a Parquet file, or of a folder of them, as one Parquet file; rows keep their order.

    The rows stream from disk to disk; see the module on what is held meanwhile.

    Returns:
        The rows read, and those written.

    Raises:
        UsageError: a negative k.
        MissingInputError: there is no such file.
        InvalidTableError: it is not Parquet, lacks a column, or has a row without a user or an item.
    """
    _require_bounds(k_user, k_item)
    if not source.exists():
        raise MissingInputError(f"{source}: no such Parquet file or folder of them")
    try:
        table = pl.scan_parquet(source)
        for column in (user_column, item_column):
            _require_ids(table, column, source)
        mask = k_core_mask(dense_codes(table, user_column), dense_codes(table, item_column), k_user, k_item)
        kept = pl.LazyFrame({"kept in core": mask})
        with atomic_path(destination) as temporary:
            core = pl.concat([table, kept], how="horizontal").filter("kept in core").drop("kept in core")
            core.sink_parquet(temporary, compression="zstd", compression_level=1, engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise InvalidTableError(f"{source}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    return len(mask), int(mask.sum())


def k_core_mask(users: Codes, movies: Codes, k_user: int, k_item: int, reach: int = 4) -> Mask:
    """Return which rows belong to the k-core, (n,) bool.

    Dropping a row can soon end others only at users and movies with few rows. So after one scan of
    all rows, only rows at such an end are looked at again; should another one fall all the same,
    what is left is filtered anew with twice the reach.

    Args:
        users: (n,) user codes from 0, dense for speed.
        movies: (n,) movie codes, likewise.
        k_user: rows a user must keep.
        k_item: rows a movie must keep.
        reach: how many times k rows are too many to fall soon, above 1; for speed alone.
    """
    sides, bounds = (users, movies), (k_user, k_item)
    counts = [np.bincount(side) for side in sides]
    levels = [(n >= k).astype(np.uint8) + (n >= reach * k) for n, k in zip(counts, bounds, strict=True)]
    level = _lower(sides, levels)
    mask: Mask = level > 0
    dropped = ~mask
    for side, count in zip(sides, counts, strict=True):
        count -= np.bincount(side[dropped], minlength=len(count))
    near = np.flatnonzero(level == 1)
    mask[near] = _settle([side[near].astype(np.intp) for side in sides], counts, bounds)
    if any(((of == 2) & (n < k)).any() for of, n, k in zip(levels, counts, bounds, strict=True)):
        mask[mask] = k_core_mask(users[mask], movies[mask], k_user, k_item, 2 * reach)
    return mask


def _lower(sides: tuple[Codes, Codes], levels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return of each row the lower of its user's and its movie's level, (n,), in parts that stay in the cache."""
    lower = np.empty(len(sides[0]), dtype=np.uint8)
    for start in range(0, len(lower), _PART):
        part = slice(start, start + _PART)
        user, movie = (level.take(side[part].astype(np.intp)) for level, side in zip(levels, sides, strict=True))
        np.minimum(user, movie, out=lower[part])
    return lower


def _settle(sides: list[Codes], counts: list[Counts], bounds: tuple[int, int]) -> Mask:
    """Drop rows until their users and movies keep enough, lowering `counts`; return which rows stay.

    Args:
        sides: the user codes and movie codes of some rows.
        counts: rows of each user and of each movie, these and others; changed in place.
        bounds: k for users and for movies.
    """
    (k_user, k_item), (counts_u, counts_m), (u, m) = bounds, counts, sides
    for _ in range(_SCANS):
        dropped = (counts_u < k_user)[u] | (counts_m < k_item)[m]
        if not dropped.any():
            break
        counts_u -= np.bincount(u[dropped], minlength=len(counts_u))
        counts_m -= np.bincount(m[dropped], minlength=len(counts_m))
        kept = ~dropped
        u, m = u[kept], m[kept]
    else:
        _peel((u, m), counts, bounds)
    stays: Mask = (counts_u >= k_user)[sides[0]] & (counts_m >= k_item)[sides[1]]
    return stays


def _peel(sides: tuple[Codes, Codes], counts: list[Counts], bounds: tuple[int, int]) -> None:
    """Lower `counts` to those of the k-core by following each dropped user and movie to its own rows only.

    So long chains, where each round drops a row or two, take time linear in the rows.

    Args:
        sides: the rows' user codes and movie codes.
        counts: rows of each user and of each movie, these and others; changed in place.
        bounds: k for users and for movies.
    """
    rows_by_code = [np.argsort(side, kind="stable") for side in sides]
    n_rows = [np.bincount(side, minlength=len(count)) for side, count in zip(sides, counts, strict=True)]
    starts = [np.concatenate([[0], np.cumsum(n)]) for n in n_rows]
    present = np.ones(len(sides[0]), dtype=bool)
    waiting = [np.flatnonzero(count < k) for count, k in zip(counts, bounds, strict=True)]
    while len(waiting[0]) or len(waiting[1]):
        for side, other in ((0, 1), (1, 0)):
            first = starts[side][waiting[side]]
            rows = rows_by_code[side][_ranges(first, starts[side][waiting[side] + 1] - first)]
            rows = rows[present[rows]]
            present[rows] = False
            counts[side][waiting[side]] = 0
            touched, n_lost = np.unique(sides[other][rows], return_counts=True)
            counts[other][touched] -= n_lost
            waiting[side] = waiting[side][:0]
            waiting[other] = np.union1d(waiting[other], touched[counts[other][touched] < bounds[other]])


def _ranges(starts: Counts, lengths: Counts) -> Counts:
    """Return the numbers `start, …, start + length - 1` of each range, one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())


def _require_bounds(k_user: int, k_item: int) -> None:
    if k_user < 0 or k_item < 0:
        raise UsageError(f"k-core: k must not be negative (got {k_user} for users, {k_item} for items); use 5")


def _require_ids(table: pl.LazyFrame, column: str, source: Path) -> None:
    columns = table.collect_schema().names()
    if column not in columns:
        raise InvalidTableError(f"{source}: no column '{column}'; it has {', '.join(map(repr, columns))}")
    n_missing = table.select(pl.col(column).null_count()).collect(engine="streaming").item()
    if n_missing:
        raise InvalidTableError(f"{source}: {n_missing:,} rows have no '{column}'; leave them out first")
