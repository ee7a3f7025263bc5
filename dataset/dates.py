"""How exactly the dates of people's acts are published: with the time, the day, the month, or only their order.

Somebody who reads a person's public list knows the days of their ratings, and a few of these find the person in a
snapshot (`python -m dataset risk`). So `publish` makes dates coarser, here and nowhere else, for every column of a
published table whose type is a date or a time: a new column is included as soon as it is in `dataset.schema`, unless
its notes call it `impersonal`.

| dates | a column of days (`rated_on`) | a column of moments (`rated_at`) | `rated_rank` |
|---|---|---|---|
| `time` | the day | the moment, where it is known | none |
| `day` | the day | null | none |
| `month` | the first day of the month | null | none |
| `order` | null | null | the place among the user's own rows, from 1 |

Columns of one act share a name before `_on`, `_at` and `_rank`. With `order`, rows of the same moment have the same
place; of one day, rows without a time of day come first (`dataset.moments`). Splits do not depend on `dates`: `build`
draws them from the exact times.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import polars as pl

from dataset.columns import DescribedColumn, describe_columns
from dataset.tables import Schema

Dates = Literal["time", "day", "month", "order"]

LEVELS: tuple[Dates, ...] = ("time", "day", "month", "order")
"""From exact to coarse."""

IN_WORDS: dict[Dates | None, str] = {
    "time": "time: the day, and the time of day where it is known",
    "day": "day: no time of day",
    "month": "month: the first day of the month, no time of day",
    "order": "order: no dates, only the order of each user's ratings (rated_rank)",
    None: "not recorded (published by a version that never made dates coarser)",
}

_PUBLISHED: dict[Dates, tuple[str, str]] = {
    "time": ("", ""),
    "day": ("", "Not published, null in every row: dates are published as days."),
    "month": (
        "Published as the first day of its month.",
        "Not published, null in every row: dates are published as months.",
    ),
    "order": (
        "Not published, null in every row: only the order of dates is published.",
        "Not published, null in every row: only the order of dates is published.",
    ),
}

Table = TypeVar("Table", pl.DataFrame, pl.LazyFrame)


def default_dates(provenance: Mapping[str, Any]) -> Dates:
    """Return how exactly dates are published if nobody says: by month, unless the people are invented or imported.

    Data whose source is not recorded may be of people who were crawled, so their dates are coarse too.
    """
    is_harmless = provenance.get("is_invented") is True or provenance.get("source") in ("import", "invented")
    return "time" if is_harmless else "month"


def personal_dates(schema: Schema) -> dict[str, list[str]]:
    """Return the columns of a table that hold dates or times of people's acts, by the name of the act."""
    found: dict[str, list[str]] = {}
    for name, column in schema.columns().items():
        if _holds_time(column.dtype) and not (column.metadata or {}).get("impersonal"):
            found.setdefault(re.sub(r"_(on|at)$", "", name), []).append(name)
    return found


def coarsen(rows: Table, schema: Schema, dates: Dates) -> Table:
    """Return the rows of a table with its dates as exact as `dates` says; other columns stay as they are.

    Rows that are that coarse already stay as they are.

    Args:
        rows: rows of `schema`; optional columns may be missing.
        schema: the table's schema.
        dates: how exact dates may be.
    """
    present = rows.lazy().collect_schema()
    changes: dict[str, pl.Expr] = {}
    for act, names in personal_dates(schema).items():
        known = {name: present[name] for name in names if name in present}
        if dates == "time" or not known:
            continue
        moment = _moment(known)
        for name, dtype in known.items():
            kept = {"day": moment.dt.date(), "month": moment.dt.date().dt.truncate("1mo")}.get(dates)
            changes[name] = pl.lit(None, dtype) if dtype != pl.Date or kept is None else kept
        rank = f"{act}_rank"
        if dates == "order" and rank in schema.column_names():
            place = pl.when(moment.is_not_null()).then(moment.rank("dense").over("user_id")).cast(pl.UInt32)
            changes[rank] = pl.coalesce(rank, place) if rank in present else place
    return rows.with_columns(**changes)


def has_times(rows: pl.LazyFrame, schema: Schema) -> bool:
    """Return whether a table has a moment of a person's act that is more exact than a day."""
    present = rows.collect_schema()
    times = [
        name for names in personal_dates(schema).values() for name in names if present.get(name, pl.Date) != pl.Date
    ]
    return bool(times) and bool(rows.select(pl.any_horizontal(pl.col(*times).is_not_null().any())).collect().item())


def describe_published(schema: Schema, types: Mapping[str, str], dates: Dates | None) -> list[DescribedColumn]:
    """Return the columns of a published table for a reader; those of dates say how exact they are.

    Args:
        schema: the table's schema.
        types: the columns that the table has (`describe_columns`).
        dates: how exact the dates are, None if it is not recorded.
    """
    personal = {name for names in personal_dates(schema).values() for name in names}
    of_day, of_moment = _PUBLISHED[dates] if dates else ("", "")
    return [
        replace(column, meaning=f"{column.meaning} {of_day if types[column.name] == 'Date' else of_moment}".strip())
        if column.name in personal
        else column
        for column in describe_columns(schema, types)
    ]


def _holds_time(dtype: Any) -> bool:
    """Return whether a column of this type holds dates or times, alone, in lists or in structures."""
    if isinstance(dtype, pl.Struct):
        return any(_holds_time(field.dtype) for field in dtype.fields)
    inner = getattr(dtype, "inner", None)
    return bool(dtype.is_temporal()) if inner is None else _holds_time(inner)


def _moment(known: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the moment of an act: its time, or midnight of its day where only that is known."""
    times = [pl.col(name).dt.convert_time_zone("UTC") for name, dtype in known.items() if dtype == pl.Datetime]
    days = [
        pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        for name, dtype in known.items()
        if dtype == pl.Date
    ]
    return pl.coalesce(*times, *days) if times or days else pl.lit(None, pl.Datetime("us", "UTC"))
