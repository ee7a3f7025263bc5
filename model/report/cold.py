"""The report's comparison of models on cold movies: those with no or few train interactions."""

from dataclasses import dataclass

import polars as pl

from dataset.report.numbers import Number, NumberSource, NumberTable, Row
from model.evaluation.slices import FEW
from model.report.model_styles import style_of

_FILE = "slices.parquet"
_GROUPS = {(0, 0): "no train interaction", (1, FEW): f"1 to {FEW} train interactions"}


@dataclass(frozen=True)
class ColdMovies:
    """How the models rank cold movies.

    Attributes:
        table: NDCG and its 95 % interval of each model, by group.
        leaders: for each group, its words, the best model's title and its NDCG, and the group's held-out pairs.
    """

    table: NumberTable
    leaders: list[tuple[str, str, Number, Number]]


def cold_movies(numbers: NumberSource, k: int, order: list[str], items: str = "movies") -> ColdMovies | None:
    """Return the comparison; None if no held-out movie is cold.

    Args:
        numbers: a source that may have `slices.parquet`.
        k: the K of NDCG@K.
        order: the models, best first.
        items: what the data call their items.
    """
    where = {"task": "item", "slice_by": "item_popularity", "metric": "ndcg", "k": k}
    rows = numbers.rows(_FILE, **where)
    rows = rows.filter(pl.col("model").is_in(order)) if rows.height else rows
    found = set(rows.select("low", "high").rows()) if rows.height else set()
    groups = {bounds: words for bounds, words in _GROUPS.items() if bounds in found}
    if not groups:
        return None
    columns = [column for words in groups.values() for column in (words, "from", "to")]
    table = NumberTable(
        f"NDCG@{k} of {items} by their train interactions, mean over seeds, with its 95 % interval",
        "model",
        columns,
        [
            Row(
                style_of(model).title,
                [
                    (numbers.of(_FILE, f"mean({column})", model=model, low=low, high=high, **where), ".3f")
                    for low, high in groups
                    for column in ("value", "ci_low", "ci_high")
                ],
            )
            for model in order
        ],
    )
    return ColdMovies(table, [_leader(numbers, rows, words, where, *bounds) for bounds, words in groups.items()])


def _leader(
    numbers: NumberSource, rows: pl.DataFrame, words: str, where: dict[str, object], low: int, high: int
) -> tuple[str, str, Number, Number]:
    """Return the words of a group, the best model's title, its NDCG, and the group's held-out pairs."""
    means = rows.filter(low=low, high=high).group_by("model").agg(pl.col("value").mean())
    best = means.sort(["value", "model"], descending=[True, False])["model"][0]
    value, n = (
        numbers.of(_FILE, what, model=best, low=low, high=high, **where) for what in ("mean(value)", "max(n_positives)")
    )
    if value is None or n is None:
        raise ValueError(f"{_FILE} has no value of {best}")
    return words, style_of(best).title, value, n
