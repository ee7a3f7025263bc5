"""The report's headlines: which model is best, by how much, and whether that is more than chance."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from dataset.report.numbers import Number, NumberSource, relative_gain
from dataset.wording import Wording
from model.report.model_styles import is_contender, style_of

FOLDS_FILE = "folds.parquet"
TASKS = {"item": ("{items}", 15), "frame": ("key frames", 3)}
"""For each task: what is ranked (for `Wording.fill`), and the K of its headline (as in the paper's Table 2)."""


@dataclass(frozen=True)
class Difference:
    """The difference between two models in a metric, and whether it is more than chance.

    Attributes:
        model: the first model.
        other: the second model.
        amount: the metric of the first minus that of the second.
        low: the lower end of the 95 % interval of `amount`.
        high: the upper end.
        p_holm: the p-value, corrected for the comparisons of all pairs of models.
        is_real: whether `p_holm` is below 0.05.
    """

    model: str
    other: str
    amount: Number
    low: Number
    high: Number
    p_holm: Number
    is_real: bool


@dataclass(frozen=True)
class Headline:
    """The result of a task in a few numbers; `second` and `lead` are None if only one model was evaluated.

    Attributes:
        task: "item" or "frame".
        what: what is ranked, in words.
        k: the K of the metric.
        best: the model with the highest NDCG.
        value: its NDCG.
        second: the next best model.
        gain_over_second: the relative gain of `best` over `second`.
        lead: the difference between the two.
        first_hit: for frames, how often the model's first frame is a liked one.
        random: the NDCG of guessing.
        gain_over_random: the relative gain of `best` over guessing.
        random_first_hit: how often guessing shows a liked frame first.
    """

    task: str
    what: str
    k: int
    best: str
    value: Number
    second: str | None
    gain_over_second: Number | None
    lead: Difference | None
    first_hit: Number | None
    random: Number | None
    gain_over_random: Number | None
    random_first_hit: Number | None


def headline(numbers: NumberSource, task: str, wording: Wording) -> Headline | None:
    """Return the headline of a task, or None if nothing was evaluated."""
    what, k = wording.fill(TASKS[task][0]), headline_k(numbers, task)
    where = where_of(numbers, task, "ndcg", k)
    order = [model for model in ranked(numbers, task) if is_contender(model)]
    if not order:
        return None
    best, second = order[0], order[1] if len(order) > 1 else None
    value = _mean(numbers, best, **where)
    if value is None:
        return None
    after = _mean(numbers, second, **where) if second else None
    random = _mean(numbers, "random", **where) if best != "random" else None
    first = where_of(numbers, task, "hr", 1)
    return Headline(
        task,
        what,
        k,
        best,
        value,
        second,
        relative_gain(value, after) if after and after.value else None,
        difference(numbers, best, second, **where) if second else None,
        _mean(numbers, best, **first) if task == "frame" else None,
        random,
        relative_gain(value, random) if random and random.value else None,
        _mean(numbers, "random", **first) if task == "frame" else None,
    )


def headline_k(numbers: NumberSource, task: str) -> int:
    """Return the K of the headline: the paper's, or else the largest evaluated one below it, or the smallest."""
    usual, ks = TASKS[task][1], common_ks(numbers, task)
    return usual if usual in ks or not ks else max((k for k in ks if k < usual), default=min(ks))


def common_ks(numbers: NumberSource, task: str) -> list[int]:
    """Return the values of K that all models of a task were evaluated at, ascending."""
    rows = numbers.rows("metrics.parquet", task=task, metric=metric_of(numbers, task, "ndcg"))
    found = [set(ks) for _, ks in rows.group_by("model").agg("k").iter_rows()]
    return sorted(set.intersection(*found)) if found else []


def spread_file(numbers: NumberSource) -> str:
    """Return the file with a value per training: of folds, that of their metrics."""
    return FOLDS_FILE if numbers.has(FOLDS_FILE) else "metrics.parquet"


def metric_of(numbers: NumberSource, task: str, metric: str) -> str:
    """Return the name in the tables of what is reported as `hr` or `ndcg`.

    That is the metric over all items (`full_ndcg`) if a model has no other, as with the protocol `full` and with lists
    of another tool.
    """
    usual, full = (
        set(numbers.rows("metrics.parquet", task=task, metric=name)["model"]) for name in (metric, f"full_{metric}")
    )
    return metric if full <= usual else f"full_{metric}"


def where_of(numbers: NumberSource, task: str, metric: str, k: int) -> dict[str, Any]:
    """Return what selects the rows of what is reported as a metric at a K."""
    return {"task": task, "metric": metric_of(numbers, task, metric), "k": k}


def ranked(numbers: NumberSource, task: str) -> list[str]:
    """Return the models that were evaluated on a task, from the best to the worst NDCG at the headline's K."""
    rows = numbers.rows("metrics.parquet", **where_of(numbers, task, "ndcg", headline_k(numbers, task)))
    if rows.is_empty():
        return []
    means = rows.group_by("model").agg(pl.col("value").mean()).sort("value", "model", descending=[True, False])
    return means["model"].to_list()


def difference(numbers: NumberSource, model: str, other: str, **where: Any) -> Difference | None:
    """Return a metric of `model` minus that of `other`, or None if they were not compared."""
    return difference_in("comparisons.parquet", numbers, model, other, **where)


def difference_in(file: str, numbers: NumberSource, model: str, other: str, /, **where: Any) -> Difference | None:
    """Return the same from a file of the columns of `comparisons.parquet`."""
    turned = numbers.rows(file, model=other, other=model, **where).height > 0
    key = {**where, "model": other, "other": model} if turned else {**where, "model": model, "other": other}
    row = numbers.rows(file, **key)
    if row.is_empty():
        return None
    asked = [numbers.of(file, column, **key) for column in ("difference", "ci_low", "ci_high", "p_holm")]
    amount, low, high, p_holm = (number for number in asked if number is not None)
    if turned:
        amount, low, high = amount.negative(), high.negative(), low.negative()
    return Difference(model, other, amount, low, high, p_holm, bool(row["is_real"][0]))


_SIMPLER = (
    "jifr_na", "bpr", "softmax_mf", "ease", "slim", "itemknn", "userknn", "rp3beta", "ials", "visrank", "mean_frame",
    "first_frame", "site_order", "most_liked", "popular", "random",
)  # fmt: skip


def surprises(numbers: NumberSource, wording: Wording, on: str = "") -> list[tuple[str, str, str]]:
    """Return (what is ranked, JIFR, simpler model) for each simpler model that JIFR does not beat.

    Args:
        numbers: a source that has `metrics.parquet`.
        wording: what items are called.
        on: the end of the labels of models on the feature set to look at, if there are several.
    """
    found, jifr = [], f"jifr{on}"
    for task, (what, _) in TASKS.items():
        order = ranked(numbers, task)
        for name in _SIMPLER:
            simpler = f"{name}{on}" if f"{name}{on}" in order else name
            if jifr in order and simpler in order and order.index(simpler) < order.index(jifr):
                found.append((wording.fill(what), style_of(jifr).title, style_of(simpler).title))
    return found


def _mean(numbers: NumberSource, model: str, **where: Any) -> Number | None:
    return numbers.of("metrics.parquet", "mean(value)", model=model, **where)
