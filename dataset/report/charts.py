"""The charts of a dataset's page."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from dataset.report.numbers import Number, NumberSource, NumberTable, Row
from dataset.report.page import format_number
from dataset.report.theme import SERIES, SOFT, Chart, render_svg, y_title

_STEP_PX = 44
_MOST_STEPS = 7


def fate_chart(
    name: str,
    title: str,
    what: str,
    came: Number,
    lost: Sequence[tuple[str, Number]],
    kept: Sequence[tuple[str, Number]],
) -> Chart:
    """Return a chart of what became of the rows that came in: a bar a reason to leave some out, and a bar a split.

    Args:
        name: of the chart.
        title: above the chart.
        what: what the rows are, in the plural.
        came: how many came in.
        lost: the reasons to leave rows out, with their numbers.
        kept: the splits, with theirs.
    """
    lost = sorted(lost, key=lambda pair: -pair[1].value)
    shown, rest = lost[:_MOST_STEPS], lost[_MOST_STEPS:]
    steps: list[tuple[str, float, float, str]] = [
        (f"{format_number(came.value, ',d')} {what} came in", 0, came.value, "in")
    ]
    left = came.value
    for words, value in [
        *((w, n.value) for w, n in shown),
        *([("other reasons", sum(n.value for _, n in rest))] if rest else []),
    ]:
        steps.append((f"{format_number(value, ',d')} out: {words}", left - value, left, "out"))
        left -= value
    start = 0.0
    for words, number in kept:
        steps.append((f"{format_number(number.value, ',d')} {words}", start, start + number.value, "kept"))
        start += number.value
    rows = pl.DataFrame(steps, schema=["label", "start", "end", "kind"], orient="row").with_row_index("step")
    y = alt.Y("step:O", axis=None, scale=alt.Scale(paddingInner=0.66, paddingOuter=0.33))
    colours = alt.Color(
        "kind:N", scale=alt.Scale(domain=["in", "out", "kept"], range=[SOFT, SERIES[1], SERIES[0]]), legend=None
    )
    x = alt.X("start:Q", axis=None, scale=alt.Scale(domain=[0, came.value]))
    bars = alt.Chart(rows).mark_bar(cornerRadius=1).encode(x, alt.X2("end:Q"), y, colours)
    words = (
        alt.Chart(rows)
        .mark_text(align="left", baseline="bottom", dy=-9, limit=375)
        .encode(x=alt.value(0), y=y, text="label:N")
    )
    table = NumberTable(
        f"What became of the {what}",
        "what",
        ["rows"],
        [Row("came in", [(came, ",d")])]
        + [Row(f"left out: {reason}", [(number, ",d")]) for reason, number in lost]
        + [Row(split, [(number, ",d")], is_strong=True) for split, number in kept],
    )
    caption = "From top to bottom: what came in, what was left out and why, and what is kept."
    alt_text = f"Bars. {'; '.join(label for label, *_ in steps)}."
    return Chart(name, title, caption, alt_text, render_svg(bars + words, height=_STEP_PX * rows.height), table)


def histogram(
    numbers: NumberSource, distribution: str, name: str, title: str, caption: str, of: str, each: str
) -> Chart | None:
    """Return a bar chart of one of the `distributions`; None where it has no row.

    Args:
        numbers: with `distributions.parquet`.
        distribution: which one.
        name: of the chart.
        title: above the chart.
        caption: what to see.
        of: what is counted, in the plural (the y axis).
        each: what they are counted by (the x axis).
    """
    rows = numbers.rows("distributions.parquet", distribution=distribution)
    if rows.is_empty():
        return None
    labels = [str(low) if low == high else f"{low:,}–{high:,}" for low, high in rows.select("low", "high").iter_rows()]
    drawn_rows = rows.select("n", pl.Series("label", labels))
    x = alt.X(
        "label:N", sort=None, title=each, axis=alt.Axis(labelAngle=0, grid=False, labelOverlap="greedy", ticks=False)
    )
    chart = alt.Chart(drawn_rows).mark_bar(color=SERIES[0], cornerRadiusEnd=1).encode(x, alt.Y("n:Q", **y_title(of)))
    file = "distributions.parquet"
    asked = [numbers.of(file, "sum(n)", distribution=distribution, low=low) for low in rows["low"]]
    table = NumberTable(title, each, [of], [Row(label, [(n, ",d")]) for label, n in zip(labels, asked, strict=True)])
    biggest = labels[int(rows["n"].arg_max() or 0)]
    return Chart(
        name, title, caption, f"Bar chart of {of} by {each}; the highest bar is {biggest}.", render_svg(chart), table
    )


def concentration_chart(numbers: NumberSource) -> Chart:
    """Return the curve of how much of all interactions the most popular movies and the most active users have."""
    file = "concentration.parquet"
    rows = numbers.rows(file).with_columns(
        who=pl.col("of").replace({"movie": "movies", "user": "people"}), top=pl.col("top_share"), share="share"
    )
    start = rows.group_by("who").agg(top=pl.lit(0.0), share=pl.lit(0.0))
    curve = pl.concat([start, rows.select("who", "top", "share")])
    percent = alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1])
    domain = ["movies", "people"]
    base = alt.Chart(curve).encode(
        alt.X("top:Q", title="the most popular movies, the most active people", axis=percent),
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
        "the top",
        ["of movies", "of people"],
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
        "Who has how much of it",
        "The further a curve is above the dotted diagonal (all equal), the more a few have of everything.",
        "Two curves of the share of all interactions, from the most popular movies and from the most active people.",
        render_svg(lines + even, height=260),
        table,
    )
