"""Checks that ranks are possible: every test positive of a snapshot, exactly once, at a place that it can have."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import polars as pl
import torch

from dataset.errors import InvalidBundleError
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_parquet
from model.bundles.contents import BundledRun
from model.data.jagged import row_positions
from model.data.leakage import require_separate_splits
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_likes
from model.evaluation.ranking import nearest_likes

_PAIR = ["user_id", "movie_id"]
_OWNERS = {"item": ["user_id"], "frame": _PAIR}


@dataclass(frozen=True)
class Positives:
    """The test positives of a task.

    Attributes:
        rows: `user_id`, `movie_id`, `frame_id` (empty for items) and `n_negatives`, one row per positive.
        n_left_out: the users, or user-movie pairs, without one.
    """

    rows: pl.DataFrame
    n_left_out: int


def positives_of(snapshot: Snapshot) -> Callable[[str, str | None], Positives]:
    """Return a function of a task and a feature set that returns the test positives of a snapshot.

    Raises:
        InvalidSnapshotError: a file is not the published one.
        InvalidTableError: the splits overlap.
    """
    movies, frames, interactions, likes = map(snapshot.read, ("movies", "frames", "interactions", "frame_likes"))
    plain = Tables(movies, frames, interactions, likes, frame_features=None)
    require_separate_splits(plain)

    @cache
    def positives(task: str, features: str | None) -> Positives:
        if task == "item":
            return _items(plain)
        one = snapshot.with_features(features)
        table = one.feature_table
        paths = one.paths_of(table) if table else []
        with_features = pl.concat([read_parquet(path, ["frame_id"]) for path in paths]) if paths else None
        return _frames(Tables(movies, frames, interactions, likes, with_features))

    return positives


def require_possible(ranks: pl.DataFrame, run: BundledRun, positives: Callable[[str, str | None], Positives]) -> None:
    """Check the ranks of one run.

    Args:
        ranks: its `HeldOutRank` rows.
        run: the run.
        positives: see `positives_of`.

    Raises:
        InvalidBundleError: a rank is missing, surplus or impossible.
    """
    for task, owner in _OWNERS.items():
        of_task = ranks.filter(pl.col("task").cast(pl.String) == task)
        if of_task.height:
            expected = positives(task, run.features).rows
            _require_every(of_task, expected, f"{run}: ranks of {task}s")
            _require_places(of_task, owner, run, f"{run}: ranks of {task}s")


def _items(tables: Tables) -> Positives:
    split = pl.col("split").cast(pl.String)
    sizes = tables.interactions.group_by("user_id").agg(
        (split == "test").sum().alias("n_test"), pl.len().alias("n_rated")
    )
    test = tables.interactions.filter(split == "test").select(_PAIR)
    rows = test.join(sizes, on="user_id", how="left").select(
        *_PAIR, pl.lit("").alias("frame_id"), n_negatives=tables.movies.height - pl.col("n_rated").cast(pl.Int64)
    )
    return Positives(rows, sizes.filter(n_test=0).height)


def _frames(tables: Tables) -> Positives:
    ids = index_ids(tables)
    test = tables.frame_likes.filter(pl.col("split").cast(pl.String) == "test")
    likes = held_out_likes(tables, ids, "test")
    n_left_out = test.select(_PAIR).n_unique() - len(likes.users)
    n_negatives = torch.zeros(0, dtype=torch.int64)
    if len(likes.users):
        frames, pairs = row_positions(likes.frame_offsets, likes.items)
        is_negative = nearest_likes(likes, frames, pairs)[1]
        n_negatives = torch.bincount(pairs[is_negative], minlength=len(likes.users))
    owners = likes.liked.owners
    rows = pl.DataFrame(
        {
            "user_id": ids.users[likes.users[owners].numpy()],
            "movie_id": ids.movies[likes.items[owners].numpy()],
            "frame_id": ids.frames[likes.liked.values.numpy()],
            "n_negatives": n_negatives[owners].numpy(),
        }
    )
    return Positives(rows, n_left_out)


def _require_every(ranks: pl.DataFrame, expected: pl.DataFrame, what: str) -> None:
    """Check that the ranks are those of the expected positives, among as many negatives."""
    keys = [*_PAIR, "frame_id"]
    for rows, other, words in (
        (expected, ranks, "test positives of the snapshot have no rank"),
        (ranks, expected, "are of no test positive of the snapshot"),
    ):
        if (wrong := rows.join(other, on=keys, how="anti")).height:
            example = wrong.select(keys).sort(keys).row(0, named=True)
            raise InvalidBundleError(f"{what}: {wrong.height:,} {words}, for example {example}")
    both = ranks.with_columns(pl.col("n_negatives").cast(pl.Int64)).join(expected, on=keys, how="left", suffix="_known")
    wrong = both.filter(pl.col("n_negatives") != pl.col("n_negatives_known"))
    if wrong.height:
        row = wrong.sort(keys).row(0, named=True)
        raise InvalidBundleError(
            f"{what}: {wrong.height:,} are among another number of candidates than the snapshot has, for example "
            f"{row['n_negatives']:,} in place of {row['n_negatives_known']:,} negatives of {row['user_id']!r}"
        )


def _require_places(ranks: pl.DataFrame, owner: list[str], run: BundledRun, what: str) -> None:
    """Check that the positions of each owner's positives are those of one ranking."""
    counts = ("positives_before", "negatives_above", "negatives_tied", "place", "group_size", "n_negatives")
    rows = ranks.sort(*owner, "positives_before").with_columns(pl.col(*counts).cast(pl.Int64))
    above, tied, n_negatives = pl.col("negatives_above"), pl.col("negatives_tied"), pl.col("n_negatives")
    rows = rows.with_columns(start=pl.col("positives_before") - pl.col("place"))
    group = [*owner, "start"]
    before = (above + tied).shift(1).over(owner)
    is_unlisted = (above == n_negatives.clip(max(run.evaluation.item_ks))) & (tied == 0)
    rules = {
        "do not follow each other": pl.col("positives_before") != pl.int_range(pl.len()).over(owner),
        "are in no group of equal scores": (pl.col("place") >= pl.col("group_size"))
        | (pl.len().over(group) != pl.col("group_size"))
        | (above.n_unique().over(group) > 1)
        | (tied.n_unique().over(group) > 1),
        "rank above a better one": (pl.col("start") != pl.col("start").shift(1).over(owner)) & (above < before),
        "have more negatives above them than there are": (above + tied > n_negatives)
        & ~(is_unlisted if run.is_cut else pl.lit(value=False)),
    }
    for words, is_wrong in rules.items():
        if (wrong := rows.filter(is_wrong.fill_null(value=False))).height:
            keys = [*_PAIR, "frame_id"]
            example = wrong.select(keys).sort(keys).row(0, named=True)
            raise InvalidBundleError(f"{what}: {wrong.height:,} {words}, for example {example}")
