"""The report's section on splits: whether another split of the data orders the models alike, or why that is unknown."""

from dataclasses import dataclass

import polars as pl

from dataset.report.numbers import Number, NumberSource
from dataset.snapshots.manifest import Manifest
from dataset.wording import Wording
from model.report.headlines import TASKS

SPLITS_FILE = "splits.parquet"
_NEED_TIMES = ("temporal", "leave-one-out", "cut-off")


@dataclass(frozen=True)
class OrderOnAnotherSplit:
    """Kendall's τ between the models' order here and on another split.

    Attributes:
        what: what is ranked.
        k: the K of NDCG@K.
        other: the other snapshot.
        split: how that is split.
        tau: Kendall's τ.
        low: the lower end of its 95 % interval.
        high: the upper end.
        n_models: the number of models in both orders.
        agrees: whether the interval is above 0.
    """

    what: str
    k: int
    other: str
    split: str
    tau: Number
    low: Number
    high: Number
    n_models: Number
    agrees: bool


def strategy_of(manifest: Manifest) -> str:
    """Return how a snapshot was split; "unknown" if its manifest does not say so."""
    return str((manifest.config.get("split") or {}).get("strategy", "unknown"))


def orders_on_other_splits(numbers: NumberSource, wording: Wording) -> list[OrderOnAnotherSplit]:
    """Return the comparisons with other splits; none if the study had one split."""
    found = []
    for row in numbers.rows(SPLITS_FILE).iter_rows(named=True):
        key = {"task": row["task"], "other": row["other"]}
        asked = [numbers.of(SPLITS_FILE, column, **key) for column in ("tau", "ci_low", "ci_high", "n_models")]
        tau, low, high, n_models = (number for number in asked if number is not None)
        what = wording.fill(TASKS[row["task"]][0])
        found.append(
            OrderOnAnotherSplit(
                what, row["k"], row["other"], row["other_split"], tau, low, high, n_models, row["ci_low"] > 0
            )
        )
    return found


def why_one_split(manifest: Manifest, interactions: pl.DataFrame) -> str:
    """Return why the models' order was not compared with that on another split."""
    mine = strategy_of(manifest)
    times = [name for name in ("rated_on", "rated_at") if name in interactions.columns]
    if all(interactions[name].null_count() == interactions.height for name in times):
        return (
            "The interactions have no times, so there is no temporal split to compare with: whether the order of the "
            "models would be the same on one is unknown."
        )
    wanted = "random" if mine in _NEED_TIMES else "temporal"
    return (
        f"This experiment has one split ({mine}), so it is unknown whether the models' order depends on it. To see it, "
        f"build and publish the same data with --split {wanted}, and list both snapshots in a study."
    )
