"""Checks and cleans the values of a column of a user's file: its type, its text, and what stands for no value."""

import polars as pl

from dataset.errors import InvalidTableError
from dataset.reading.table import shown


def without_no_values(texts: pl.Series, no_values: tuple[str, ...]) -> pl.Series:
    """Return texts without spaces around them; empty ones and those that stand for no value are null."""
    stripped = texts.str.strip_chars()
    return stripped.set(stripped.is_in(["", *no_values]), None)


def require_type(column: pl.Series, is_known: bool, where: str, what: str) -> None:
    """Check that a column's type can hold what is wanted.

    Raises:
        InvalidTableError: it cannot; the message names the column and its type.
    """
    if not is_known:
        raise InvalidTableError(f"{where} has the type {column.dtype}, which is not {what}; store text or numbers")


def require_values(column: pl.Series, is_good: pl.Series, where: str, what: str, remedy: str) -> None:
    """Check values; null ones are good.

    Raises:
        InvalidTableError: some are not; the message has their number and an example.
    """
    bad = column.filter(~(is_good.fill_null(False) | column.is_null()))
    if len(bad):
        raise InvalidTableError(
            f"{where}: {len(bad):,} of {len(column):,} values are not {what}; for example {shown(bad[0])}: {remedy}"
        )


def as_text(column: pl.Series) -> pl.Series | None:
    """Return a column of text, categories or bytes in UTF-8 as text, None if it is none of these."""
    if column.dtype == pl.Binary:
        try:
            return column.cast(pl.String)
        except pl.exceptions.PolarsError:
            return None
    is_text = column.dtype in (pl.String, pl.Null) or isinstance(column.dtype, pl.Categorical | pl.Enum)
    return column.cast(pl.String) if is_text else None
