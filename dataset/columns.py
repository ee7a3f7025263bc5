"""What a column holds: the notes that a schema gives its columns and how they are shown, and the type of vectors.

The dataset card, `croissant.json` and `python -m dataset show` all say what stands in the schema, so they agree.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import dataframely as dy
import polars as pl

_VGG19_WIDTH = 4096
_NEWER = "A column of a later version of this program; the README.md of the snapshot describes it."
_TYPE = re.compile(r"(?:(?P<outer>List|Array)\()?(?P<inner>\w+).*?(?:shape=\((?P<width>\d+),\)\))?")
_WORDS = {"String": "text", "Enum": "text", "Date": "date", "Datetime": "timestamp in UTC"}


class Notes(TypedDict):
    """The arguments of a dataframely column that hold its notes."""

    description: str
    metadata: dict[str, Any]


def about(
    meaning: str,
    *,
    unit: str = "",
    null: str = "",
    leakage: str = "",
    optional: bool = False,
    impersonal: bool = False,
) -> Notes:
    """Return the arguments that describe a column: `dy.Date(nullable=True, **about("…", null="…"))`.

    Args:
        meaning: one or two sentences for readers who do not know this project.
        unit: the unit of a number, such as "pixels".
        null: what a null says; every nullable column needs it.
        leakage: how the column reveals rows that are held out from training; empty if it does not.
        optional: whether older tables lack the column; there, it is null in every row.
        impersonal: whether a date or time is of no person's act (a film's first night, for example), so that it is
            published as it is; every other date or time is published as coarsely as `dataset.dates` says.
    """
    metadata = {"optional": optional, "unit": unit, "null": null, "leakage": leakage, "impersonal": impersonal}
    return {"description": meaning, "metadata": {key: value for key, value in metadata.items() if value}}


class Vector(dy.Array):
    """A column of vectors of equal length: `pl.Array(pl.Float16, width)` of any width, or of `pl.Float32`.

    dataframely has no float16 column. The code that makes the values checks that they are finite.

    Args:
        notes: what the column holds, in words.
    """

    def __init__(self, notes: Notes | None = None) -> None:
        super().__init__(dy.Float32(), _VGG19_WIDTH, **(notes or about("")))

    @property
    def dtype(self) -> pl.DataType:
        """The type for VGG-19; `validate_dtype` also accepts other widths, and float32."""
        return pl.Array(pl.Float16, _VGG19_WIDTH)

    def validate_dtype(self, dtype: Any) -> bool:
        """Return whether `dtype` is a one-dimensional array of float16 or float32."""
        return isinstance(dtype, pl.Array) and dtype.inner in (pl.Float16, pl.Float32) and len(dtype.shape) == 1

    def validation_rules(self, expr: pl.Expr) -> dict[str, pl.Expr]:
        """Return the only rule: no null."""
        return {"nullability": expr.is_not_null()}


@dataclass(frozen=True)
class DescribedColumn:
    """A column for a reader. `values` is the range or the choices; a text that does not apply is empty."""

    name: str
    type: str
    meaning: str
    unit: str = ""
    values: str = ""
    null: str = ""
    leakage: str = ""

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what is known beside the meaning: a label and a text."""
        named = (("Unit", self.unit), ("Values", self.values), ("Null", self.null), ("Leakage", self.leakage))
        yield from ((label, text) for label, text in named if text)

    def sentences(self) -> str:
        """Return all that is known, without the name and the type."""
        return " ".join([self.meaning, *(f"{label}: {text.rstrip('.')}." for label, text in self.facts())])


@dataclass(frozen=True)
class ColumnType:
    """A column's type, taken from polars' name for it, such as `Array(Float16, shape=(4096,))`.

    Attributes:
        inner: the type of one value, such as `Float16`.
        outer: `List` or `Array` if a cell holds several values, else empty.
        width: how many values a cell of an `Array` holds, else None.
    """

    inner: str
    outer: str = ""
    width: int | None = None

    @classmethod
    def parse(cls, dtype: str) -> "ColumnType":
        """Return the parts of a type's name."""
        found = _TYPE.fullmatch(dtype)
        if found is None:
            return cls(dtype)
        return cls(found["inner"], found["outer"] or "", int(found["width"]) if found["width"] else None)

    def in_words(self) -> str:
        """Return the type for a reader: `float16 × 4096`."""
        inner = _WORDS.get(self.inner, self.inner.lower())
        if self.width:
            return f"{inner} × {self.width}"
        return f"list of {inner}" if self.outer else inner


def describe_columns(schema: type[dy.Schema], types: Mapping[str, str] | None = None) -> list[DescribedColumn]:
    """Return the columns of a table for a reader.

    Args:
        schema: the table's schema.
        types: polars' name of each column's type, for the columns that a file has (by default all, as in the schema).
    """
    known = schema.columns()
    given = {name: str(column.dtype) for name, column in known.items()} if types is None else types
    return [_describe(name, ColumnType.parse(dtype).in_words(), known.get(name)) for name, dtype in given.items()]


def describe_table(schema: type[dy.Schema]) -> str:
    """Return what a row of a table is: the docstring of its schema."""
    return " ".join((schema.__doc__ or "").split())


def leaking_columns(schema: type[dy.Schema]) -> dict[str, str]:
    """Return the columns that reveal rows which are held out from training, and how each does."""
    found = {name: (column.metadata or {}).get("leakage", "") for name, column in schema.columns().items()}
    return {name: leakage for name, leakage in found.items() if leakage}


def _describe(name: str, type_: str, column: dy.Column | None) -> DescribedColumn:
    if column is None:
        return DescribedColumn(name, type_, _NEWER)
    notes: Mapping[str, str] = column.metadata or {}
    null = notes.get("null", "") if column.nullable else "never"
    unit, leakage = notes.get("unit", ""), notes.get("leakage", "")
    return DescribedColumn(name, type_, column.description or "", unit, _values(column), null, leakage)


def _values(column: dy.Column) -> str:
    """Return the values that the schema allows, empty if its type says it all."""
    if isinstance(column, dy.Enum):
        return ", ".join(column.categories)
    low, high = getattr(column, "min", None), getattr(column, "max", None)
    if low is None and column.dtype.is_unsigned_integer():
        low = 0
    if low is None:
        return ""
    return f"{low} to {high}" if high is not None else f"{low} or more"
