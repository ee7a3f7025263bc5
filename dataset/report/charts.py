"""The charts of the report on a dataset."""

import textwrap
from collections.abc import Sequence

import altair as alt
import polars as pl

from dataset.report.numbers import Number, NumberSource, NumberTable, Row
from dataset.report.page import format_number
from dataset.report.theme import SERIES, SOFT, WIDTH_PX, Chart, category_axis, render_svg, y_title, year_axis
from dataset.wording import Wording

_STEP_PX, _BAR_PX, _LINE_PX, _LINE_CHARACTERS = 44, 15, 16, 46
_MOST_STEPS = 7


def attrition_chart(
    name: str,
    title: str,
    what: str,
    received: Number,
    dropped: Sequence[tuple[str, Number]],
    kept: Sequence[tuple[str, Number]],
) -> Chart:
    """Return a bar chart of received, dropped and kept rows: one bar per reason to drop, one per split.

    Args:
        name: the name of the chart's files.
        title: the chart's title.
        what: what the rows are, in the plural.
        received: the number of rows received.
        dropped: each reason to drop rows, with the number of rows.
        kept: each split, with the number of rows.
    """
    dropped = sorted(dropped, key=lambda pair: -pair[1].value)
    shown, rest = dropped[:_MOST_STEPS], dropped[_MOST_STEPS:]
    steps: list[tuple[str, float, float, str]] = [
        (f"{format_number(received.value, ',d')} {what} received", 0, received.value, "in")
    ]
    left = received.value
    for words, value in [
        *((w, n.value) for w, n in shown),
        *([("other reasons", sum(n.value for _, n in rest))] if rest else []),
    ]:
        steps.append((f"{format_number(value, ',d')} dropped: {words}", left - value, left, "out"))
        left -= value
    start = 0.0
    for words, number in kept:
        steps.append((f"{format_number(number.value, ',d')} {words}", start, start + number.value, "kept"))
        start += number.value
    lines = [textwrap.wrap(label, _LINE_CHARACTERS, max_lines=2, placeholder=" …") for label, *_ in steps]
    rows = pl.DataFrame(steps, schema=["label", "start", "end", "kind"], orient="row").with_row_index("step")
    rows = rows.with_columns(lines=pl.Series(map("\n".join, lines)))
    step_px = _STEP_PX if max(map(len, lines)) == 1 else _STEP_PX + _LINE_PX
    y = alt.Y("step:O", axis=None, scale=alt.Scale(paddingInner=0.66, paddingOuter=0.33))
    colours = alt.Color(
        "kind:N", scale=alt.Scale(domain=["in", "out", "kept"], range=[SOFT, SERIES[1], SERIES[0]]), legend=None
    )
    x = alt.X("start:Q", axis=None, scale=alt.Scale(domain=[0, received.value]))
    bars = alt.Chart(rows).mark_bar(cornerRadius=1, size=_BAR_PX).encode(x, alt.X2("end:Q"), y, colours)
    labels = [  # the first line stands where the text begins, so two lines begin higher
        alt.Chart(rows.filter(pl.col("lines").str.contains("\n", literal=True) == (n == 2)))
        .mark_text(align="left", baseline="bottom", dy=-9 - _LINE_PX * (n - 1), lineBreak="\n", lineHeight=_LINE_PX)
        .encode(x=alt.value(0), y=y, text="lines:N")
        for n in (1, 2)
    ]
    table = NumberTable(
        f"What happened to the {what}",
        "outcome",
        ["rows"],
        [Row("received", [(received, ",d")])]
        + [Row(f"dropped: {reason}", [(number, ",d")]) for reason, number in dropped]
        + [Row(split, [(number, ",d")], is_strong=True) for split, number in kept],
    )
    caption = "From top to bottom: rows received, rows dropped by reason, and rows kept by split."
    alt_text = f"Bar chart. {'; '.join(label for label, *_ in steps)}."
    return Chart(
        name, title, caption, alt_text, render_svg(alt.layer(bars, *labels), height=step_px * rows.height), table
    )


def histogram(
    numbers: NumberSource, distribution: str, name: str, title: str, caption: str, counted: str, by: str
) -> Chart | None:
    """Return a bar chart of one of the `distributions`; None if it has no row.

    Args:
        numbers: holds `distributions.parquet`.
        distribution: the name of the distribution.
        name: the name of the chart's files.
        title: the chart's title.
        caption: how to read the chart.
        counted: the title of the y axis: what is counted, in the plural.
        by: the title of the x axis.
    """
    rows = numbers.rows("distributions.parquet", distribution=distribution)
    if rows.is_empty():
        return None
    labels = [str(low) if low == high else f"{low:,}–{high:,}" for low, high in rows.select("low", "high").iter_rows()]
    bars = rows.select("n", pl.Series("label", labels))
    axis = (year_axis if by == "year" else category_axis)(labels, WIDTH_PX)
    x = alt.X("label:N", sort=None, title=by, axis=axis)
    chart = alt.Chart(bars).mark_bar(color=SERIES[0], cornerRadiusEnd=1).encode(x, alt.Y("n:Q", **y_title(counted)))
    file = "distributions.parquet"
    sums = [numbers.of(file, "sum(n)", distribution=distribution, low=low) for low in rows["low"]]
    table = NumberTable(title, by, [counted], [Row(label, [(n, ",d")]) for label, n in zip(labels, sums, strict=True)])
    biggest = labels[int(rows["n"].arg_max() or 0)]
    return Chart(
        name,
        title,
        caption,
        f"Bar chart of {counted} by {by}; the highest bar is at {biggest}.",
        render_svg(chart),
        table,
    )


def concentration_chart(numbers: NumberSource, wording: Wording) -> Chart:
    """Return two curves: which share of all interactions the most popular items and the most active people have."""
    file = "concentration.parquet"
    rows = numbers.rows(file).with_columns(
        who=pl.col("of").replace({"movie": wording.items, "user": "people"}), top=pl.col("top_share"), share="share"
    )
    start = rows.group_by("who").agg(top=pl.lit(0.0), share=pl.lit(0.0))
    curve = pl.concat([start, rows.select("who", "top", "share")])
    percent = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    domain = [wording.items, "people"]
    base = alt.Chart(curve).encode(
        alt.X("top:Q", title=f"top share of {wording.items} or people", axis=percent),
        alt.Y(
            "share:Q", **y_title("share of all interactions") | {"axis": alt.Axis(format=".0%", titleX=0, titleY=-14)}
        ),
    )
    colour = alt.Color("who:N", scale=alt.Scale(domain=domain, range=[SERIES[0], SERIES[1]]))
    dash = alt.StrokeDash("who:N", scale=alt.Scale(domain=domain, range=[[1, 0], [7, 3]]))
    lines = base.mark_line(strokeWidth=2.2, interpolate="monotone").encode(colour, dash)
    even = alt.Chart(pl.DataFrame({"top": [0.0, 1.0], "share": [0.0, 1.0]})).mark_line(
        color=SOFT, strokeWidth=1, strokeDash=[2, 3]
    )
    even = even.encode(x="top:Q", y="share:Q")
    table = NumberTable(
        "Share of all interactions",
        "top",
        [f"of {wording.items}", "of people"],
        [
            Row(
                format_number(top, ".0%"),
                [(numbers.of(file, "sum(share)", of=of, top_share=top), ".1%") for of in ("movie", "user")],
            )
            for top in rows["top_share"].unique().sort()
        ],
    )
    return Chart(
        "concentration",
        "How concentrated the interactions are",
        f"If all {wording.items} or people had equally many interactions, the curve would be the dotted line. The "
        "higher a curve, the more of the interactions belong to a few.",
        f"Two curves: the share of all interactions that the most popular {wording.items} and most active people have.",
        render_svg(lines + even, height=260),
        table,
    )
