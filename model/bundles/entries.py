"""Puts the results of several bundles in order: which metric, at which K, and who is best by more than chance.

On one data set, all bundles are compared over all items (`full_ndcg`), which every protocol has: metrics over samples
depend on how many items are sampled. Key frames are compared by `ndcg`. Models that have something in place of their
pictures are in no table.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from dataset.errors import PipelineError
from model.bundles.contents import Bundle, BundledSnapshot
from model.bundles.recomputed import MEAN_RANK
from model.evaluation.uncertainty import compare
from model.report.headlines import TASKS
from model.report.model_styles import arm_of, is_contender
from model.schema import Entry

MEASURES: dict[str, tuple[str, str, str | None]] = {
    "item": ("full_hr", "full_ndcg", "ndcg"),
    "frame": ("hr", "ndcg", None),
}
"""For each task: HR, the NDCG that the page sorts by, and the NDCG among sampled items."""

_OF_DATA = ["bundle", "model", "task", "metric", "k"]


@dataclass(frozen=True)
class Place:
    """A model of a bundle in a table."""

    bundle: str
    model: str
    is_verified: bool


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        snapshot: the data.
        task: "item" or "frame".
        k: the K of all metrics.
        entries: the models, from the best to the worst.
        best: the best one that is verified and no upper bound; None if there is none.
        others: bundle and model of those that were not evaluated at this K.
        n_sampled: the sampled items of the paper's protocol; None unless some models have it, with the same number, and
            some numbers then differ.
    """

    snapshot: BundledSnapshot
    task: str
    k: int
    entries: list[Place]
    best: Place | None
    others: list[tuple[str, str]]
    n_sampled: int | None


def tables_of(bundles: Sequence[Bundle], verified: Collection[str]) -> tuple[list[Table], pl.DataFrame]:
    """Return the page's tables, and the `Entry` rows that their numbers come from.

    Args:
        bundles: the bundles, with names that differ.
        verified: the names of those that were verified.
    """
    tables: list[Table] = []
    parts: list[pl.DataFrame] = []
    for digest in dict.fromkeys(bundle.manifest.snapshot.content_digest for bundle in bundles):
        of_data = [bundle for bundle in bundles if bundle.manifest.snapshot.content_digest == digest]
        rows = pl.concat([_means(bundle) for bundle in of_data]).with_columns(
            is_verified=pl.col("bundle").is_in(list(verified))
        )
        p_values: dict[tuple[str, str, str, str, int], float] = {}
        for task in TASKS:
            table = _table(of_data, rows, task)
            if table is not None:
                tables.append(table)
                p_values |= _against_best(of_data, table)
        keys = [tuple(row) for row in rows.select(_OF_DATA).iter_rows()]
        found = pl.Series([p_values.get(key) for key in keys], dtype=pl.Float64)
        parts.append(rows.with_columns(data=pl.lit(digest), p_best=found))
    columns = {name: column.dtype for name, column in Entry.columns().items()}
    entries = pl.concat(parts) if parts else pl.DataFrame(schema=columns)
    return tables, entries.select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def _means(bundle: Bundle) -> pl.DataFrame:
    """Return the means over seeds of all metrics of a bundle that have a K."""
    rows = bundle.tables["metrics"].filter(pl.col("metric") != MEAN_RANK)
    return (
        rows.with_columns(pl.col("task").cast(pl.String), bundle=pl.lit(bundle.name))
        .group_by(_OF_DATA, maintain_order=True)
        .agg(
            pl.col("value", "ci_low", "ci_high").mean(),
            std=pl.col("value").std(),
            n_seeds=pl.len(),
            n_users=pl.col("n_users").max(),
        )
    )


def _table(bundles: Sequence[Bundle], rows: pl.DataFrame, task: str) -> Table | None:
    _, ndcg, sampled = MEASURES[task]
    arms = [label for label in rows["model"].unique() if arm_of(label)]
    of_task = rows.filter(~pl.col("model").is_in(arms), task=task, metric=ndcg)
    if of_task.is_empty():
        return None
    k = _shared_k(of_task["k"].to_list(), TASKS[task][1])
    order = of_task.filter(k=k).sort("value", "model", "bundle", descending=[True, False, False])
    entries = [Place(*row) for row in order.select("bundle", "model", "is_verified").iter_rows()]
    others = of_task.join(order, on=["bundle", "model"], how="anti").select("bundle", "model").unique().sort(pl.all())
    best = next((one for one in entries if one.is_verified and is_contender(one.model)), None)
    n_sampled = _n_sampled(bundles, rows, order, k) if sampled else None
    return Table(bundles[0].manifest.snapshot, task, k, entries, best, list(others.iter_rows()), n_sampled)


def _shared_k(ks: Sequence[int], usual: int) -> int:
    """Return the K that most models have; of several, the usual one or else the largest below it, or the smallest."""
    times = Counter(ks)
    most = [k for k, n in times.items() if n == max(times.values())]
    return max((k for k in most if k <= usual), default=min(most))


def _n_sampled(bundles: Sequence[Bundle], rows: pl.DataFrame, order: pl.DataFrame, k: int) -> int | None:
    sampled = MEASURES["item"][2]
    numbers = {
        run.evaluation.n_negatives
        for bundle in bundles
        for run in bundle.manifest.runs
        if run.evaluation.protocol != "full"
    }
    both = rows.filter(task="item", metric=sampled, k=k).join(order, on=["bundle", "model"], suffix="_full")
    differs = both.filter((pl.col("value") - pl.col("value_full")).abs() > 1e-9).height > 0
    return numbers.pop() if len(numbers) == 1 and differs else None


def _against_best(bundles: Sequence[Bundle], table: Table) -> dict[tuple[str, str, str, str, int], float]:
    """Return the p-values of the differences from the best model, over the same people, by the keys of the rows."""
    _, ndcg, _ = MEASURES[table.task]
    asked = {f"{one.bundle}/{one.model}": one for one in table.entries if one.is_verified}
    if table.best is None or len(asked) < 2:
        return {}
    parts = [
        bundle.tables["user_metrics"]
        .filter(pl.col("task").cast(pl.String) == table.task, metric=ndcg, k=table.k)
        .with_columns(model=pl.lit(f"{bundle.name}/") + pl.col("model"))
        for bundle in bundles
    ]
    best = f"{table.best.bundle}/{table.best.model}"
    judged = pl.concat(parts).filter(pl.col("model").is_in(list(asked)))
    return dict(_p_values(judged, best, asked, (table.task, ndcg, table.k)))


def _p_values(
    judged: pl.DataFrame, best: str, asked: dict[str, Place], of_metric: tuple[str, str, int]
) -> Iterator[tuple[tuple[str, str, str, str, int], float]]:
    try:
        compared = compare(judged, [best])
    except PipelineError:  # sets of features that cover other frames are not judged on the same pairs
        return
    for model, other, p_holm in compared.select("model", "other", "p_holm").iter_rows():
        place = asked[other if model == best else model]
        yield (place.bundle, place.model, *of_metric), p_holm
