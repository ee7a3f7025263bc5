"""NumberSource that carry their origin: each is a question asked of a table, and the page shows both.

A page shows a `Number` as `<data value="0.282" data-from="metrics.parquet?model=jifr&k=15#value">`:
the file, the rows that were chosen, and what was asked of them. Whoever doubts a number can ask
again, and a test does, for all of them.

What can be asked: `n` (rows), `value` (a column's, of the only row), and `sum(c)`, `mean(c)`,
`median(c)`, `std(c)`, `min(c)`, `max(c)`, `n_unique(c)` of column c. Of a JSON file, the address of a value
inside (`manifest.json#statistics/n_users`); a list inside it is a table
(`manifest.json/quarantined?table=ratings#sum(rows)`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

import polars as pl

Operation = Literal["share", "gain", "total", "negative"]
_QUESTION = re.compile(r"(\w+)\((\w+)\)")


@dataclass(frozen=True)
class Number:
    """A number and where it comes from.

    Attributes:
        value: the number itself.
        origin: the question, `file?rows#what`.
        base: the other number's origin, where this one is made of two.
        operation: how: `share` is a / b, `gain` is a / b - 1, `total` is a + b;
            `negative` is -a, of one number alone.
    """

    value: float
    origin: str
    base: str | None = None
    operation: Operation | None = None

    def negative(self) -> "Number":
        """Return the number with its sign turned."""
        return Number(-self.value, self.origin, None, "negative")


@dataclass(frozen=True)
class Row:
    """A row of a page's table: its label, and its numbers each with a format (`page.written`)."""

    label: str
    cells: list[tuple[Number | None, str]]
    is_strong: bool = False


@dataclass(frozen=True)
class NumberTable:
    """A table of a page: what it says, what its rows are, and its columns of numbers."""

    caption: str
    rows_are: str
    columns: list[str]
    rows: list[Row]


class NumberSource:
    """The tables and JSON documents that a page is made from.

    Args:
        tables: by file name, `metrics.parquet`.
        documents: by file name, `manifest.json`, their content.
    """

    def __init__(self, tables: Mapping[str, pl.DataFrame], documents: Mapping[str, Any]) -> None:
        self._tables = {name: _plain(table) for name, table in tables.items()}
        self._documents = documents

    def has(self, file: str) -> bool:
        """Return whether there is such a table."""
        return file in self._tables

    def rows(self, file: str, **where: Any) -> pl.DataFrame:
        """Return the rows of a table with these values, texts as plain strings; none where there is no table."""
        if file not in self._tables:
            return pl.DataFrame()
        return self._tables[file].filter(*(pl.col(column) == value for column, value in where.items()))

    def of(self, file: str, what: str, **where: Any) -> Number | None:
        """Ask a table; None where no row is chosen or the answer is null.

        Raises:
            ValueError: `what` asks for the value of several rows.
        """
        value = answer(self.rows(file, **where), what)
        query = f"?{urlencode(where)}" if where else ""
        return None if value is None else Number(value, f"{file}{query}#{what}")

    def at(self, document: str, *path: str) -> Number | None:
        """Return the number that is found in a JSON document by these keys, None where there is none."""
        value: Any = self._documents[document]
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return Number(value, f"{document}#{'/'.join(quote(key, safe='') for key in path)}") if is_number else None


def answer(rows: pl.DataFrame, what: str) -> float | None:
    """Return what is asked of some rows (see the module).

    Raises:
        ValueError: a column's value is asked of several rows.
    """
    if what == "n":
        return rows.height
    if rows.is_empty():
        return None
    asked = _QUESTION.fullmatch(what)
    if asked is None:
        if rows.height > 1:
            raise ValueError(f"{what!r} is asked of {rows.height} rows; choose one")
        value = rows[what][0]
    else:
        value = getattr(rows[asked[2]], asked[1])()
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
        raise ValueError(f"{operation}: a number made of two is not an origin for another")
    return Number(value, one.origin, other.origin, operation)


def _plain(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
