"""Intervals and tests against scipy and on data with a known answer."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dataset.errors import TooLittleDataError, UsageError
from model.evaluation.uncertainty import Bootstrap, compare, holm
from model.schema import UserMetric


def user_metrics(values: dict[tuple[str, int], np.ndarray], users: list[str] | None = None) -> pl.DataFrame:
    """One metric of runs (model, seed); with `users`, the values are of these users' pairs."""
    parts = []
    for (model, seed), of_users in values.items():
        names = users or [f"u{i:05d}" for i in range(len(of_users))]
        movies = [str(i) if users else "" for i in range(len(of_users))]
        columns = {"model": model, "seed": seed, "task": "item", "metric": "ndcg", "k": 15, "user_id": names}
        parts.append(pl.DataFrame(columns | {"movie_id": movies, "value": of_users}))
    return pl.concat(parts).cast({name: column.dtype for name, column in UserMetric.columns().items()})


def test_with_one_seed_and_one_value_per_user_it_equals_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(40), rng.random(40)
    row = compare(user_metrics({("a", 0): a, ("b", 0): b})).row(0, named=True)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((interval.low, interval.high))
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert (row["n_users"], row["n_seeds"], row["other_n_seeds"]) == (40, 1, 1)


def test_models_that_differ_only_by_chance_are_called_different_in_one_of_twenty_cases() -> None:
    rng = np.random.default_rng(1)
    values = {(f"m{i:03d}", 0): rng.random(30) for i in range(40)}
    comparisons = compare(user_metrics(values))
    assert comparisons.height == 40 * 39 / 2
    assert 0.02 < (comparisons["p_value"] < 0.05).mean() < 0.09
    assert not comparisons["is_real"].any()


def test_a_small_difference_that_all_users_share_is_real_even_if_intervals_overlap() -> None:
    rng = np.random.default_rng(2)
    a = rng.random(500)
    comparisons = compare(user_metrics({("a", 0): a, ("b", 0): a + 0.01 + 0.02 * rng.standard_normal(500).clip(-3, 3)}))
    row = comparisons.row(0, named=True)
    assert row["is_real"]
    assert row["ci_low"] < row["difference"] < row["ci_high"] < 0


def test_variance_between_seeds_is_not_taken_for_a_difference_between_models() -> None:
    """Seeds move the mean by more than models do; over users alone the difference would seem sure."""
    rng = np.random.default_rng(3)
    base = rng.random(2000)
    shifts = {("a", 0): 0.05, ("a", 1): -0.05, ("b", 0): 0.02, ("b", 1): -0.06}
    values = {run: base + shift + 0.01 * rng.standard_normal(2000) for run, shift in shifts.items()}
    assert not compare(user_metrics({run: v.clip(0) for run, v in values.items()}))["is_real"][0]
    alone = {(model, 0): np.mean([v for (m, _), v in values.items() if m == model], axis=0) for model in "ab"}
    assert compare(user_metrics({run: v.clip(0) for run, v in alone.items()}))["is_real"][0]


def test_a_users_pairs_count_as_one_user() -> None:
    rng = np.random.default_rng(4)
    of_users = rng.random(20)
    once, many = of_users, np.repeat(of_users, 50)
    names = [f"u{i:05d}" for i in range(20) for _ in range(50)]
    single = compare(user_metrics({("a", 0): once, ("b", 0): once**2})).row(0, named=True)
    repeated = compare(user_metrics({("a", 0): many, ("b", 0): many**2}, names)).row(0, named=True)
    for column in ("difference", "p_value", "ci_low", "n_users"):
        assert repeated[column] == pytest.approx(single[column])


def test_equal_models_are_not_different_and_a_constant_difference_is() -> None:
    a = np.linspace(0, 0.5, 11)
    same = compare(user_metrics({("a", 0): a, ("b", 0): a})).row(0, named=True)
    assert (same["p_value"], same["is_real"], same["difference"]) == (1.0, False, 0.0)
    constant = compare(user_metrics({("a", 0): np.zeros(11), ("b", 0): np.full(11, 0.25)})).row(0, named=True)
    assert (constant["is_real"], constant["difference"]) == (True, -0.25)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_below_the_p_value_nor_above_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    m = len(p_values)
    assert all(p <= c <= min(1, m * p) + 1e-15 or c == 1 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.asarray(corrected)[order]) >= 0)


def test_holm_gives_the_values_computed_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_models_that_cannot_be_compared_are_refused() -> None:
    a = np.zeros(5)
    with pytest.raises(TooLittleDataError, match="1 model, so there is nothing to compare"):
        compare(user_metrics({("a", 0): a}))
    with pytest.raises(UsageError, match=r"a \(5 users\) and b \(4 users\) were not evaluated"):
        compare(user_metrics({("a", 0): a, ("b", 0): a[:4]}))
    with pytest.raises(TooLittleDataError, match="1 user is too few"):
        compare(user_metrics({("a", 0): a[:1], ("b", 0): a[:1]}))


def test_the_bootstrap_resamples_users_with_all_their_pairs() -> None:
    sums, counts = np.array([8.0, 0.0, 0.0]), np.array([8, 1, 1])
    assert Bootstrap(200, 0).interval(sums, counts) == (0.0, 1.0)


def test_the_interval_of_a_mean_has_the_width_of_theory() -> None:
    values = np.random.default_rng(5).random(2000)
    low, high = Bootstrap(2000, 0).interval(values, np.ones(2000))
    width = 2 * 1.96 * values.std() / 2000**0.5
    assert high - low == pytest.approx(width, rel=0.1)
    assert low < values.mean() < high
