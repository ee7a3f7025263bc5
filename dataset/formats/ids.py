"""Ids as text: what is done with spaces around them, with numbers that a table holds as 1.0, and with no value.

Ids are never changed without a word: each change is a note with the number of rows and an example.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from dataset.errors import InvalidTableError
from dataset.formats.values import as_text, require_type
from dataset.reading.table import NO_VALUE, shown

IdSpaces = Literal["strip", "keep"]
FloatIds = Literal["auto", "as-integers", "keep"]

_INVISIBLE = "\ufeff\u200b\u2060"
_WHOLE = r"^([+-]?\d+)\.0*$"
_LARGEST_EXACT = 2**53


@dataclass(frozen=True)
class IdRules:
    """How ids are read.

    Attributes:
        spaces: whether spaces around an id are removed or part of it.
        floats: whether the id 1.0 is read as 1: always, never, or (auto) only from a column of floating-point numbers.
        no_values: texts that are no id.
    """

    spaces: IdSpaces = "strip"
    floats: FloatIds = "auto"
    no_values: tuple[str, ...] = NO_VALUE


def read_ids(column: pl.Series, rules: IdRules, where: str, notes: list[str]) -> pl.Series:
    """Return ids as text; null where there is none.

    Args:
        column: the ids, of any type.
        rules: how they are read.
        where: the file and the column, for messages.
        notes: gets a sentence for each thing that the user should know.

    Raises:
        InvalidTableError: the column's type cannot hold ids, or a floating-point id is no whole number.
    """
    texts = as_text(column)
    if texts is not None:
        return _from_text(texts, rules, where, notes)
    require_type(column, column.dtype.is_numeric(), where, "one of ids")
    if column.dtype.is_integer():
        return column.cast(pl.String)
    return _from_floats(column, rules, where, notes)


def _from_text(texts: pl.Series, rules: IdRules, where: str, notes: list[str]) -> pl.Series:
    stripped = texts.str.strip_chars().str.strip_chars(_INVISIBLE).str.strip_chars()
    has_no_value = stripped.is_in(["", *rules.no_values])
    has_spaces = (stripped != texts) & ~has_no_value
    if n_spaced := int(has_spaces.sum()):
        example = shown(texts.filter(has_spaces)[0])
        what, remedy = ("removed", "keep keeps them") if rules.spaces == "strip" else ("kept", "strip removes them")
        notes.append(
            f"{where}: {n_spaced:,} ids have spaces around them, for example {example}: {what} (--id-spaces {remedy})"
        )
    named = has_no_value & (stripped != "")
    if n_named := int(named.sum()):
        example = shown(texts.filter(named)[0])
        notes.append(
            f"{where}: {n_named:,} rows have {example} or the like in place of an id (--no-values names these texts)"
        )
    ids = (stripped if rules.spaces == "strip" else texts).set(has_no_value, None)
    is_whole = ids.str.contains(_WHOLE)
    if n_whole := int(is_whole.sum() or 0):
        example = shown(ids.filter(is_whole)[0])
        if rules.floats == "as-integers":
            ids = ids.str.replace(_WHOLE, "${1}")
            notes.append(f"{where}: {n_whole:,} ids like {example} are read as whole numbers")
        elif rules.floats == "auto":
            notes.append(
                f"{where}: {n_whole:,} ids look like floating-point numbers, for example {example}: kept "
                "(--float-ids as-integers reads 1.0 as 1)"
            )
    return ids


def _from_floats(column: pl.Series, rules: IdRules, where: str, notes: list[str]) -> pl.Series:
    """Return ids that a table holds as floating-point or decimal numbers, as pandas does if one is missing."""
    numbers = column.fill_nan(None) if column.dtype.is_float() else column
    if rules.floats == "keep":
        return numbers.cast(pl.String)
    is_whole = (numbers == numbers.round(0)) & (numbers.abs() <= _LARGEST_EXACT)
    bad = numbers.filter(~is_whole)
    if len(bad):
        raise InvalidTableError(
            f"{where}: {len(bad):,} ids are no whole numbers that the type {column.dtype} holds exactly; for example "
            f"{shown(bad[0])}: store ids as text or integers, or pass --float-ids keep"
        )
    ids = numbers.cast(pl.Int64).cast(pl.String)
    if ids.null_count() < len(ids):
        first = numbers.drop_nulls()[0]
        notes.append(
            f"{where}: ids are {column.dtype}, and {first} is read as {int(first)} (--float-ids keep: as it is)"
        )
    return ids
