"""The tables of a paper: what is in each cell, from which all formats are written.

In a column of a metric, the best mean is rank 1 and the second best rank 2. Means that are the same to four digits
have the same rank.
"""

from dataclasses import dataclass

from dataset.report.numbers import Number, NumberSource
from dataset.wording import Wording
from model.report.headlines import (
    TASKS,
    Difference,
    common_ks,
    difference,
    difference_in,
    headline_k,
    ranked,
    spread_file,
    where_of,
)
from model.report.model_styles import is_contender, style_of
from model.report.pictures import ARMS_FILE, arm_pairs
from model.report.repeats import Repeats
from model.report.tuning import SEARCHES

DIGITS = 4
_METRICS = {"hr": "HR", "ndcg": "NDCG"}
WORSE, BETTER = "†", "*"
_FILES = {"item": "items", "frame": "key_frames"}


@dataclass(frozen=True)
class Cell:
    """A cell: a number, with its standard deviation over seeds and folds, and how it compares.

    Attributes:
        value: the number; None if the model was not evaluated so.
        spec: its format, as in `format_number`.
        spread: the standard deviation over seeds and folds; None for one.
        rank: 1 for the best of the column, 2 for the second best.
        mark: `*` if the best is better than the second best by more than chance; `†` if a model is worse than the best
            by more than chance.
    """

    value: Number | None
    spec: str = f".{DIGITS}f"
    spread: Number | None = None
    rank: int | None = None
    mark: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table: the name of its files, its caption in words, its columns, and a name and cells for each row."""

    name: str
    caption: str
    rows_are: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def paper_tables(
    numbers: NumberSource,
    statistics: list[tuple[str, Number | None, str]],
    repeats: Repeats,
    wording: Wording,
    data: str,
) -> list[PaperTable]:
    """Return the tables of an experiment.

    Args:
        numbers: a source that has `metrics.parquet` and, for two models and more, `comparisons.parquet`.
        statistics: the sizes of the dataset: what is counted, the number, and its format.
        repeats: the seeds and folds that each model was measured with.
        wording: what items are called.
        data: the dataset's name and version.
    """
    sizes = [(words, [Cell(number, spec)]) for words, number, spec in statistics if number is not None]
    tables = [PaperTable("dataset", f"The dataset {data}.", "", ["number"], sizes)]
    for task, (what, _) in TASKS.items():
        if order := ranked(numbers, task):
            words = wording.fill(what)
            tables.append(_results(numbers, task, order, words, repeats, data))
            significance = _significance(numbers, task, order, words)
            arms = _arms(numbers, task, order, words)
            tables += [table for table in (significance, arms) if table.rows]
    tuning = _tuning(numbers)
    return [*tables, tuning] if tuning.rows else tables


def _tuning(numbers: NumberSource) -> PaperTable:
    """Return each setting that was searched: the ends of what was tried, the best value, and the search's cost."""
    asked = [("low", "g"), ("high", "g"), ("best_value", ".3g"), ("n_trials", ",d"), ("seconds", ",.0f")]
    rows = numbers.rows(SEARCHES)
    return PaperTable(
        "tuning",
        "Settings chosen on validation: the lowest and the highest value that was tried, the best one, the number of "
        "trials of the model's search, and its seconds.",
        "setting",
        ["lowest", "highest", "best", "trials", "seconds"],
        [
            (
                f"{style_of(row['model']).title}: {row['setting'].replace(',', ', ')}",
                [
                    Cell(numbers.of(SEARCHES, what, model=row["model"], setting=row["setting"]), spec)
                    for what, spec in asked
                ],
            )
            for row in rows.iter_rows(named=True)
        ],
    )


def _results(numbers: NumberSource, task: str, order: list[str], what: str, repeats: Repeats, data: str) -> PaperTable:
    """Return HR and NDCG of all models at three K: the smallest, the headline's, and the largest."""
    ks = common_ks(numbers, task)
    chosen = sorted({ks[0], headline_k(numbers, task), ks[-1]})
    columns = [(metric, k) for metric in _METRICS for k in chosen]
    cells = [_column(numbers, task, metric, k, order, repeats.are_several) for metric, k in columns]
    caption = [f"Ranking {what} on {repeats.judged_on} of {data}, best model first."]
    caption += [f"Means over {repeats.words} ± standard deviation." if repeats.are_several else "One seed."]
    caption += ["Best in bold, second best underlined."]
    if numbers.has("comparisons.parquet"):
        caption += [
            f"{BETTER}: better than the second best by more than chance; {WORSE}: worse than the best by more than "
            "chance (paired t-test over users, Holm correction over all compared pairs, p < 0.05)."
        ]
    return PaperTable(
        _FILES[task],
        " ".join(caption),
        "model",
        [f"{_METRICS[metric]}@{k}" for metric, k in columns],
        [(style_of(model).title, [column[place] for column in cells]) for place, model in enumerate(order)],
    )


def _column(numbers: NumberSource, task: str, metric: str, k: int, models: list[str], has_spread: bool) -> list[Cell]:
    where = where_of(numbers, task, metric, k)
    means = {model: numbers.of("metrics.parquet", "mean(value)", model=model, **where) for model in models}
    shown = {model: round(mean.value, DIGITS) for model, mean in means.items() if mean is not None}
    contenders = [model for model in shown if is_contender(model)]
    best_two = sorted({shown[model] for model in contenders}, reverse=True)[:2]
    by_value = sorted(contenders, key=lambda model: (-(means[model] or Number(0, "")).value, model))
    cells = []
    for model in models:
        rank = best_two.index(shown[model]) + 1 if model in contenders and shown[model] in best_two else None
        against = next((other for other in by_value if rank != 1 or other != model), None)
        told = difference(numbers, model, against, **where) if against and model in shown else None
        mark = "" if told is None or not told.is_real else BETTER if told.amount.value > 0 else WORSE
        spread = numbers.of(spread_file(numbers), "std(value)", model=model, **where) if has_spread else None
        cells.append(Cell(means[model], spread=spread, rank=rank, mark=mark))
    return cells


def _significance(numbers: NumberSource, task: str, order: list[str], what: str) -> PaperTable:
    """Return a model against each other one: the difference in NDCG, its interval, and the p-value.

    The model is the best, unless only other pairs were compared, as with a baseline.
    """
    k = headline_k(numbers, task)
    where = where_of(numbers, task, "ndcg", k)
    told = {one: [difference(numbers, one, other, **where) for other in order if other != one] for one in order}
    contenders = [model for model in order if is_contender(model)] or order
    one = max(contenders, key=lambda model: sum(found is not None for found in told[model]))  # the first of several
    rows = [(style_of(found.other).title, _tested(found)) for found in told[one] if found is not None]
    return PaperTable(
        f"{_FILES[task]}_significance",
        f"NDCG@{k} of {what}: {style_of(one).title} minus each other model, with 95 % intervals (paired t-test "
        "over users; p after Holm's correction over all compared pairs, in bold below 0.05).",
        "model",
        ["difference", "from", "to", "p"],
        rows,
    )


def _arms(numbers: NumberSource, task: str, order: list[str], what: str) -> PaperTable:
    """Return each model with its pictures against itself with an arm in their place, best model first."""
    k = headline_k(numbers, task)
    pairs = sorted(arm_pairs(order), key=lambda pair: order.index(pair[0])) if numbers.has(ARMS_FILE) else []
    told = [difference_in(ARMS_FILE, numbers, real, arm, **where_of(numbers, task, "ndcg", k)) for real, arm in pairs]
    return PaperTable(
        f"{_FILES[task]}_pictures",
        f"NDCG@{k} of {what}: each model with its pictures minus the same model with something else in their place, "
        "with 95 % intervals (paired t-test over users; p after Holm's correction over these pairs, in bold below "
        "0.05).",
        "in place of pictures",
        ["difference", "from", "to", "p"],
        [(style_of(found.other).title, _tested(found)) for found in told if found is not None],
    )


def _tested(found: Difference) -> list[Cell]:
    """Return a difference, its interval and its p-value."""
    signed = [Cell(number, f"+.{DIGITS}f") for number in (found.amount, found.low, found.high)]
    return [*signed, Cell(found.p_holm, "p", rank=int(found.is_real))]
