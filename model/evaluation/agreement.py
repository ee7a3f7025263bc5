"""Whether two evaluations order the models alike, for example on a random and on a temporal split of the same data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from model.evaluation.uncertainty import ALPHA, by_user


@dataclass(frozen=True)
class Agreement:
    """Kendall's τ between two orders of models.

    Attributes:
        tau: τ-b of the models' means: 1 for the same order, −1 for the opposite one.
        low: the lower end of its 95 % interval over users.
        high: the upper end.
        n_users: the users of either evaluation.
    """

    tau: float
    low: float
    high: float
    n_users: int


def order_agreement(
    one: pl.DataFrame, other: pl.DataFrame, models: Sequence[str], n_resamples: int, seed: int
) -> Agreement | None:
    """Return how alike two evaluations order the models; None if τ is undefined, as for one model.

    The interval is a percentile bootstrap over users; a user who is in both evaluations is drawn for both.

    Args:
        one: the `UserMetric` rows of one metric, task and K.
        other: the same of the other evaluation.
        models: models that both have.
        n_resamples: the number of resamples.
        seed: for the resamples.

    Source: Kendall 1945 (τ-b); Efron & Tibshirani 1993, chapter 13.
    """
    if len(models) < 2:
        return None
    users = pl.concat([one["user_id"], other["user_id"]]).unique().sort()
    sides = [_sums(rows, models, users) for rows in (one, other)]
    whole = np.ones((1, len(users)), dtype=np.float32)
    tau = _taus(sides, whole)[0]
    if np.isnan(tau):
        return None
    n = len(users)
    drawn = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float32)
    low, high = np.nanquantile(_taus(sides, drawn), [ALPHA / 2, 1 - ALPHA / 2])
    return Agreement(float(tau), float(low), float(high), n)


def _sums(rows: pl.DataFrame, models: Sequence[str], users: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return (users, models) sums of values, and (users, models) numbers of values."""
    found = []
    for model in models:
        mine = by_user(rows.filter(pl.col("model") == model))
        found.append(users.to_frame("user_id").join(mine, on="user_id", how="left", maintain_order="left").fill_null(0))
    return (
        np.stack([one["sum"].cast(pl.Float32).to_numpy() for one in found], axis=1),
        np.stack([one["n"].cast(pl.Float32).to_numpy() for one in found], axis=1),
    )


def _taus(sides: Sequence[tuple[np.ndarray, np.ndarray]], weights: np.ndarray) -> np.ndarray:
    """Return τ-b for each row of (resamples, users) weights."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [(weights @ sums) / (weights @ counts) for sums, counts in sides]  # (resamples, models)
        return np.array([stats.kendalltau(first, second).statistic for first, second in zip(*means, strict=True)])
