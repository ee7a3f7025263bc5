"""The charts of an experiment's report. The page also shows the numbers of each chart as a table."""

import altair as alt
import polars as pl

from dataset.report.numbers import NumberSource, NumberTable, Row
from dataset.report.theme import SOFT, Chart, category_axis, render_svg, y_title
from dataset.wording import Wording
from model.models.recommender import FittedRecommender
from model.report.curves import METRIC_TITLES
from model.report.headlines import where_of
from model.report.model_styles import base_of, class_of, in_order, style_of

_WIDTH, _SLICES_WIDTH = 300, 340
_MOST_POINTS = 60
_FEW_COLUMNS, _FEW_PANELS = 2, 6


def interval_chart(numbers: NumberSource, task: str, metric: str, k: int, what: str) -> Chart:
    """Return one dot per model with its 95 % interval, the best on top."""
    file = "metrics.parquet"
    where = where_of(numbers, task, metric, k)
    rows = numbers.rows(file, **where)
    rows = rows.group_by("model").agg(pl.col("value", "ci_low", "ci_high").mean()).sort("value", descending=True)
    titles = [style_of(model).title for model in rows["model"]]
    rows = rows.with_columns(title=pl.Series(titles))
    models = in_order(set(rows["model"]))
    name = f"{METRIC_TITLES[metric]}@{k}"
    y = alt.Y("title:N", sort=titles, title=None, axis=alt.Axis(domain=False, ticks=False, grid=True))
    base = alt.Chart(rows).encode(y=y)
    scale = alt.Scale(zero=True)
    bars = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        alt.X("ci_low:Q", title=name, scale=scale, axis=alt.Axis(tickCount=4, labelFlush=False)),
        alt.X2("ci_high:Q"),
        _colour(models),
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        alt.X("value:Q", scale=scale), _colour(models), _shape(models)
    )
    table = NumberTable(
        f"{name} of {what} with its 95\u202f% interval, means over seeds",
        "model",
        [name, "from", "to"],
        [
            Row(
                style_of(m).title,
                [(numbers.of(file, f"mean({c})", model=m, **where), ".4f") for c in ("value", "ci_low", "ci_high")],
            )
            for m in rows["model"]
        ],
    )
    words = f"Dots with intervals, from the best: {', '.join(titles)}."
    drawing = render_svg(bars + dots, _WIDTH, 24 * rows.height)
    return Chart(
        f"{task}_intervals",
        f"Which model ranks {what} best",
        "One dot per model; the bar is the 95\u202f% interval over people.",
        words,
        drawing,
        table,
    )


def training_curves(numbers: NumberSource) -> Chart | None:
    """Return validation NDCG over epochs, one panel per model and one line per seed; None without validation.

    Models that are fitted in one go have no panel.
    """
    rows = numbers.rows("training.parquet")
    if rows.height:
        fitted = [m for m in set(rows["model"]) if issubclass(class_of(base_of(m)) or object, FittedRecommender)]
        in_one_go = pl.col("model").is_in(fitted) & (pl.col("epoch").max().over("model") == 1)
        rows = rows.filter(pl.col("validation_ndcg").is_not_null() & ~in_one_go)
    if rows.is_empty():
        return None
    models = in_order(set(rows["model"]))
    every = rows.group_by("model", "seed").agg(every=(pl.len() / _MOST_POINTS).ceil().cast(pl.UInt32))
    thin = rows.join(every, on=["model", "seed"]).filter(
        (pl.col("epoch") % pl.col("every") == 0) | (pl.col("epoch") == 1)
    )
    titles = [style_of(model).title for model in models]
    thin = thin.with_columns(
        title=pl.col("model").map_elements(lambda model: style_of(model).title, return_dtype=pl.String),
        epoch=pl.col("epoch").cast(pl.Int64),
    )
    columns = _FEW_COLUMNS if len(models) <= _FEW_PANELS else _FEW_COLUMNS + 1
    panel = (
        alt.Chart(thin)
        .mark_line(strokeWidth=1.6)
        .encode(
            alt.X("epoch:Q", title=None, axis=alt.Axis(tickCount=3, tickMinStep=1, format="d")),
            alt.Y("validation_ndcg:Q", title=None, axis=alt.Axis(tickCount=3)),
            _colour(models),
            alt.Detail("seed:N"),
        )
        .properties(width=165 if columns == _FEW_COLUMNS else 120, height=80)
    )
    header = alt.Header(
        title=None, labelFontSize=13, labelAnchor="start", labelFontWeight=600, labelPadding=4, labelColor=SOFT
    )
    chart = panel.facet(alt.Facet("title:N", sort=titles, header=header), columns=columns, spacing=14)
    table = NumberTable(
        "Training of each model, over its seeds",
        "model",
        ["best validation NDCG@15", "fewest epochs", "most epochs"],
        [
            Row(
                style_of(m).title,
                [
                    (numbers.of("training.parquet", "max(validation_ndcg)", model=m), ".4f"),
                    (numbers.of("costs.parquet", "min(n_epochs)", model=m), ",d"),
                    (numbers.of("costs.parquet", "max(n_epochs)", model=m), ",d"),
                ],
            )
            for m in models
        ],
    )
    return Chart(
        "training",
        "Validation NDCG@15 over epochs",
        "One panel per model, one line per seed, all on the same scale. "
        "Training stops when validation no longer improves; the best epoch is kept.",
        f"Small line charts for {', '.join(titles)}.",
        render_svg(chart, 0, 0),
        table,
    )


def slice_chart(
    numbers: NumberSource, task: str, by: str, k: int, models: list[str], what: str, wording: Wording
) -> Chart | None:
    """Return NDCG by one kind of slice, one line per model; None if there are no slices."""
    file = "slices.parquet"
    where = {"task": task, "slice_by": by, "metric": "ndcg", "k": k}
    rows = numbers.rows(file, **where)
    rows = rows.filter(pl.col("model").is_in(models)) if rows.height else rows
    if rows.is_empty():
        return None
    averaged = rows.group_by("model", "low", "high").agg(pl.col("value").mean()).sort("model", "low")
    bounds = averaged.select("low", "high").unique().sort("low").rows()
    label = {bound: str(bound[0]) if bound[0] == bound[1] else f"{bound[0]:,}–{bound[1]:,}" for bound in bounds}
    titles = [style_of(m).title for m in models]
    averaged = averaged.with_columns(
        label=pl.Series([label[bound] for bound in averaged.select("low", "high").rows()]),
        title=pl.col("model").map_elements(lambda model: style_of(model).title, return_dtype=pl.String),
    )
    of, each = map(wording.fill, _SLICES[by])
    axis = category_axis(list(label.values()), _SLICES_WIDTH)
    x = alt.X("label:N", sort=list(label.values()), title=each, axis=axis)
    keyed = [
        alt.Color(
            "title:N",
            scale=alt.Scale(domain=titles, range=[style_of(m).colour for m in models]),
            legend=alt.Legend(columns=2, columnPadding=20, symbolStrokeWidth=0, symbolDash=[1, 0]),
        ),
        alt.Shape("title:N", scale=alt.Scale(domain=titles, range=[style_of(m).shape for m in models])),
        alt.StrokeDash(
            "title:N", scale=alt.Scale(domain=titles, range=[list(style_of(m).dash) for m in models]), legend=None
        ),
    ]
    base = alt.Chart(averaged).encode(x, alt.Y("value:Q", **y_title(f"NDCG@{k}")))
    chart = base.mark_line(strokeWidth=1.8).encode(keyed[0], keyed[2]) + base.mark_point(
        filled=True, size=55, opacity=1
    ).encode(*keyed[:2])
    table = NumberTable(
        f"NDCG@{k} of {what} by {of}, mean over seeds",
        "model",
        list(label.values()),
        [
            Row(
                style_of(m).title,
                [(numbers.of(file, "mean(value)", model=m, low=bound[0], **where), ".3f") for bound in bounds],
            )
            for m in models
        ],
    )
    words = f"Lines of NDCG@{k} of {what} by {of}, for {', '.join(titles)}."
    return Chart(f"{task}_by_{by}", f"By {of}", "", words, render_svg(chart, _SLICES_WIDTH, 200), table)


_SLICES = {
    "user_activity": ("how active the person is", "the person's {items} in the train split"),
    "item_popularity": ("how popular the {item} is", "people with the {item} in the train split"),
    "item_frames": ("how many frames the {item} has", "frames of the {item}"),
}


def _colour(models: list[str]) -> alt.Color:
    return alt.Color("model:N", scale=alt.Scale(domain=models, range=[style_of(m).colour for m in models]), legend=None)


def _shape(models: list[str]) -> alt.Shape:
    return alt.Shape("model:N", scale=alt.Scale(domain=models, range=[style_of(m).shape for m in models]), legend=None)
