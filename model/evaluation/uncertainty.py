"""Means over users with confidence intervals, and tests of whether models differ by more than chance.

The users are a sample of a larger population, so intervals and tests are over users. The pairs of
one user (task `frame`) are not independent, so they stay together: the mean over pairs is a ratio,
Σ_u (sum over the user's pairs) / Σ_u (number of the user's pairs), and users are resampled.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy import stats

from dataset.errors import TooLittleDataError, UsageError
from dataset.tables import validate
from model.schema import Comparison, Metric

ALPHA = 0.05
_KEYS = ["task", "metric", "k"]


@dataclass
class Bootstrap:
    """95 % percentile bootstrap intervals. Metrics over the same number of users share their resamples.

    Attributes:
        n_resamples: number of resamples.
        seed: for the resamples.

    Source: Efron & Tibshirani 1993, chapter 13.
    """

    n_resamples: int
    seed: int
    _weights: dict[int, np.ndarray] = field(default_factory=dict)

    def interval(self, sums: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
        """Return the bounds of Σ sums / Σ counts, for (n_users,) sums and counts."""
        n = len(sums)
        if n not in self._weights:
            drawn = np.random.default_rng([self.seed, n]).multinomial(n, np.full(n, 1 / n), size=self.n_resamples)
            self._weights[n] = drawn.astype(np.float32)  # the counts are small whole numbers
        weights = self._weights[n]
        low, high = np.quantile((weights @ sums) / (weights @ counts), [ALPHA / 2, 1 - ALPHA / 2])
        return float(low), float(high)


def average_metrics(user_metrics: pl.DataFrame, facts: pl.DataFrame, bootstrap: Bootstrap) -> pl.DataFrame:
    """Return the `metrics` table of one run.

    Args:
        user_metrics: the `UserMetric` rows.
        facts: one row per task, metric and k with `n_left_out`, `std` and `negatives_sha256`; for
            metrics without per-user values also `value` and `n_users`.
        bootstrap: computes the intervals.
    """
    run = user_metrics.select("model", "seed").row(0)
    averaged = {}
    for key, group in user_metrics.group_by(_KEYS, maintain_order=True):
        users = by_user(group)
        interval = bootstrap.interval(users["sum"].to_numpy(), users["n"].to_numpy())
        averaged[key] = (group["value"].mean(), *interval, group.height)
    columns = {name: column.dtype for name, column in Metric.columns().items()}
    rows = []
    for fact in facts.iter_rows(named=True):
        value, low, high, n = averaged.get(
            tuple(fact[key] for key in _KEYS), (fact.get("value"), None, None, fact.get("n_users"))
        )
        rest = (fact["n_left_out"], fact.get("std"), fact.get("negatives_sha256"))
        rows.append((*run, *(fact[key] for key in _KEYS), value, low, high, n, *rest))
    return validate(pl.DataFrame(rows, schema=columns, orient="row"), Metric, "metrics")


def by_user(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per user: `user_id`, the `sum` of the user's values, and their number `n`."""
    return rows.group_by("user_id").agg(pl.col("value").sum().alias("sum"), pl.len().alias("n")).sort("user_id")


def compare(
    user_metrics: pl.DataFrame, baselines: Collection[str] = (), only: Collection[tuple[str, str]] = ()
) -> pl.DataFrame:
    """Return the `comparisons` table: a paired t-test over users for every pair of models and every metric.

    With `baselines`, only the pairs of one of them and another model are tested, and with `only`, these pairs of
    `model` and `other`. So fewer tests are corrected for.

    A model's value for a user is the mean over its seeds. The variance of the difference is the
    variance over users plus, for a model with several seeds, the variance of its mean between
    seeds. Degrees of freedom follow Welch and Satterthwaite. With one seed per model and one value
    per user, the test is `scipy.stats.ttest_rel`.

    Why the t-test: it tests the mean, which is what is reported (Wilcoxon's test and the sign test
    do not); it agrees with the permutation test and the bootstrap at these sizes (Smucker et al.
    2007); it keeps its error rate (Urbano et al. 2019); and its p-values, unlike those of
    resampling, are fine enough to be corrected for many comparisons.

    Raises:
        TooLittleDataError: there are fewer than two models, or fewer than two users.
        UsageError: two models were not evaluated on the same users and movies.
    """
    models = user_metrics["model"].unique().sort().to_list()
    if len(models) < 2:
        raise TooLittleDataError(
            f"user_metrics: {len(models)} model, so there is nothing to compare; give runs of at least two models"
        )
    rows: list[tuple[object, ...]] = []
    for key, group in user_metrics.group_by(_KEYS, maintain_order=True):
        by_model = {
            str(model): _ModelValues.of(part) for (model,), part in group.group_by("model", maintain_order=True)
        }
        every = [pair for pair in only if {*pair} <= {*by_model}] or itertools.combinations(sorted(by_model), 2)
        pairs = [pair for pair in every if not baselines or len({*pair} & {*baselines}) == 1]
        tested = [_test(by_model[model], by_model[other], model, other) for model, other in pairs]
        corrected = holm([test.p_value for test in tested])
        for (model, other), test, p_holm in zip(pairs, tested, corrected, strict=True):
            values = (by_model[model].mean, by_model[other].mean, test.difference, test.low, test.high, test.p_value)
            sizes = (test.n_users, by_model[model].n_seeds, by_model[other].n_seeds)
            rows.append((*key, model, other, *values, p_holm, p_holm < ALPHA, *sizes))
    columns = {name: column.dtype for name, column in Comparison.columns().items()}
    return validate(pl.DataFrame(rows, schema=columns, orient="row"), Comparison, "comparisons")


def holm(p_values: list[float]) -> list[float]:
    """Return p-values corrected for m comparisons: the i-th smallest times m − i + 1, non-decreasing, at most 1.

    Then the probability that chance makes any difference look real is at most 5 %, even if the tests
    depend on each other.

    Source: Holm 1979.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors)) if len(order) else []
    return [float(p) for p in corrected]


@dataclass(frozen=True)
class _ModelValues:
    """A model's values of one metric.

    Attributes:
        user_ids: (n_users,) user_id.
        sums: (n_users,) sums over the user's pairs, averaged over seeds.
        counts: (n_users,) numbers of pairs.
        seed_means: (n_seeds,) mean of each seed.
    """

    user_ids: pl.Series
    sums: np.ndarray
    counts: np.ndarray
    seed_means: np.ndarray

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "_ModelValues":
        """Gather the rows of one model and metric."""
        n_seeds = rows["seed"].n_unique()
        users = by_user(rows)
        means = rows.group_by("seed").agg(pl.col("value").mean()).sort("seed")["value"].to_numpy()
        return cls(users["user_id"], users["sum"].to_numpy() / n_seeds, users["n"].to_numpy() / n_seeds, means)

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.counts.sum())

    @property
    def n_seeds(self) -> int:
        return len(self.seed_means)


@dataclass(frozen=True)
class _TTest:
    difference: float
    low: float
    high: float
    p_value: float
    n_users: int


def _test(first: _ModelValues, second: _ModelValues, model: str, other: str) -> _TTest:
    if not first.user_ids.equals(second.user_ids) or not np.array_equal(first.counts, second.counts):
        raise UsageError(
            f"{model} ({len(first.user_ids):,} users) and {other} ({len(second.user_ids):,} users) were not evaluated "
            "on the same users and movies; evaluate both on the same snapshot and split"
        )
    n = len(first.sums)
    if n < 2:
        raise TooLittleDataError(
            f"user_metrics: {n} user is too few to compare {model} and {other}; at least 2 are needed"
        )
    difference = first.mean - second.mean
    total = first.counts.sum()
    residuals = first.sums - second.sums - difference * first.counts
    variances = [n / (n - 1) * float(residuals @ residuals) / total**2]
    freedoms = [n - 1]
    for values in (first, second):
        if values.n_seeds > 1:
            variances.append(float(values.seed_means.var(ddof=1)) / values.n_seeds)
            freedoms.append(values.n_seeds - 1)
    variance = sum(variances)
    if variance <= (1e-12 * max(abs(difference), 1e-300)) ** 2:  # the same difference for every user
        return _TTest(difference, difference, difference, 0.0 if abs(difference) > 1e-12 else 1.0, n)
    freedom = variance**2 / sum(v**2 / df for v, df in zip(variances, freedoms, strict=True))
    error = variance**0.5
    margin = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return _TTest(difference, difference - margin, difference + margin, p_value, n)
