"""Numbers with their origin: each number on a page comes with the query that computes it from a table.

A page shows a `Number` as `<data value="0.282" data-from="metrics.parquet?model=jifr&k=15#value">`:
the file, the filter on its rows, and the expression. A reader can check any number; a test checks all.

Expressions are `n` (number of rows), a column's name (its value in the only row), and `sum(c)`,
`mean(c)`, `median(c)`, `std(c)`, `min(c)`, `max(c)`, `n_unique(c)` of column c. In a JSON file the
expression is the path of a value (`manifest.json#statistics/n_users`); a list in the file is used as a table
(`manifest.json/quarantined?table=ratings#sum(rows)`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

import polars as pl

Operation = Literal["share", "gain", "total", "negative"]
_AGGREGATE = re.compile(r"(\w+)\((\w+)\)")


@dataclass(frozen=True)
class Number:
    """A number and its origin.

    Attributes:
        value: the number.
        origin: the query, `file?filter#expression`.
        base: the origin of the second number, if this one is computed from two.
        operation: how it is computed: `share` is a / b, `gain` is a / b - 1, `total` is a + b, and
            `negative` is -a (of one number).
    """

    value: float
    origin: str
    base: str | None = None
    operation: Operation | None = None

    def negative(self) -> "Number":
        """Return the number with the opposite sign."""
        return Number(-self.value, self.origin, None, "negative")


@dataclass(frozen=True)
class Row:
    """A row of a table on a page: its label, and its numbers with their formats (`page.format_number`)."""

    label: str
    cells: list[tuple[Number | None, str]]
    is_strong: bool = False


@dataclass(frozen=True)
class NumberTable:
    """A table on a page: its caption, the heading of its rows, and its columns of numbers."""

    caption: str
    rows_are: str
    columns: list[str]
    rows: list[Row]


class NumberSource:
    """The tables and JSON documents that a page takes its numbers from.

    Args:
        tables: the tables by file name, such as `metrics.parquet`.
        documents: the content of JSON files by file name, such as `manifest.json`.
    """

    def __init__(self, tables: Mapping[str, pl.DataFrame], documents: Mapping[str, Any]) -> None:
        self._tables = {name: _with_text_columns(table) for name, table in tables.items()}
        self._documents = documents

    def has(self, file: str) -> bool:
        """Return whether the table exists."""
        return file in self._tables

    def rows(self, file: str, **where: Any) -> pl.DataFrame:
        """Return the rows of a table with these values, categories as strings; no rows if the table is missing."""
        if file not in self._tables:
            return pl.DataFrame()
        return self._tables[file].filter(*(pl.col(column) == value for column, value in where.items()))

    def of(self, file: str, what: str, **where: Any) -> Number | None:
        """Compute the expression `what` on a table; None if no row matches or the result is null.

        Raises:
            ValueError: `what` is a column's name, and several rows match.
        """
        value = evaluate_expression(self.rows(file, **where), what)
        query = f"?{urlencode(where)}" if where else ""
        return None if value is None else Number(value, f"{file}{query}#{what}")

    def at(self, document: str, *path: str) -> Number | None:
        """Return the number at a path of keys in a JSON document, None if there is none."""
        value: Any = self._documents[document]
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return Number(value, f"{document}#{'/'.join(quote(key, safe='') for key in path)}") if is_number else None


def evaluate_expression(rows: pl.DataFrame, what: str) -> float | None:
    """Compute an expression (see the module) on rows; None if there is no row or the result is null.

    Raises:
        ValueError: `what` is a column's name, and there are several rows.
    """
    if what == "n":
        return rows.height
    if rows.is_empty():
        return None
    aggregate = _AGGREGATE.fullmatch(what)
    if aggregate is None:
        if rows.height > 1:
            raise ValueError(f"{what!r} needs exactly one row, but {rows.height} match; add a filter")
        value = rows[what][0]
    else:
        value = getattr(rows[aggregate[2]], aggregate[1])()
    return None if value is None else value if isinstance(value, int) else float(value)


def share(part: Number, whole: Number) -> Number:
    """Return part / whole."""
    return _of_two(part, whole, part.value / whole.value if whole.value else 0.0, "share")


def relative_gain(better: Number, base: Number) -> Number:
    """Return better / base - 1."""
    return _of_two(better, base, better.value / base.value - 1 if base.value else 0.0, "gain")


def total(one: Number, other: Number) -> Number:
    """Return one + other."""
    return _of_two(one, other, one.value + other.value, "total")


def _of_two(one: Number, other: Number, value: float, operation: Operation) -> Number:
    if one.operation or other.operation:
        raise ValueError(f"{operation}: a computed number cannot be used to compute another")
    return Number(value, one.origin, other.origin, operation)


def _with_text_columns(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
