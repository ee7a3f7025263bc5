"""The chart of a metric over K: the best models in colour, named at the end of their lines, and all others in grey.

On the page, pointing at a line, or moving to it with the keyboard, shows its name and fades the others.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import altair as alt
import polars as pl

from dataset.report.numbers import NumberSource, NumberTable, Row
from dataset.report.theme import SOFT, Chart, render_svg, y_title
from model.report.headlines import common_ks, metric_of
from model.report.model_styles import base_of, in_order, style_of

METRIC_TITLES = {"hr": "HR", "ndcg": "NDCG"}
_WIDTH, _HEIGHT, _LABEL_GAP_PX = 300, 270, 16
_MOST_COLOURED = 6
_ALWAYS_COLOURED = "jifr"
_REACH_PX = 12
"""How wide a line is for the pointer."""


def metric_curves(numbers: NumberSource, task: str, metric: str, what: str, figure: str | None) -> Chart:
    """Return a metric over the K that all models have: one line per model, with the 95 % bands of the best.

    Args:
        numbers: a source that has `metrics.parquet`; several seeds of a model are averaged.
        task: "item" or "frame".
        metric: "hr" or "ndcg".
        what: what is ranked, in the plural.
        figure: the paper's figure of the same metric, for example "Fig. 3"; None if it shows other data.
    """
    file = "metrics.parquet"
    name = metric_of(numbers, task, metric)
    chosen = numbers.rows(file, task=task, metric=name)
    ks = common_ks(numbers, task)
    chosen = chosen.filter(pl.col("k").is_in(ks))
    models = in_order(set(chosen["model"]))
    rows = chosen.group_by("model", "k").agg(pl.col("value", "ci_low", "ci_high").mean()).sort("model", "k")
    rows = rows.with_columns(k=pl.col("k").cast(pl.Int64))
    ends = rows.filter(k=ks[-1]).sort("value", "model", descending=[True, False])
    coloured = _coloured(ends["model"].to_list())
    title = f"{METRIC_TITLES[metric]}@K"
    table = NumberTable(
        f"{title} of {what}, mean over seeds",
        "model",
        [f"K = {k}" for k in ks],
        [
            Row(
                style_of(m).title,
                [(numbers.of(file, "mean(value)", model=m, task=task, metric=name, k=k), ".3f") for k in ks],
            )
            for m in models
        ],
    )
    caption = [f"As in the paper’s {figure}."] if figure else []
    caption += ["Bands are 95\u202f% intervals over people."]
    if len(coloured) < len(models):
        caption += [
            "The best models are in colour; point at a grey line, or move to it with the Tab key, for its name."
        ]
    return Chart(
        f"{task}_{metric}",
        f"{title} of {what}",
        " ".join(caption),
        f"{title} of {what} for {len(models)} models. At K = {ks[-1]} {style_of(ends['model'][0]).title} is highest.",
        _draw(rows, ks, title, coloured),
        table,
    )


def _coloured(ranked: Sequence[str]) -> list[str]:
    """Return the models to show in colour: all if they are few, otherwise the best, and JIFR."""
    if len(ranked) <= _MOST_COLOURED + 1:
        return list(ranked)
    best = list(ranked[:_MOST_COLOURED])
    return best + [model for model in ranked[_MOST_COLOURED:] if base_of(model) == _ALWAYS_COLOURED]


def _draw(rows: pl.DataFrame, ks: Sequence[int], title: str, coloured: Sequence[str]) -> str:
    banded = rows.filter(pl.col("model").is_in(coloured))
    low, high = min(*rows["value"], *banded["ci_low"]), max(*rows["value"], *banded["ci_high"])
    margin = 0.04 * (high - low) or 0.01
    bottom, top = max(0.0, low - margin), high + margin
    height = max(_HEIGHT, _LABEL_GAP_PX * (len(coloured) + 1))
    ends = rows.filter(k=ks[-1]).sort("value").with_columns(px=(pl.col("value") - bottom) / (top - bottom) * height)
    named = ends.filter(pl.col("model").is_in(coloured))
    places = dict(zip(named["model"], moved_apart(named["px"].to_list(), _LABEL_GAP_PX), strict=True))
    order = [model for model in ends["model"] if model not in coloured] + named["model"].to_list()
    scale = alt.Scale(domain=[bottom, top], nice=False)
    x = alt.X("k:Q", title="K", scale=alt.Scale(nice=False), axis=alt.Axis(values=list(ks), format="d"))
    layers = []
    for number, model in enumerate(order):
        end = ends.filter(model=model)["px"][0]
        to_value = (top - bottom) / height
        mine = rows.filter(model=model).with_columns(
            end=pl.lit(bottom + end * to_value), label=pl.lit(bottom + places.get(model, end) * to_value)
        )
        layers += _layers(alt.Chart(mine).encode(x=x), number, model, scale, title, model in coloured)
    svg = render_svg(alt.layer(*layers), _WIDTH, height)
    for number, model in enumerate(order):
        svg = _grouped(svg, number, style_of(model).title, model in coloured)
    return svg


def _layers(
    base: alt.Chart, number: int, model: str, scale: alt.Scale, y_words: str, is_coloured: bool
) -> list[alt.Chart]:
    """Return the layers of a model, each with a name from which its group in the SVG is recognised."""
    style = style_of(model)
    y = alt.Y("value:Q", scale=scale, **y_title(y_words))
    label_y = alt.Y("label:Q", scale=scale)
    words = base.transform_filter(f"datum.k == {_last_k(base)}").mark_text(
        align="left", baseline="middle", text=style.title, opacity=1 if is_coloured else 0
    )
    label = words.encode(x=alt.value(_WIDTH + 22 if is_coloured else _WIDTH + 6), y=label_y)
    if not is_coloured:
        line = base.mark_line(strokeWidth=1.1, color=SOFT, opacity=0.45).encode(y)
        return [_named(line, number, "line"), _named(label, number, "label")]
    thread = base.transform_filter(f"datum.k == {_last_k(base)}").mark_rule(strokeWidth=1, color=style.colour)
    layers: dict[str, Any] = {
        "band": base.mark_area(opacity=0.08, color=style.colour).encode(
            alt.Y("ci_low:Q", scale=scale, **y_title(y_words)), alt.Y2("ci_high:Q")
        ),
        "line": base.mark_line(strokeWidth=2, color=style.colour, strokeDash=list(style.dash)).encode(y),
        "points": base.mark_point(filled=True, size=42, opacity=1, color=style.colour, shape=style.shape).encode(y),
        "thread": thread.encode(
            alt.X(value=_WIDTH + 5), alt.X2(value=_WIDTH + 18), alt.Y("end:Q", scale=scale), alt.Y2("label:Q")
        ),
        "label": label,
    }
    return [_named(layer, number, part) for part, layer in layers.items()]


def _last_k(base: alt.Chart) -> int:
    return int(base.data["k"].max())


def _named(layer: alt.Chart, number: int, part: str) -> alt.Chart:
    return layer.properties(name=f"model{number}{part}")


def _grouped(svg: str, number: int, title: str, is_coloured: bool) -> str:
    """Return the SVG with a model's marks in one group, which has a name and can be pointed at and focused."""
    marks = re.compile(rf'(?:<g class="mark-\w+ role-mark model{number}[a-z]+_marks"[^>]*>(?:(?!<g ).)*?</g>)+', re.S)
    line = re.compile(rf'(model{number}line_marks"[^>]*>)<path d="([^"]*)"')
    wide = rf'\1<path d="\2" stroke="transparent" stroke-width="{_REACH_PX}"/><path d="\2"'
    kind = "model" if is_coloured else "model grey"
    start = f'<g class="{kind}" tabindex="0" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    return marks.sub(lambda found: f"{start}{line.sub(wide, found[0])}</g>", svg, count=1)


def moved_apart(places: Sequence[float], gap: float) -> list[float]:
    """Return ascending places, moved as little as possible so that neighbours are at least `gap` apart."""
    groups: list[tuple[float, int]] = []  # centre and size of labels that touch
    for place in places:
        groups.append((place, 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (upper, n_upper), (lower, n_lower) = groups.pop(), groups.pop()
            groups.append(((upper * n_upper + lower * n_lower) / (n_upper + n_lower), n_upper + n_lower))
    return [centre + gap * (i - (size - 1) / 2) for centre, size in groups for i in range(size)]
