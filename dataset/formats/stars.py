"""Ratings as stars, from 0.5 to 5; null where a row has no rating."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from dataset.errors import InvalidTableError
from dataset.formats.values import as_text, require_type, require_values, without_no_values
from dataset.reading.table import NO_VALUE, shown

ZeroIs = Literal["unrated", "interaction", "drop"]


@dataclass(frozen=True)
class RatingRules:
    """How ratings are read.

    Attributes:
        max_rating: the highest possible rating; ratings are scaled so that it becomes 5 stars.
        zero_is: what a rating of 0 means: the row has no rating ("unrated" and "interaction" are the same rows; the
            provenance records the word), or it is no row at all ("drop"). None refuses it.
        no_values: texts that stand for no rating.
    """

    max_rating: float = 5.0
    zero_is: ZeroIs | None = None
    no_values: tuple[str, ...] = NO_VALUE


def read_stars(column: pl.Series, rules: RatingRules, where: str, notes: list[str]) -> tuple[pl.Series, pl.Series]:
    """Return the stars as Float32 (null where there is no rating), and whether each row is dropped for its 0.

    Args:
        column: the ratings, numbers or text.
        rules: how they are read.
        where: the file and the column, for messages.
        notes: gets a sentence for each thing that the user should know.

    Raises:
        InvalidTableError: the column's type is not that of numbers, or values are no numbers or outside the scale.
    """
    ratings = _numbers(column, rules, where, notes)
    is_zero = (ratings == 0).fill_null(False)
    if n_zero := int(is_zero.sum()):
        lowest = rules.max_rating / 10
        if rules.zero_is is None:
            raise InvalidTableError(
                f"{where}: {n_zero:,} of {len(column):,} ratings are 0, but with --max-rating {rules.max_rating:g} "
                f"ratings start at {lowest:g}; pass --zero-is unrated (or interaction) to keep these rows without a "
                "rating, or --zero-is drop to leave them out"
            )
        left = "left out" if rules.zero_is == "drop" else "kept without a rating"
        notes.append(f"{where}: {n_zero:,} rows with a rating of 0 are {left} (--zero-is {rules.zero_is})")
    stars = ratings.set(is_zero, None) * (5 / rules.max_rating)
    if not stars.drop_nulls().is_between(0.5, 5).all():
        raise InvalidTableError(
            f"{where} goes from {ratings.min()!r} to {ratings.max()!r}, but with --max-rating {rules.max_rating:g} "
            f"ratings start at {rules.max_rating / 10:g}; pass the highest possible rating as --max-rating, or omit "
            "--rating-column to treat every row as implicit feedback"
        )
    return stars.cast(pl.Float32), is_zero if rules.zero_is == "drop" else is_zero & False


def _numbers(column: pl.Series, rules: RatingRules, where: str, notes: list[str]) -> pl.Series:
    """Return ratings as finite Float64 numbers, null where there is none."""
    texts = as_text(column)
    if texts is None:
        require_type(column, column.dtype.is_numeric(), where, "one of numbers")
        present = column
        numbers = column.cast(pl.Float64)
    else:
        present = without_no_values(texts, rules.no_values)
        numbers = present.cast(pl.Float64, strict=False)
    require_values(present, numbers.is_not_null() & ~numbers.is_infinite(), where, "a number", "fix the file")
    numbers = numbers.fill_nan(None)
    if n_missing := numbers.null_count():
        source = (column if texts is None else texts).filter(numbers.is_null())
        named = source.drop_nulls().cast(pl.String)
        named = named.filter(named.str.strip_chars() != "")
        example = f", for example {shown(named[0])}" if len(named) else ""
        notes.append(f"{where}: {n_missing:,} of {len(column):,} rows have no rating{example}")
    return numbers
