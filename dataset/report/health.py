"""The health of the crawl behind a snapshot: pages by outcome, causes of failures, pages per hour."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import altair as alt
import polars as pl

from dataset.report.numbers import NumberSource, NumberTable, Row
from dataset.report.theme import SERIES, Chart, render_svg

_PROVENANCE = ("manifest.json", "provenance")
_STATES = {
    "done": "read",
    "gone": "gone",
    "unavailable": "not shown to us",
    "refused": "refused",
    "failed": "failed",
    "pending": "not read yet",
}
_COLOURS = dict(zip(_STATES.values(), (SERIES[n] for n in (0, 4, 2, 3, 1, 6)), strict=True))


def crawl_pace(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Return the requested pages, the minutes and hours they took, and the pages per hour; empty if unknown.

    Pending pages have not been requested. The time runs from the first request to the last, including
    pauses.
    """
    pages, first, last = (provenance.get(key) for key in ("pages", "first_request_at", "last_request_at"))
    if not pages or not first or not last:
        return {}
    n_requested = sum(n for states in pages.values() for state, n in states.items() if state != "pending")
    minutes = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() / 60
    pace: dict[str, float] = {"pages": n_requested, "minutes": minutes, "hours": minutes / 60}
    return pace | ({"pages_per_hour": 60 * n_requested / minutes} if minutes else {})


def crawl_health(numbers: NumberSource, provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report's section on the crawl; None if the data were not crawled.

    Args:
        numbers: holds `manifest.json`, and the crawl's pace as `crawl.json`.
        provenance: the manifest's provenance.
    """
    pages = provenance.get("pages")
    if not pages:
        return None
    states = [state for state in _STATES if any(state in of for of in pages.values())]
    by_kind = NumberTable(
        "Pages by kind and outcome",
        "kind of page",
        [_STATES[state] for state in states],
        [_row(kind, numbers, [("pages", kind, state) for state in states]) for kind in pages],
    )
    return {
        "first": provenance.get("first_request_at"),
        "last": provenance.get("last_request_at"),
        "pace": {key: numbers.at("crawl.json", key) for key in ("pages", "minutes", "hours", "pages_per_hour")},
        "chart": _chart(pages, by_kind),
        "causes": _table(
            "Pages that gave no rows, by cause",
            "cause",
            ["pages"],
            [_row(cause, numbers, [("causes", cause)]) for cause in provenance.get("causes") or {}],
        ),
        "lists": _table(
            "Items that the site’s lists claim to have, and items seen on their pages",
            "kind of list",
            ["lists", "claimed", "seen"],
            [
                _row(
                    kind, numbers, [("claimed_and_seen", kind, key) for key in ("lists", "items_claimed", "items_seen")]
                )
                for kind in provenance.get("claimed_and_seen") or {}
            ],
        ),
    }


def _row(label: str, numbers: NumberSource, paths: list[tuple[str, ...]]) -> Row:
    return Row(label.replace("_", " "), [(numbers.at(*_PROVENANCE, *path), ",d") for path in paths])


def _table(caption: str, rows_are: str, columns: list[str], rows: list[Row]) -> NumberTable | None:
    return NumberTable(caption, rows_are, columns, rows) if rows else None


def _chart(pages: Mapping[str, Mapping[str, int]], table: NumberTable) -> Chart:
    """Return a bar chart of the pages: one bar per kind, one colour per outcome."""
    order = list(_STATES)
    rows = pl.DataFrame(
        [
            (kind.replace("_", " "), _STATES.get(state, state), order.index(state) if state in order else len(order), n)
            for kind, states in pages.items()
            for state, n in states.items()
            if n
        ],
        schema=["kind", "state", "order", "n"],
        orient="row",
    )
    present = [name for name in _STATES.values() if name in set(rows["state"])]
    legend = alt.Legend(columns=3) if len(present) > 1 else None
    chart = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            alt.X("sum(n):Q", title="pages", axis=alt.Axis(format=",d", tickCount=4)),
            alt.Y("kind:N", title=None, sort="-x", axis=alt.Axis(domain=False, ticks=False)),
            alt.Color("state:N", scale=alt.Scale(domain=present, range=[_COLOURS[n] for n in present]), legend=legend),
            alt.Order("order:Q"),
        )
    )
    words = f"Bar chart of {int(rows['n'].sum()):,} pages by kind and outcome: {', '.join(present)}."
    svg = render_svg(chart, width=320, height=28 * rows["kind"].n_unique())
    return Chart("crawl", "Pages of the crawl", "One bar per kind of page.", words, svg, table)
