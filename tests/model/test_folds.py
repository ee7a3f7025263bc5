"""Folds of train and validation: each pair is held out once, and the snapshot's test split is not touched."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.errors import TooLittleDataError, UsageError
from model.data.folds import folds, nested_folds
from model.data.leakage import require_separate_splits
from model.data.loading import data_from_tables
from model.data.tables import Tables
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.models.registry import default_config, make_model

Folds = Callable[[Tables, int, int], Iterator[Tables]]
Pairs = set[tuple[str, str]]


def pairs(tables: Tables, split: str) -> Pairs:
    chosen = tables.interactions.filter(pl.col("split").cast(pl.String) == split)
    return set(chosen.select("user_id", "movie_id").rows())


def only_pairs(tables: Tables, rows: list[tuple[int, int, str]]) -> Tables:
    """Return tables with these interactions, and without likes."""
    table = pl.DataFrame([(f"u{u}", f"m{m:02d}", split) for u, m, split in rows], orient="row",
                         schema={"user_id": pl.String, "movie_id": pl.String, "split": pl.String})  # fmt: skip
    return replace(tables, interactions=table, frame_likes=tables.frame_likes.clear())


edges = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 12), st.sampled_from(["train", "validation", "test"])),
    min_size=12, max_size=60, unique_by=lambda row: row[:2],
)  # fmt: skip


@pytest.mark.parametrize(("cut", "split"), [(folds, "validation"), (nested_folds, "test")])
@settings(deadline=None, max_examples=40)
@given(rows=edges, k=st.integers(3, 5), seed=st.integers(0, 3))
def test_each_pair_is_held_out_once_and_folds_differ_by_at_most_one(
    tables: Tables, cut: Folds, split: str, rows: list[tuple[int, int, str]], k: int, seed: int
) -> None:
    given_tables = only_pairs(tables, rows)
    ours = pairs(given_tables, "train") | pairs(given_tables, "validation")
    if len(ours) < k:
        with pytest.raises(TooLittleDataError, match="too few for"):
            list(cut(given_tables, k, seed))
        return
    found = [pairs(one, split) for one in cut(given_tables, k, seed)]
    assert len(found) == k
    assert Counter(pair for fold in found for pair in fold) == Counter(ours)
    assert max(map(len, found)) - min(map(len, found)) <= 1
    for user in {user for user, _ in ours}:
        of_user = [sum(pair[0] == user for pair in fold) for fold in found]
        assert max(of_user) - min(of_user) <= 1


def test_folds_leave_test_as_it_is(tables: Tables) -> None:
    for one in folds(tables, 4, 0):
        assert pairs(one, "test") == pairs(tables, "test")
        assert pairs(one, "train") | pairs(one, "validation") == pairs(tables, "train") | pairs(tables, "validation")
        assert not pairs(one, "train") & pairs(one, "validation")
        require_separate_splits(one)
        test_likes = one.frame_likes.filter(pl.col("split").cast(pl.String) == "test")
        assert test_likes.equals(tables.frame_likes.filter(pl.col("split").cast(pl.String) == "test"))


def test_nested_folds_hold_nothing_of_test_and_search_on_the_next_fold(tables: Tables) -> None:
    cut = list(nested_folds(tables, 4, 0))
    untouched = pairs(tables, "test")
    for number, one in enumerate(cut):
        parts = [pairs(one, split) for split in ("train", "validation", "test")]
        assert not set.union(*parts) & untouched
        assert sum(map(len, parts)) == len(set.union(*parts)) == one.interactions.height
        assert parts[1] == pairs(cut[(number + 1) % 4], "test")
        likes = set(one.frame_likes.select("user_id", "movie_id").rows())
        assert not likes & (untouched | parts[0])
        require_separate_splits(one)


def test_a_like_follows_its_pair_and_is_no_like_when_the_pair_trains(tables: Tables) -> None:
    of_validation = tables.frame_likes.filter(pl.col("split").cast(pl.String) == "validation")
    kept = pl.concat(
        [one.frame_likes.filter(pl.col("split").cast(pl.String) == "validation") for one in folds(tables, 3, 1)]
    )
    assert sorted(kept.drop("split").rows()) == sorted(of_validation.drop("split").rows())


def test_no_column_counts_the_snapshots_train_split(tables: Tables) -> None:
    counted = replace(
        tables,
        movies=tables.movies.with_columns(train_interaction_count=pl.lit(3, pl.UInt32)),
        frames=tables.frames.with_columns(train_like_count=pl.lit(3, pl.UInt32)),
    )
    one = next(folds(counted, 3, 0))
    assert one.movies["train_interaction_count"].null_count() == one.movies.height
    assert one.frames["train_like_count"].null_count() == one.frames.height


def test_the_deal_depends_on_the_seed_and_not_on_the_order_of_rows(tables: Tables) -> None:
    shuffled = replace(tables, interactions=tables.interactions.sample(fraction=1, shuffle=True, seed=1))
    first, again, other = (
        [pairs(one, "validation") for one in folds(given_tables, 3, seed)]
        for given_tables, seed in ((tables, 0), (shuffled, 0), (tables, 1))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("n", [1, 2])
def test_a_user_of_one_or_two_pairs_is_held_out_like_the_others(tables: Tables, n: int) -> None:
    rows = [(0, movie, "train") for movie in range(9)] + [(1, movie, "validation") for movie in range(n)]
    cut = list(folds(only_pairs(tables, rows), 3, 0))
    held_out = [sum(user == "u1" for user, _ in pairs(one, "validation")) for one in cut]
    assert sorted(held_out) == [0] * (3 - n) + [1] * n
    is_trained = [any(user == "u1" for user, _ in pairs(one, "train")) for one in cut]
    assert all(is_trained) == (n == 2)


@pytest.mark.parametrize(("cut", "k"), [(folds, 1), (folds, 0), (nested_folds, 2)])
def test_too_few_folds_are_refused(tables: Tables, cut: Folds, k: int) -> None:
    with pytest.raises(UsageError, match=f"{k} folds are too few; at least"):
        next(cut(tables, k, 0))


def test_a_fold_trains_and_is_judged_as_a_snapshot_is(tables: Tables) -> None:
    one = next(nested_folds(tables, 4, 0))
    data = data_from_tables(one, "fold 1")
    model = make_model("popular", default_config("popular"), data.training, 0)
    judged = evaluate(model.scorer(), one, "test", "popular", 0, EvaluationConfig(protocol="full", n_bootstrap=20))
    users = {user for user, _ in pairs(one, "test")}
    assert judged.metrics.filter(metric="full_recall", k=5)["n_users"].to_list() == [len(users)]
