import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import get_args

import numpy as np
import polars as pl
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.building.split import SplitConfig, Strategy, cold_interactions
from dataset.building.split import split as split_interactions
from dataset.errors import InvalidTableError, TooLittleDataError, UsageError
from dataset.schema import ImplicitFeedback
from dataset.tables import empty

pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=80, unique=True)
STRATEGIES = [strategy for strategy in get_args(Strategy) if strategy not in ("given", "cut-off")]
strategies = st.sampled_from(STRATEGIES)
shares = st.sampled_from([(0.1, 0.2), (0.0, 0.3), (0.45, 0.5), (0.1, 0.8)])
KEYS = ["user_id", "movie_id"]


def feedback(edges: list[tuple[int, int]]) -> pl.DataFrame:
    """Return interactions, each on a day that follows from its pair."""
    rows = [(str(u), str(m), date(2024, 1, 1) + timedelta(days=(7 * u + m) % 4)) for u, m in edges]
    table = pl.DataFrame(rows, schema=["user_id", "movie_id", "rated_on"], orient="row")
    return table.select(*KEYS, pl.lit(None, pl.Float32).alias("stars"), "rated_on")


def sides(table: pl.DataFrame) -> dict[tuple[str, str], str]:
    return {(user, movie): side for user, movie, side in table.select(*KEYS, "split").iter_rows()}


@settings(deadline=None)
@given(pairs, strategies, st.integers(0, 3), shares)
def test_splits_are_disjoint_and_complete(
    edges: list[tuple[int, int]], strategy: str, seed: int, share: tuple[float, float]
) -> None:
    split = split_interactions(feedback(edges), SplitConfig(seed, *share, strategy))
    assert sorted(split.select(*KEYS).rows()) == sorted(feedback(edges).select(*KEYS).rows())
    assert split["split"].null_count() == 0


@settings(deadline=None)
@given(pairs, st.sampled_from(["random", "temporal"]), st.integers(0, 3), shares)
def test_random_and_temporal_have_exact_counts(
    edges: list[tuple[int, int]], strategy: str, seed: int, share: tuple[float, float]
) -> None:
    split = split_interactions(feedback(edges), SplitConfig(seed, *share, strategy))
    counts = dict(split["split"].cast(pl.String).value_counts().iter_rows())
    assert counts.get("validation", 0) == round(share[0] * len(edges))
    assert counts.get("test", 0) == round(share[1] * len(edges))


@settings(deadline=None)
@given(pairs, st.integers(0, 3), shares)
def test_per_user_has_exact_counts_of_each_user_and_leaves_one_for_training(
    edges: list[tuple[int, int]], seed: int, share: tuple[float, float]
) -> None:
    split = split_interactions(feedback(edges), SplitConfig(seed, *share, "per-user"))
    for (_,), rows in split.group_by("user_id"):
        counts = dict(rows["split"].cast(pl.String).value_counts().iter_rows())
        n_test = min(round(share[1] * rows.height), rows.height - 1)
        assert counts.get("test", 0) == n_test
        assert counts.get("validation", 0) == min(round(share[0] * rows.height), rows.height - 1 - n_test)
        assert counts["train"] >= 1


@settings(deadline=None)
@given(pairs, st.integers(0, 3))
def test_temporal_trains_on_nothing_newer_than_what_it_tests(edges: list[tuple[int, int]], seed: int) -> None:
    split = split_interactions(feedback(edges), SplitConfig(seed, strategy="temporal"))
    days = [split.filter(pl.col("split") == side)["rated_on"].to_list() for side in ("train", "validation", "test")]
    for earlier, later in ((days[0], days[1]), (days[1], days[2]), (days[0], days[2])):
        assert not earlier or not later or max(earlier) <= min(later)


times = st.sampled_from([None, *(datetime(2024, 1, day, hour, tzinfo=UTC) for day in (1, 2) for hour in (0, 9, 23))])


@settings(deadline=None)
@given(st.lists(st.tuples(times, st.integers(1, 2)), min_size=1, max_size=60), st.integers(0, 3))
def test_temporal_orders_a_day_by_time_and_a_row_without_time_as_its_midnight(
    rows: list[tuple[datetime | None, int]], seed: int
) -> None:
    timed = feedback([(0, movie) for movie in range(len(rows))]).with_columns(
        rated_on=pl.Series([time.date() if time else date(2024, 1, day) for time, day in rows]),
        rated_at=pl.Series([time for time, _ in rows], dtype=pl.Datetime("us", "UTC")),
    )
    split = split_interactions(timed, SplitConfig(seed, 0.3, 0.3, "temporal"))
    midnight = pl.col("rated_on").cast(pl.Datetime("us", "UTC"))
    bounds = split.group_by("split").agg(
        first=pl.coalesce("rated_at", midnight).min(), last=pl.coalesce("rated_at", midnight).max()
    )
    ordered = bounds.sort("split")
    assert all(ordered["last"][:-1] <= ordered["first"][1:])


def test_temporal_parts_the_ratings_of_one_day() -> None:
    hours = [17, 3, 22, 9, 0]
    one_day = feedback([(0, movie) for movie in range(5)]).with_columns(
        rated_on=date(2024, 1, 1), rated_at=pl.Series([datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in hours])
    )
    for seed in range(5):
        split = split_interactions(one_day, SplitConfig(seed, 0.2, 0.2, "temporal"))
        assert dict(split.select("movie_id", pl.col("split").cast(pl.String)).rows()) == {
            "0": "validation", "1": "train", "2": "test", "3": "train", "4": "train"
        }  # fmt: skip


@settings(deadline=None)
@given(pairs, strategies, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_split_depends_on_the_order_of_rows(
    edges: list[tuple[int, int]], strategy: str, seed: int, random: object
) -> None:
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    config = SplitConfig(seed, strategy=strategy)
    assert split_interactions(feedback(edges), config).equals(split_interactions(feedback(shuffled), config))


@settings(deadline=None)
@given(pairs, pairs, st.integers(0, 3), shares)
def test_stable_leaves_every_old_pair_where_it_was_when_the_dataset_grows(
    old: list[tuple[int, int]], new: list[tuple[int, int]], seed: int, share: tuple[float, float]
) -> None:
    config = SplitConfig(seed, *share, "stable")
    before = sides(split_interactions(feedback(old), config))
    after = sides(split_interactions(feedback(sorted({*old, *new})), config))
    assert before.items() <= after.items()


def test_stable_is_the_hash_that_its_docstring_states() -> None:
    def mix(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return word ^ (word >> 31)

    def h(person: bytes, id_: str) -> int:
        key = (11).to_bytes(8, "little")
        return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8, key=key, person=person).digest(), "little")

    split = split_interactions(
        feedback([(u, m) for u in range(30) for m in range(30)]), SplitConfig(11, strategy="stable")
    )
    for (user, movie), side in sides(split).items():
        position = mix((mix(h(b"user", user)) + h(b"movie", movie)) % 2**64) / 2**64
        assert side == ("test" if position < 0.2 else "validation" if position < 0.3 else "train")


def test_stable_comes_near_its_shares() -> None:
    split = split_interactions(
        feedback([(u, m) for u in range(100) for m in range(100)]), SplitConfig(strategy="stable")
    )
    counts = dict(split["split"].cast(pl.String).value_counts().iter_rows())
    assert abs(counts["test"] - 2000) < 4 * np.sqrt(10_000 * 0.2 * 0.8)
    assert abs(counts["validation"] - 1000) < 4 * np.sqrt(10_000 * 0.1 * 0.9)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_gives_the_same_split_again_and_another_seed_another(strategy: str) -> None:
    rows = feedback([(u, m) for u in range(10) for m in range(10)])
    first, again, other = (split_interactions(rows, SplitConfig(seed, strategy=strategy)) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_cold_users_and_movies_are_those_without_training() -> None:
    table = pl.DataFrame(
        [("a", "x", "train"), ("a", "y", "test"), ("b", "x", "validation"), ("c", "x", "train"), ("c", "x", "test")],
        schema=["user_id", "movie_id", "split"],
        orient="row",
    )
    assert cold_interactions(table).rows() == [("a", "y", "test", False, True), ("b", "x", "validation", True, False)]


def test_the_largest_seed_splits_too() -> None:
    rows = feedback([(user, movie) for user in range(9) for movie in range(9)])
    for strategy in STRATEGIES:
        split = split_interactions(rows, SplitConfig(2**64 - 1, strategy=strategy))
        assert split["split"].n_unique() == 3


def test_nothing_to_split_is_an_error_with_a_remedy() -> None:
    with pytest.raises(TooLittleDataError, match="lower --k-user"):
        split_interactions(empty(ImplicitFeedback), SplitConfig())


def test_a_temporal_split_of_undated_rows_is_refused_with_the_remedy() -> None:
    undated = feedback([(0, 0), (0, 1)]).with_columns(rated_on=pl.lit(None, pl.Date))
    with pytest.raises(InvalidTableError, match=r"2 of 2 interactions have no date.*--since"):
        split_interactions(undated, SplitConfig(strategy="temporal"))


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"validation_share": -0.1}, "leave interactions for training"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leave interactions for training"),
        ({"strategy": "newest"}, "should be 'random', 'per-user', 'temporal', 'stable', 'given', .* or 'cut-off'"),
        ({"test_share": float("nan")}, r"shares 0.1 \(validation\) and nan \(test\) must not be negative"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 2**64}, "less than 18446744073709551616"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings_: dict[str, object], words: str) -> None:
    with pytest.raises((UsageError, pydantic.ValidationError), match=words):
        SplitConfig(**settings_)  # type: ignore[arg-type]
