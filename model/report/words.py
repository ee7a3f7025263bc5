"""What the report says in sentences: which model is best, by how much, and whether that is more than chance."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from dataset.report.numbers import Number, NumberSource, relative_gain
from model.report.names import look_of

TASKS = {"item": ("movies", 15), "frame": ("key frames", 3)}
"""For each task: what is ranked, and the K of its headline (the paper's Table 2)."""


@dataclass(frozen=True)
class Verdict:
    """A difference between two models and what to think of it.

    Attributes:
        model: the one.
        other: the other.
        difference: in the metric.
        low: of its 95 % interval.
        high: of its 95 % interval.
        p_holm: corrected for the comparisons of all pairs of models.
        is_real: whether that is below 0.05.
    """

    model: str
    other: str
    difference: Number
    low: Number
    high: Number
    p_holm: Number
    is_real: bool


@dataclass(frozen=True)
class Headline:
    """What a task comes to; `second` and `verdict` are None where only one model was judged."""

    task: str
    what: str
    k: int
    best: str
    value: Number
    second: str | None
    ahead: Number | None
    verdict: Verdict | None
    first_hit: Number | None
    random: Number | None
    over_random: Number | None
    random_first_hit: Number | None


def headline(numbers: NumberSource, task: str) -> Headline | None:
    """Return the headline of a task, None where nothing was judged."""
    what, k = TASKS[task]
    where = {"task": task, "metric": "ndcg", "k": k}
    order = ranked(numbers, task)
    if not order:
        return None
    best, second = order[0], order[1] if len(order) > 1 else None
    value = _mean(numbers, best, **where)
    if value is None:
        return None
    after = _mean(numbers, second, **where) if second else None
    random = _mean(numbers, "random", **where) if best != "random" else None
    first = {"task": task, "metric": "hr", "k": 1}
    return Headline(
        task,
        what,
        k,
        best,
        value,
        second,
        relative_gain(value, after) if after and after.value else None,
        verdict(numbers, best, second, **where) if second else None,
        _mean(numbers, best, **first) if task == "frame" else None,
        random,
        relative_gain(value, random) if random and random.value else None,
        _mean(numbers, "random", **first) if task == "frame" else None,
    )


def ranked(numbers: NumberSource, task: str) -> list[str]:
    """Return the models that were judged on a task, best first, by NDCG at the headline's K."""
    rows = numbers.rows("metrics.parquet", task=task, metric="ndcg", k=TASKS[task][1])
    if rows.is_empty():
        return []
    means = rows.group_by("model").agg(pl.col("value").mean()).sort("value", "model", descending=[True, False])
    return means["model"].to_list()


def verdict(numbers: NumberSource, model: str, other: str, **where: Any) -> Verdict | None:
    """Return the comparison of two models in a metric, turned so that `model` comes first; None where there is none."""
    file = "comparisons.parquet"
    turned = numbers.rows(file, model=other, other=model, **where).height > 0
    key = {**where, "model": other, "other": model} if turned else {**where, "model": model, "other": other}
    row = numbers.rows(file, **key)
    if row.is_empty():
        return None
    asked = [numbers.of(file, column, **key) for column in ("difference", "ci_low", "ci_high", "p_holm")]
    difference, low, high, p_holm = (number for number in asked if number is not None)
    if turned:
        difference, low, high = difference.negative(), high.negative(), low.negative()
    return Verdict(model, other, difference, low, high, p_holm, bool(row["is_real"][0]))


def surprises(numbers: NumberSource) -> list[tuple[str, str, str]]:
    """Return (task's word, model, simpler model) where JIFR is not ahead of what is simpler: said, not hidden."""
    found = []
    for task, (what, _) in TASKS.items():
        order = ranked(numbers, task)
        for simpler in ("jifr_na", "bpr", "popular", "random"):
            if "jifr" in order and simpler in order and order.index(simpler) < order.index("jifr"):
                found.append((what, look_of("jifr").title, look_of(simpler).title))
    return found


def _mean(numbers: NumberSource, model: str, **where: Any) -> Number | None:
    return numbers.of("metrics.parquet", "mean(value)", model=model, **where)
