"""The report's charts: Altair specifications rendered to SVG, readable in light and dark."""

from typing import Any

import altair as alt
import polars as pl
import vl_convert

TITLES = {
    "jifr": "JIFR",
    "jifr_na": "JIFR_NA (no attention)",
    "acf": "ACF",
    "vpoi": "VPOI",
    "vbpr": "VBPR",
    "cdl": "CDL",
    "bpr": "BPR",
    "popular": "most popular",
    "random": "random",
}
"""How models are called in the report, in the order in which they are shown."""

# Okabe & Ito, safe for colour-blind readers; not their yellow and black, lost on a light or a dark page.
_COLOURS = ["#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#9A7D0A", "#7B5EA7", "#E69F00", "#009E73", "#8C8C8C"]
_SHAPES = ["circle", "square", "triangle-down", "triangle-left", "triangle-right", "wedge", "triangle-up", "diamond"]
_SHAPES += ["cross"]
_INK = "#010203"  # stands for the page's text colour; replaced by `currentColor`
_LEGEND = alt.Legend(orient="bottom", columns=3, symbolOpacity=1)
_METRIC_TITLES = {"hr": "HR@K", "ndcg": "NDCG@K"}


def title_of(model: str) -> str:
    """Return how a model is called in the report."""
    return TITLES.get(model, model)


def metric_curves(metrics: pl.DataFrame, task: str, metric: str) -> str:
    """Return an SVG of a metric over K, a line a model with its 95 % band.

    Args:
        metrics: `Metric` rows; several seeds of a model are averaged.
        task: "item" or "frame".
        metric: "hr" or "ndcg".
    """
    chosen = metrics.filter((pl.col("task").cast(pl.String) == task) & (pl.col("metric") == metric))
    rows = chosen.group_by("model", "k").agg(pl.col("value", "ci_low", "ci_high").mean()).sort("model", "k")
    rows = rows.with_columns(model=pl.col("model").replace(TITLES), k=pl.col("k").cast(pl.Int64))
    domain = _domain(rows)
    base = alt.Chart(rows).encode(x=alt.X("k:Q", title="K", axis=alt.Axis(values=sorted(set(rows["k"])), format="d")))
    low = alt.Y("ci_low:Q", title=_METRIC_TITLES[metric], scale=alt.Scale(zero=True))
    band = base.mark_area(opacity=0.15).encode(low, alt.Y2("ci_high:Q"), _colour(domain))
    line = base.mark_line(strokeWidth=2).encode(alt.Y("value:Q"), _colour(domain))
    shape = alt.Shape("model:N", scale=_scale(domain, _SHAPES), title=None, legend=_LEGEND)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(alt.Y("value:Q"), _colour(domain), shape)
    return _svg(alt.layer(band, line, points))


def training_curves(training: pl.DataFrame) -> str:
    """Return an SVG of validation NDCG over epochs, a line a run.

    Args:
        training: `Training` rows.
    """
    rows = training.filter(pl.col("validation_ndcg").is_not_null()).select(
        pl.col("model").replace(TITLES), "seed", pl.col("epoch").cast(pl.Int64), "validation_ndcg"
    )
    line = (
        alt.Chart(rows)
        .mark_line(strokeWidth=2)
        .encode(
            alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            alt.Y("validation_ndcg:Q", title="validation NDCG@15"),
            _colour(_domain(rows)),
            alt.Detail("seed:N"),
        )
    )
    return _svg(line)


def _domain(rows: pl.DataFrame) -> list[str]:
    """Return the models' titles in the order in which they are shown."""
    present = set(rows["model"])
    known = [title for title in TITLES.values() if title in present]
    return known + sorted(present - set(known))


def _scale(domain: list[str], choices: list[str]) -> alt.Scale:
    """Give every model its own colour or shape, the same in each chart."""
    titles = list(TITLES.values())
    numbers = [titles.index(title) if title in titles else len(titles) for title in domain]
    return alt.Scale(domain=domain, range=[choices[number % len(choices)] for number in numbers])


def _colour(domain: list[str]) -> alt.Color:
    return alt.Color("model:N", scale=_scale(domain, _COLOURS), title=None, legend=_LEGEND)


def _svg(chart: Any) -> str:
    """Render a chart as an SVG that takes its width and its text colour from the page."""
    styled = (
        chart.properties(width=380, height=250, background="transparent")
        .configure(font="sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_INK, titleColor=_INK, domainColor=_INK, tickColor=_INK, labelFontSize=12, titleFontSize=13
        )
        .configure_axisY(grid=True, gridColor=_INK, gridOpacity=0.12, domain=False, tickCount=5)
        .configure_axisX(grid=False)
        .configure_legend(labelColor=_INK, labelFontSize=13, labelLimit=240, symbolStrokeWidth=2)
    )
    svg = vl_convert.vegalite_to_svg(styled.to_json())
    return svg.replace(_INK, "currentColor").replace("<svg ", '<svg role="img" ', 1)
