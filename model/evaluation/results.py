"""The tables that an evaluation returns."""

from dataclasses import dataclass

import dataframely as dy
import polars as pl

from model.schema import HeldOutRank, Metric, SliceMetric, UserMetric

EVALUATION_TABLES: dict[str, type[dy.Schema]] = {
    "metrics": Metric,
    "user_metrics": UserMetric,
    "held_out_ranks": HeldOutRank,
    "slices": SliceMetric,
}


@dataclass(frozen=True)
class Evaluation:
    """The results of one model on one split: four tables, each with the columns of a class of `model.schema`.

    Attributes:
        metrics: `Metric`.
        user_metrics: `UserMetric`.
        held_out_ranks: `HeldOutRank`.
        slices: `SliceMetric`.
    """

    metrics: pl.DataFrame
    user_metrics: pl.DataFrame
    held_out_ranks: pl.DataFrame
    slices: pl.DataFrame
