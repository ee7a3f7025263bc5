"""The tables of a study: those of its runs and lists together and, of folds, what they say together.

The folds of a model and seed count as one judgement, in which each pair of train and validation is held out once:

    metrics, user_metrics    a user's value is the mean over the folds that hold out a pair of theirs; a metric is the
                             mean over users, with intervals over users
    held_out_ranks           of all folds
    costs                    means over the folds; for memory and weights, the largest
    training                 of the first fold
    slices                   empty, as their bounds differ between folds
    folds                    the metrics of each fold
    fold_pairs               which pair of a user and an item is in which fold
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from dataset.tables import empty, read_table, validate
from model.evaluation.results import EVALUATION_TABLES
from model.evaluation.uncertainty import Bootstrap, average_metrics
from model.experiments.run_task import RunTask
from model.schema import Cost, FoldMetric, Training

TABLES: dict[str, type[dy.Schema]] = {"training": Training, "costs": Cost, **EVALUATION_TABLES}
"""The tables of a study, in the order in which they are written."""

FOLDS_FILE, PAIRS_FILE = "folds.parquet", "fold_pairs.parquet"
_METRIC = ["task", "metric", "k"]


@dataclass(frozen=True)
class Result:
    """What a model, or another tool's lists, have reached with one seed, on the test split or on one fold.

    Attributes:
        label: its name in the tables.
        seed: the seed.
        fold: the fold's number; None for the test split.
        table: returns a table by name, None if there is none.
    """

    label: str
    seed: int
    fold: int | None
    table: Callable[[str], pl.DataFrame | None]

    def named(self, name: str) -> list[pl.DataFrame]:
        """Return a table under the label; none if there is none."""
        found = self.table(name)
        return [] if found is None else [found.with_columns(model=pl.lit(self.label))]


def result_of(task: RunTask) -> Result:
    """Return what a finished run has reached."""

    def table(name: str) -> pl.DataFrame:
        return read_table(task.folder / f"{name}.parquet", TABLES[name])

    return Result(task.label, task.seed, task.fold.number if task.fold else None, table)


def table_of(name: str, results: Sequence[Result], bootstrap: Bootstrap) -> pl.DataFrame:
    """Return a table of `TABLES` for all results.

    Args:
        name: the table.
        results: of all models, seeds and folds.
        bootstrap: computes the intervals of metrics over folds.
    """
    if all(one.fold is None for one in results):
        return _together(name, results)
    if name == "slices":
        return empty(TABLES[name])
    if name == "training":
        return _together(name, [one for one in results if one.fold == 1])
    if name == "metrics":
        users = table_of("user_metrics", results, bootstrap).partition_by("model", "seed", as_dict=True)
        facts = fold_metrics(results).partition_by("model", "seed", as_dict=True)
        return pl.concat([average_metrics(rows, _facts(facts[key], rows), bootstrap) for key, rows in users.items()])
    rows = _together(name, results)
    if name == "user_metrics":
        rows = rows.group_by("model", "seed", *_METRIC, "user_id", "movie_id", maintain_order=True).agg(
            pl.col("value").mean()
        )
    if name == "costs":
        rows = _mean_costs(rows)
    return validate(rows.select(list(TABLES[name].columns())), TABLES[name], name)


def fold_metrics(results: Sequence[Result]) -> pl.DataFrame:
    """Return the `FoldMetric` table of results on folds."""
    parts = [table.with_columns(fold=pl.lit(one.fold, pl.UInt32)) for one in results for table in one.named("metrics")]
    return validate(pl.concat(parts), FoldMetric, "folds")


def _together(name: str, results: Sequence[Result]) -> pl.DataFrame:
    return pl.concat([empty(TABLES[name]), *(table for one in results for table in one.named(name))])


def _facts(folds: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Return what `average_metrics` takes.

    Of users, those who have no pair in any fold are left out; a pair (task `frame`) is in one fold.

    Args:
        folds: the metrics of one model and seed on each fold.
        users: their values of users.
    """
    is_item, n_judged = pl.col("task") == "item", users.filter(pl.col("task") == "item")["user_id"].n_unique()
    n_all = (pl.col("n_users") + pl.col("n_left_out")).max()
    return folds.group_by(_METRIC, maintain_order=True).agg(
        pl.col("value").mean(),
        pl.lit(n_judged).alias("n_users"),
        pl.when(is_item.first()).then(n_all - n_judged).otherwise(pl.col("n_left_out").sum()).alias("n_left_out"),
        pl.when(pl.col("std").null_count() == 0).then(pl.col("std").pow(2).sum().sqrt() / pl.len()).alias("std"),
        pl.col("negatives_sha256").map_batches(_digest, return_dtype=pl.String, returns_scalar=True),
    )


def _digest(digests: pl.Series) -> str | None:
    """Return a SHA-256 of the folds' samples of negatives, None without such."""
    if digests.null_count():
        return None
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _mean_costs(costs: pl.DataFrame) -> pl.DataFrame:
    means = [pl.col(name).mean() for name in ("train_s", "evaluate_s")]
    rounded = [pl.col(name).mean().round().cast(pl.UInt32) for name in ("n_epochs", "best_epoch")]
    largest = [pl.col(name).max() for name in ("n_parameters", "n_threads", "peak_memory_bytes")]
    return costs.group_by("model", "seed", maintain_order=True).agg(*means, *rounded, *largest)
