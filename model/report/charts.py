"""The charts of an experiment's report. The page also shows the numbers of each chart as a table."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from dataset.report.numbers import NumberSource, NumberTable, Row
from dataset.report.theme import SOFT, Chart, render_svg, y_title
from model.models.recommender import FittedRecommender
from model.report.model_styles import base_of, class_of, in_order, style_of

METRIC_TITLES = {"hr": "HR", "ndcg": "NDCG"}
_WHAT = {"item": "movies", "frame": "key frames"}
_WIDTH, _HEIGHT, _LABEL_GAP_PX = 300, 270, 16
_MOST_POINTS = 60


def metric_curves(numbers: NumberSource, task: str, metric: str, figure: str) -> Chart:
    """Return a metric over K: one line per model, named at its end, with its 95 % band.

    Args:
        numbers: a source that has `metrics.parquet`; several seeds of a model are averaged.
        task: "item" or "frame".
        metric: "hr" or "ndcg".
        figure: the paper's figure of the same metric, for example "Fig. 3".
    """
    file = "metrics.parquet"
    chosen = numbers.rows(file, task=task, metric=metric)
    models, ks = in_order(set(chosen["model"])), sorted(set(chosen["k"]))
    rows = chosen.group_by("model", "k").agg(pl.col("value", "ci_low", "ci_high").mean()).sort("model", "k")
    rows = rows.with_columns(k=pl.col("k").cast(pl.Int64))
    low, high = rows.select(pl.col("ci_low").min(), pl.col("ci_high").max()).row(0)
    margin = 0.04 * (high - low) or 0.01
    scale = alt.Scale(domain=[max(0.0, low - margin), high + margin], nice=False)
    title = f"{METRIC_TITLES[metric]}@K"
    x = alt.X("k:Q", title="K", scale=alt.Scale(nice=False), axis=alt.Axis(values=ks, format="d"))
    base = alt.Chart(rows).encode(x=x)
    band = base.mark_area(opacity=0.1).encode(
        alt.Y("ci_low:Q", scale=scale, **y_title(title)), alt.Y2("ci_high:Q"), _colour(models)
    )
    line = base.mark_line(strokeWidth=2).encode(alt.Y("value:Q", scale=scale), _colour(models), _dash(models))
    points = base.mark_point(filled=True, size=42, opacity=1).encode(
        alt.Y("value:Q", scale=scale), _colour(models), _shape(models)
    )
    height = max(_HEIGHT, _LABEL_GAP_PX * (len(models) + 1))
    ends = _end_labels(rows.filter(k=ks[-1]), (max(0.0, low - margin), high + margin), scale, models, height)
    table = NumberTable(
        f"{title} of {_WHAT[task]}, mean over seeds",
        "model",
        [f"K = {k}" for k in ks],
        [
            Row(
                style_of(m).title,
                [(numbers.of(file, "mean(value)", model=m, task=task, metric=metric, k=k), ".3f") for k in ks],
            )
            for m in models
        ],
    )
    best = rows.filter(k=ks[-1]).sort("value", descending=True)["model"][0]
    words = f"{title} of {_WHAT[task]} for {len(models)} models. At K = {ks[-1]} {style_of(best).title} is highest."
    return Chart(
        f"{task}_{metric}",
        f"{title} of {_WHAT[task]}",
        f"As in the paper’s {figure}. Bands are 95\u202f% intervals over people.",
        words,
        render_svg(alt.layer(band, line, points, ends), _WIDTH, height),
        table,
    )


def _end_labels(
    ends: pl.DataFrame, domain: tuple[float, float], scale: alt.Scale, models: list[str], height: int
) -> Any:
    """Name each line at its end; names that would overlap are moved apart and connected to their line."""
    low, high = domain
    wanted = ends.sort("value").with_columns(px=(pl.col("value") - low) / (high - low) * height)
    placed = moved_apart(wanted["px"].to_list(), _LABEL_GAP_PX)
    rows = wanted.with_columns(
        placed=pl.Series([low + px / height * (high - low) for px in placed]),
        title=pl.col("model").map_elements(lambda model: style_of(model).title, return_dtype=pl.String),
    )
    base = alt.Chart(rows)
    thread = base.mark_rule(strokeWidth=1).encode(
        alt.X(value=_WIDTH + 5),
        alt.X2(value=_WIDTH + 18),
        alt.Y("value:Q", scale=scale),
        alt.Y2("placed:Q"),
        _colour(models),
    )
    names = base.mark_text(align="left", baseline="middle").encode(
        x=alt.value(_WIDTH + 22), y=alt.Y("placed:Q", scale=scale), text="title:N"
    )
    return alt.layer(thread, names)


def moved_apart(places: Sequence[float], gap: float) -> list[float]:
    """Return ascending places, moved as little as possible so that neighbours are at least `gap` apart."""
    groups: list[tuple[float, int]] = []  # centre and size of labels that touch
    for place in places:
        groups.append((place, 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (upper, n_upper), (lower, n_lower) = groups.pop(), groups.pop()
            groups.append(((upper * n_upper + lower * n_lower) / (n_upper + n_lower), n_upper + n_lower))
    return [centre + gap * (i - (size - 1) / 2) for centre, size in groups for i in range(size)]


def interval_chart(numbers: NumberSource, task: str, metric: str, k: int) -> Chart:
    """Return one dot per model with its 95 % interval, the best on top."""
    file = "metrics.parquet"
    rows = numbers.rows(file, task=task, metric=metric, k=k)
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
        f"{name} of {_WHAT[task]} with its 95\u202f% interval, means over seeds",
        "model",
        [name, "from", "to"],
        [
            Row(
                style_of(m).title,
                [
                    (numbers.of(file, f"mean({c})", model=m, task=task, metric=metric, k=k), ".4f")
                    for c in ("value", "ci_low", "ci_high")
                ],
            )
            for m in rows["model"]
        ],
    )
    words = f"Dots with intervals, from the best: {', '.join(titles)}."
    drawing = render_svg(bars + dots, _WIDTH, 24 * rows.height)
    return Chart(
        f"{task}_intervals",
        f"Which model ranks {_WHAT[task]} best",
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
    panel = (
        alt.Chart(thin)
        .mark_line(strokeWidth=1.6)
        .encode(
            alt.X("epoch:Q", title=None, axis=alt.Axis(tickCount=3, format="d")),
            alt.Y("validation_ndcg:Q", title=None, axis=alt.Axis(tickCount=3)),
            _colour(models),
            alt.Detail("seed:N"),
        )
        .properties(width=165, height=80)
    )
    header = alt.Header(
        title=None, labelFontSize=13, labelAnchor="start", labelFontWeight=600, labelPadding=4, labelColor=SOFT
    )
    chart = panel.facet(alt.Facet("title:N", sort=titles, header=header), columns=2, spacing=14)
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


def slice_chart(numbers: NumberSource, task: str, by: str, k: int, models: list[str]) -> Chart | None:
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
    of, each = _SLICES[by]
    x = alt.X("label:N", sort=list(label.values()), title=each, axis=alt.Axis(labelAngle=0, grid=False))
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
        f"NDCG@{k} of {_WHAT[task]} by {of}, mean over seeds",
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
    words = f"Lines of NDCG@{k} of {_WHAT[task]} by {of}, for {', '.join(titles)}."
    return Chart(f"{task}_by_{by}", f"By {of}", "", words, render_svg(chart, 340, 200), table)


_SLICES = {
    "user_activity": ("how active the person is", "the person's movies in the train split"),
    "item_popularity": ("how popular the movie is", "people with the movie in the train split"),
    "item_frames": ("how many frames the movie has", "frames of the movie"),
}


def _colour(models: list[str]) -> alt.Color:
    return alt.Color("model:N", scale=alt.Scale(domain=models, range=[style_of(m).colour for m in models]), legend=None)


def _dash(models: list[str]) -> alt.StrokeDash:
    return alt.StrokeDash(
        "model:N", scale=alt.Scale(domain=models, range=[list(style_of(m).dash) for m in models]), legend=None
    )


def _shape(models: list[str]) -> alt.Shape:
    return alt.Shape("model:N", scale=alt.Scale(domain=models, range=[style_of(m).shape for m in models]), legend=None)
