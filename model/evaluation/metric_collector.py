"""Collects the metrics of one model and turns them into the four result tables."""

from typing import TypeVar

import dataframely as dy
import polars as pl
from torch import Tensor

from dataset.tables import validate
from model.data.tables import Ids, Tables
from model.evaluation.config import EvaluationConfig
from model.evaluation.metrics import METRICS, RankDistribution
from model.evaluation.ranking import RankedPositives
from model.evaluation.results import Evaluation
from model.evaluation.slices import slice_metrics, slice_values
from model.evaluation.uncertainty import Bootstrap, average_metrics
from model.schema import HeldOutRank, SliceMetric, UserMetric

S = TypeVar("S", bound=dy.Schema)


class MetricCollector:
    """Collects the results of one model. `results` adds the columns `model` and `seed`."""

    def __init__(self, tables: Tables, ids: Ids, config: EvaluationConfig) -> None:
        self.tables, self.ids, self.config = tables, ids, config
        self._bootstrap = Bootstrap(config.n_bootstrap, config.seed)
        self._per_user: list[pl.DataFrame] = []
        self._facts: list[dict[str, object]] = []  # the other columns of `metrics`
        self._ranks: list[pl.DataFrame] = []
        self._slices: list[pl.DataFrame] = []

    def add(self, task: str, metric: str, k: int, owners: pl.DataFrame, values: Tensor, **facts: object) -> None:
        """Add a metric's values for `owners` (user_id, movie_id), and other columns (facts) of its `metrics` row."""
        labels = [pl.lit(task).alias("task"), pl.lit(metric).alias("metric"), pl.lit(k, pl.UInt32).alias("k")]
        self._per_user.append(owners.select(*labels, pl.all(), pl.Series("value", values.numpy())))
        self.add_metrics_row(task, metric, k, **facts)

    def add_metrics_row(self, task: str, metric: str, k: int, **facts: object) -> None:
        """Add a `metrics` row with these facts; a metric without per-user values needs `value` and `n_users`."""
        self._facts.append({"task": task, "metric": metric, "k": k, **facts})

    def add_ranking(
        self, task: str, names: dict[str, str], ranking: RankDistribution, owners: pl.DataFrame, n_left_out: int
    ) -> None:
        """Add metrics of one ranking at all K. `names` maps each metric's name to its key in `METRICS`."""
        for k in self.config.item_ks if task == "item" else self.config.frame_ks:
            for name, metric in names.items():
                self.add(task, name, k, owners, METRICS[metric](ranking, k), n_left_out=n_left_out)

    def add_ranks(
        self, task: str, ranked: RankedPositives, owners: pl.Series, movies: pl.Series, frames: pl.Series | None
    ) -> None:
        """Add the position of each positive, and the metrics per slice.

        Args:
            task: "item" or "frame".
            ranked: the n positives.
            owners: (n_owners,) user_id of each owner.
            movies: (n,) movie_id.
            frames: (n,) frame_id, None for task "item".
        """
        ranks = ranked.counts
        users = owners[ranks.owners.numpy()]
        counts = {
            "positives_before": ranks.positives_before, "negatives_above": ranks.negatives_above,
            "negatives_tied": ranks.negatives_tied, "place": ranks.place, "group_size": ranks.group_size,
            "n_negatives": ranks.n_negatives[ranks.owners],
        }  # fmt: skip
        table = pl.DataFrame(
            {"user_id": users, "movie_id": movies, "frame_id": "" if frames is None else frames}
            | {name: pl.Series(count.numpy()).cast(pl.UInt32) for name, count in counts.items()}
        )
        self._ranks.append(table.select(pl.lit(task).alias("task"), pl.all()))
        ks, n_sampled = self.config.frame_ks, None
        if task == "item":
            ks, n_sampled = self.config.item_ks, None if self.config.protocol == "full" else self.config.n_negatives
        sliced = slice_metrics(ranks, owners, slice_values(self.tables, users, movies), ks, n_sampled, self._bootstrap)
        if task == "item" and n_sampled is None:
            sliced = sliced.with_columns(metric="full_" + pl.col("metric"))
        self._slices.append(sliced.select(pl.lit(task).alias("task"), pl.all()))

    def results(self, model: str, seed: int) -> Evaluation:
        """Return the four result tables of the model, trained with `seed`."""

        def table(parts: list[pl.DataFrame], schema: type[S], name: str) -> pl.DataFrame:
            run = pl.concat(parts).select(pl.lit(model).alias("model"), pl.lit(seed, pl.Int64).alias("seed"), pl.all())
            return validate(run.cast({"task": schema.columns()["task"].dtype}), schema, name)

        user_metrics = table(self._per_user, UserMetric, "user_metrics")
        facts = pl.DataFrame(self._facts, infer_schema_length=None)
        return Evaluation(
            metrics=average_metrics(user_metrics, facts, self._bootstrap),
            user_metrics=user_metrics,
            held_out_ranks=table(self._ranks, HeldOutRank, "held_out_ranks"),
            slices=table(self._slices, SliceMetric, "slices"),
        )
