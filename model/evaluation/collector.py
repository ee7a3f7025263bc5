"""What is collected while a model is judged, and the four tables that it becomes."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import dataframely as dy
import polars as pl
from torch import Tensor

from dataset.tables import validate
from model.data.indexed import Ids, Tables
from model.evaluation.metrics import METRICS, RankDistribution
from model.evaluation.protocol import Placed
from model.evaluation.results import Evaluation
from model.evaluation.slices import slice_metrics, slice_numbers
from model.evaluation.uncertainty import Bootstrap, average
from model.schema import HeldOutRank, SliceMetric, UserMetric

Protocol = Literal["exact", "sampled", "full"]
PROTOCOLS: tuple[Protocol, ...] = ("exact", "sampled", "full")
S = TypeVar("S", bound=dy.Schema)


@dataclass(frozen=True)
class EvaluationConfig:
    """How models are judged.

    Attributes:
        item_ks: the K of item metrics.
        frame_ks: the K of frame metrics.
        protocol: `full` ranks among all items; `exact` gives the expectation of the paper's
            protocol too; `sampled` adds what sampling really gives.
        n_negatives: sampled items a user; the paper's 1,000.
        n_repeats: how often they are sampled; the paper's 10.
        n_bootstrap: resamples of the users for the intervals.
        seed: of the negatives and the resamples; the same for all models that are compared.
    """

    item_ks: tuple[int, ...] = (5, 10, 15, 20, 30, 50)
    frame_ks: tuple[int, ...] = (1, 2, 3, 4, 5)
    protocol: Protocol = "exact"
    n_negatives: int = 1000
    n_repeats: int = 10
    n_bootstrap: int = 1000
    seed: int = 0


class Judged:
    """Collects the results of one model; all tables get `model` and `seed` at the end."""

    def __init__(self, tables: Tables, ids: Ids, config: EvaluationConfig) -> None:
        self.tables, self.ids, self.config = tables, ids, config
        self._bootstrap = Bootstrap(config.n_bootstrap, config.seed)
        self._per_user: list[pl.DataFrame] = []
        self._facts: list[dict[str, object]] = []  # what is known of a metric beside its values
        self._ranks: list[pl.DataFrame] = []
        self._slices: list[pl.DataFrame] = []

    def add(self, task: str, metric: str, k: int, owners: pl.DataFrame, values: Tensor, **facts: object) -> None:
        """Add the values of a metric for `owners` (user_id, movie_id), and facts for the `metrics` table."""
        labels = [pl.lit(task).alias("task"), pl.lit(metric).alias("metric"), pl.lit(k, pl.UInt32).alias("k")]
        self._per_user.append(owners.select(*labels, pl.all(), pl.Series("value", values.numpy())))
        self.add_fact(task, metric, k, **facts)

    def add_fact(self, task: str, metric: str, k: int, **facts: object) -> None:
        """Add facts for the `metrics` table; `value` and `n_users` where there are no values of users."""
        self._facts.append({"task": task, "metric": metric, "k": k, **facts})

    def add_ranking(
        self, task: str, names: dict[str, str], ranking: RankDistribution, owners: pl.DataFrame, n_left_out: int
    ) -> None:
        """Add metrics of one ranking at all K; `names` says what each is called in `METRICS`."""
        for k in self.config.item_ks if task == "item" else self.config.frame_ks:
            for name, metric in names.items():
                self.add(task, name, k, owners, METRICS[metric](ranking, k), n_left_out=n_left_out)

    def add_ranks(
        self, task: str, placed: Placed, owners: pl.Series, movies: pl.Series, frames: pl.Series | None
    ) -> None:
        """Add where each positive stands and, where slices are wanted, the metrics of slices."""
        ranks = placed.ranks
        users = owners[ranks.owners.numpy()]
        counts = {
            "positives_before": ranks.before, "negatives_above": ranks.above, "negatives_tied": ranks.tied,
            "place": ranks.place, "group_size": ranks.group, "n_negatives": ranks.n_negatives[ranks.owners],
        }  # fmt: skip
        table = pl.DataFrame(
            {"user_id": users, "movie_id": movies, "frame_id": "" if frames is None else frames}
            | {name: pl.Series(count.numpy()).cast(pl.UInt32) for name, count in counts.items()}
        )
        self._ranks.append(table.select(pl.lit(task).alias("task"), pl.all()))
        ks, n_sampled = self.config.frame_ks, None
        if task == "item":
            ks, n_sampled = self.config.item_ks, None if self.config.protocol == "full" else self.config.n_negatives
        sliced = slice_metrics(ranks, owners, slice_numbers(self.tables, users, movies), ks, n_sampled, self._bootstrap)
        if task == "item" and n_sampled is None:
            sliced = sliced.with_columns(metric="full_" + pl.col("metric"))
        self._slices.append(sliced.select(pl.lit(task).alias("task"), pl.all()))

    def results(self, model: str, seed: int) -> Evaluation:
        """Return the tables."""

        def table(parts: list[pl.DataFrame], schema: type[S], name: str) -> pl.DataFrame:
            run = pl.concat(parts).select(pl.lit(model).alias("model"), pl.lit(seed, pl.Int64).alias("seed"), pl.all())
            return validate(run.cast({"task": schema.columns()["task"].dtype}), schema, name)

        user_metrics = table(self._per_user, UserMetric, "user_metrics")
        facts = pl.DataFrame(self._facts, infer_schema_length=None)
        return Evaluation(
            metrics=average(user_metrics, facts, self._bootstrap),
            user_metrics=user_metrics,
            held_out_ranks=table(self._ranks, HeldOutRank, "held_out_ranks"),
            slices=table(self._slices, SliceMetric, "slices"),
        )
