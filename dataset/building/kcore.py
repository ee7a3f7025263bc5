"""The k-core: the largest set of user-item pairs in which every user and every item has enough pairs.

A pair counts once, however many rows it has (a log of plays repeats pairs): a user with 30 rows of one item
has one pair. All rows of a pair in the core are kept.

All functions compute on dense integer codes. For a table larger than memory, `k_core_parquet` holds only
the codes: 8 bytes per row, plus 24 bytes per row while they are computed and the pairs are counted.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.claims import require_plausible
from dataset.codes import Codes, dense_codes
from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.files import atomic_path
from dataset.progress import stage

_log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

_SCANS = 8
"""The number of scans over all remaining rows before `_peel` handles the last few one by one."""

_PART = 1 << 16
"""The number of rows looked up at a time: few enough for the processor's cache."""


class KCore(NamedTuple):
    """The result of `k_core_parquet`: rows read, rows written, and read rows that repeat the pair of another row."""

    n_rows: int
    n_kept: int
    n_repeats: int


def k_core(interactions: pl.DataFrame, k_user: int = 5, k_item: int = 5) -> pl.DataFrame:
    """Return the rows of the k-core, in the given order.

    Users with fewer than `k_user` movies and movies with fewer than `k_item` users are dropped repeatedly
    until nothing changes; the result does not depend on the order of dropping.

    Args:
        interactions: has the columns `user_id` and `movie_id`; other columns are kept. Pairs may repeat.
        k_user: minimum movies per user (0 or 1: no minimum).
        k_item: minimum users per movie (0 or 1: no minimum).

    Raises:
        UsageError: a k is negative.

    Source: Wu et al. 2019, section 4 ("each user and each item have at least 5 rating records").
    """
    _require_bounds(k_user, k_item)
    users, movies = (dense_codes(interactions, column) for column in ("user_id", "movie_id"))
    return interactions.filter(_rows_in_core(users, movies, k_user, k_item)[0])


@stage("Finding the k-core")
def k_core_parquet(
    source: Path,
    destination: Path,
    k_user: int = 5,
    k_item: int = 5,
    user_column: str = "user_id",
    item_column: str = "movie_id",
    replace: bool = False,
) -> KCore:
    """Write the k-core of a Parquet file, or of a folder of Parquet files, as one file; rows keep their order.

    Rows stream from disk to disk; only the codes are held in memory (see the module).

    Raises:
        UsageError: a k is negative, `destination` is part of `source`, or it exists and is not to be replaced.
        MissingInputError: `source` is missing.
        InvalidTableError: `source` is not Parquet, lacks a column, or has a row without a user or an item.
    """
    _require_bounds(k_user, k_item)
    if not source.exists():
        raise MissingInputError(f"{source}: no such Parquet file or folder of Parquet files")
    if source.resolve() in (destination.resolve(), *destination.resolve().parents):
        raise UsageError(f"{destination}: belongs to the source, which would be overwritten; choose another --to")
    if destination.exists() and not replace:
        raise UsageError(f"{destination}: already exists; name another file with --to, or pass --replace")
    for file in [source] if source.is_file() else source.rglob("*.parquet"):
        require_plausible(file, is_read_whole=False)
    try:
        table = pl.scan_parquet(source, glob=False)
        _require_ids(table, (user_column, item_column), source)
        users, items = (dense_codes(table, column) for column in (user_column, item_column))
        mask, n_repeats = _rows_in_core(users, items, k_user, k_item)
        del users, items
        kept = pl.LazyFrame({"kept in core": mask})
        with atomic_path(destination) as temporary:
            core = pl.concat([table, kept], how="horizontal").filter("kept in core").drop("kept in core")
            core.sink_parquet(temporary, compression="zstd", compression_level=1, engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise InvalidTableError(f"{source}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    done = KCore(len(mask), int(mask.sum()), n_repeats)
    _log.info("wrote %s: %d of %d rows, %d repeat a pair", destination, done.n_kept, done.n_rows, n_repeats)
    return done


def _rows_in_core(users: Codes, items: Codes, k_user: int, k_item: int) -> tuple[Mask, int]:
    """Return which rows' pairs belong to the k-core, (n,) bool, and the number of rows that repeat a pair.

    The distinct pairs are filtered; a row belongs to the core if both its user and its item are left there.
    """
    if not len(users):
        return np.empty(0, dtype=bool), 0
    keys = pl.Series(users.astype(np.uint64) << np.uint64(32) | items.astype(np.uint64))
    pairs = keys.sort().unique().to_numpy()  # polars sorts with all cores
    del keys
    sides = (pairs >> np.uint64(32)).astype(np.int32), pairs.astype(np.uint32).view(np.int32)
    n_repeats = len(users) - len(pairs)
    del pairs
    in_core = k_core_mask(*sides, k_user, k_item)
    is_left = [np.zeros(side.max() + 1, dtype=np.uint8) for side in sides]
    for left, side in zip(is_left, sides, strict=True):
        left[side[in_core]] = 1
    return _lower_level((users, items), is_left).view(bool), n_repeats


def k_core_mask(users: Codes, movies: Codes, k_user: int, k_item: int, reach: int = 4) -> Mask:
    """Return which rows belong to the k-core, (n,) bool; every row is a pair of its own.

    Dropping rows mostly affects users and movies with few rows: fewer than `reach` times k. So after
    one scan of all rows, only the rows of these users and movies are examined again. If a user or movie
    with more rows falls below k anyway, the remaining rows are filtered again with twice the reach.

    Args:
        users: (n,) user codes from 0, dense for speed.
        movies: (n,) movie codes from 0, dense for speed.
        k_user: minimum rows per user.
        k_item: minimum rows per movie.
        reach: the factor on k, above 1; it changes the speed, not the result.
    """
    sides, bounds = (users, movies), (k_user, k_item)
    counts = [np.bincount(side) for side in sides]
    levels = [(n >= k).astype(np.uint8) + (n >= reach * k) for n, k in zip(counts, bounds, strict=True)]
    level = _lower_level(sides, levels)
    mask: Mask = level > 0
    dropped = ~mask
    for side, count in zip(sides, counts, strict=True):
        count -= np.bincount(side[dropped], minlength=len(count))
    near = np.flatnonzero(level == 1)
    mask[near] = _drop_until_stable([side[near].astype(np.intp) for side in sides], counts, bounds)
    if any(((of == 2) & (n < k)).any() for of, n, k in zip(levels, counts, bounds, strict=True)):
        mask[mask] = k_core_mask(users[mask], movies[mask], k_user, k_item, 2 * reach)
    return mask


def _lower_level(sides: tuple[Codes, Codes], levels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return for each row the lower of its user's and its movie's level, (n,), in blocks that fit the cache."""
    lower = np.empty(len(sides[0]), dtype=np.uint8)
    for start in range(0, len(lower), _PART):
        part = slice(start, start + _PART)
        user, movie = (level.take(side[part].astype(np.intp)) for level, side in zip(levels, sides, strict=True))
        np.minimum(user, movie, out=lower[part])
    return lower


def _drop_until_stable(sides: list[Codes], counts: list[Counts], bounds: tuple[int, int]) -> Mask:
    """Drop rows until every user and movie left has enough rows; return which rows stay, (n,) bool.

    Args:
        sides: the user codes and movie codes of some rows.
        counts: rows per user and rows per movie, over these and all other rows; lowered in place.
        bounds: k for users and k for movies.
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
    """Lower `counts` to those of the k-core, examining only the rows of each dropped user and movie.

    This makes long chains, where each round drops one or two rows, linear in the number of rows.

    Args:
        sides: the rows' user codes and movie codes.
        counts: rows per user and rows per movie, over these and all other rows; lowered in place.
        bounds: k for users and k for movies.
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
    """Return the concatenated ranges `start, …, start + length - 1`."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())


def _require_bounds(k_user: int, k_item: int) -> None:
    if k_user < 0 or k_item < 0:
        raise UsageError(f"k-core: k must not be negative (got {k_user} for users, {k_item} for items); use 5")


def _require_ids(table: pl.LazyFrame, id_columns: tuple[str, str], source: Path) -> None:
    columns = table.collect_schema().names()
    for column in id_columns:
        if column not in columns:
            raise InvalidTableError(f"{source}: no column '{column}'; it has {', '.join(map(repr, columns))}")
    n_missing = table.select(pl.col(*id_columns).null_count()).collect(engine="streaming")
    for column, n in n_missing.row(0, named=True).items():
        if n:
            raise InvalidTableError(f"{source}: {n:,} rows have no '{column}'; remove them first")
