"""The report's charts: Altair specifications rendered to SVG, readable in light and dark."""

import altair as alt
import polars as pl
import vl_convert

TITLES = {
    "jifr": "JIFR",
    "jifr_na": "JIFR_NA (no attention)",
    "bpr": "BPR",
    "popular": "most popular",
    "random": "random",
}
"""How models are called in the report, in the order in which they are shown."""

_COLOURS = ["#0072B2", "#56B4E9", "#E69F00", "#009E73", "#8C8C8C"]  # Okabe & Ito: safe for colour-blind readers
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_INK = "#010203"  # stands for the page's text colour; replaced by `currentColor`
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
    base = alt.Chart(alt.Data(values=rows.to_dicts())).encode(
        x=alt.X("k:Q", title="K", axis=alt.Axis(values=sorted(set(rows["k"])), format="d")),
        color=_by_model(rows),
    )
    low = alt.Y("ci_low:Q", title=_METRIC_TITLES[metric], scale=alt.Scale(zero=True))
    band = base.mark_area(opacity=0.15).encode(y=low, y2="ci_high:Q", color=_by_model(rows, legend=False))
    line = base.mark_line(strokeWidth=2).encode(y="value:Q")
    points = base.mark_point(filled=True, size=55, opacity=1).encode(y="value:Q", shape=_by_model(rows, shape=True))
    return _svg(alt.layer(band, line, points))


def training_curves(training: pl.DataFrame) -> str:
    """Return an SVG of validation NDCG over epochs, a line a run.

    Args:
        training: `Training` rows.
    """
    rows = training.filter(pl.col("validation_ndcg").is_not_null()).select(
        pl.col("model").replace(TITLES), "seed", pl.col("epoch").cast(pl.Int64), "validation_ndcg"
    )
    chart = alt.Chart(alt.Data(values=rows.to_dicts()))
    line = chart.mark_line(strokeWidth=2).encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d")),
        y=alt.Y("validation_ndcg:Q", title="validation NDCG@15"),
        color=_by_model(rows),
        detail="seed:N",
    )
    return _svg(line)


def _by_model(rows: pl.DataFrame, shape: bool = False, legend: bool = True) -> alt.Color | alt.Shape:
    present = set(rows["model"])
    known = [title for title in TITLES.values() if title in present]
    domain = known + sorted(present - set(known))
    order = [list(TITLES.values()).index(title) if title in TITLES.values() else 4 for title in domain]
    kwargs = {"title": None, "legend": alt.Legend(orient="bottom", columns=3, symbolLimit=0) if legend else None}
    if shape:
        return alt.Shape("model:N", scale=alt.Scale(domain=domain, range=[_SHAPES[i] for i in order]), **kwargs)
    return alt.Color("model:N", scale=alt.Scale(domain=domain, range=[_COLOURS[i] for i in order]), **kwargs)


def _svg(chart: alt.LayerChart | alt.Chart) -> str:
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
    svg: str = vl_convert.vegalite_to_svg(styled.to_json())
    return svg.replace(_INK, "currentColor").replace("<svg ", '<svg role="img" ', 1)
