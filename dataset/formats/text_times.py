"""Times that are written as text: ISO 8601, forms with the name of a month, and days and months as numbers.

Whether 07/05/2020 is in July or in May is decided by the whole column: one order must fit every value, and the
other must not. A time without a zone is in UTC.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from dataset.errors import InvalidTableError, UsageError
from dataset.formats.values import require_values
from dataset.reading.table import shown

_ISO_FORMS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%.fZ")
_ISO = (
    r"^(\d{4})(?:[-/.]|年|)(\d{1,2})(?:[-/.]|月|)(\d{1,2})日?"
    r"(?:[T ]\s*(\d{2}|\d):?(\d{2})(?::?(\d{2})(?:[.,]\d+)?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_ZONES = ("", " %z")
_NAMED_MONTH = (
    *(day + clock + zone for day in ("%d %B %Y", "%B %d %Y", "%Y %B %d") for clock in _CLOCKS for zone in _ZONES),
    "%B %d %H:%M:%S %z %Y",
    "%B %d %H:%M:%S %Y",
)
_ORDERS = {"%m/%d/%Y": "month/day/year", "%d/%m/%Y": "day/month/year"}
_CLOCK = re.compile("%[-_0]?[HIklMSTXRrcsp]")
_TRIED_ROWS = 1_000
_PART_ROWS = 500_000


class ParsedTexts(NamedTuple):
    """Times in UTC, null where there is none; which rows state only a day; and the form in words."""

    times: pl.Series
    is_day: pl.Series
    words: str


def parse_texts(texts: pl.Series, form: str | None, where: str) -> ParsedTexts:
    """Return the times in texts.

    Args:
        texts: without spaces around them; null where a row has no time.
        form: the form of all of them, as `%d/%m/%Y %H:%M`; None decides.
        where: the file and the column, for messages.

    Raises:
        InvalidTableError: texts are no times, or may be read in two ways.
        UsageError: no time can be read with `form`.
    """
    if form is not None:
        return _by_named_form(texts, form, where)
    found = (
        _by_first_form(texts, _ISO_FORMS)
        or _complete(_by_iso_pattern(texts), texts)
        or _by_first_form(_with_month_names(texts), _NAMED_MONTH)
        or _by_order(texts, where)
    )
    if found:
        return found
    read = _by_iso_pattern(texts).times.is_not_null()
    if not read.any():
        read = texts.cast(pl.Float64, strict=False).is_not_null()
    require_values(
        texts, read, where, "a date, or a date and time, in one form", "fix them, or name the form with --time-format"
    )
    raise InvalidTableError(f"{where}: the values are times in several forms; write them in one")


def _by_named_form(texts: pl.Series, form: str, where: str) -> ParsedTexts:
    try:
        times = _read(texts, form)
    except pl.exceptions.PolarsError:
        raise UsageError(f"--time-format {form!r}: cannot be read; write for example '%d/%m/%Y %H:%M'") from None
    require_values(texts, times.is_not_null(), where, f"a time like {form}", "fix them or --time-format")
    return _in_form(times, form)


def _by_first_form(texts: pl.Series, forms: Iterable[str]) -> ParsedTexts | None:
    """Return the times by the first form that fits every text, None if none does."""
    first = texts.drop_nulls().head(_TRIED_ROWS)
    for form in forms:
        if _read(first, form).null_count() == 0:
            times = _read(texts, form)
            if times.null_count() == texts.null_count():
                return _in_form(times, form)
    return None


def _by_iso_pattern(texts: pl.Series) -> ParsedTexts:
    """Return the times by ISO 8601 and its neighbours: one or two digits, other separators, zones of all kinds."""
    parts = [_read_iso(part) for part in texts.to_frame("text").iter_slices(_PART_ROWS)]
    table = pl.concat(parts) if parts else _read_iso(texts.to_frame("text"))
    has_zone = bool(table.select((pl.col("has_zone") | pl.col("is_day")).all()).item())
    words = "dates" if table["is_day"].all() else in_words(has_zone)
    return ParsedTexts(table["time"], table["is_day"].fill_null(False), words)


def _read_iso(texts: pl.DataFrame) -> pl.DataFrame:
    part = pl.col("text").str.extract_groups(_ISO).struct
    year, month, day, hour, minute, second = (
        part.field(str(number)).str.zfill(2).fill_null("00") for number in range(1, 7)
    )
    zone = (
        part.field("7").fill_null("Z").str.replace("^(?i:z|utc|gmt)$", "+0000").str.replace(r"^([+-]\d{2})$", "${1}00")
    )
    text = pl.format("{}-{}-{}T{}:{}:{}{}", year, month, day, hour, minute, second, zone)
    return texts.select(
        time=text.str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us", time_zone="UTC", strict=False),
        is_day=part.field("4").is_null(),
        has_zone=part.field("7").is_not_null() | pl.col("text").is_null(),
    )


def _complete(found: ParsedTexts, texts: pl.Series) -> ParsedTexts | None:
    return found if found.times.null_count() == texts.null_count() else None


def _with_month_names(texts: pl.Series) -> pl.Series:
    """Return texts without weekdays, ordinals and commas: "Sat, 4th Jul 2020 …" is "4 Jul 2020 …"."""
    return (
        texts.str.replace(r"(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+", "")
        .str.replace(r"(?i)\b(\d{1,2})(st|nd|rd|th)\b", "${1}")
        .str.replace_all(r"(?i)(\d)[-/.]([a-z])", "${1} ${2}")
        .str.replace_all(r"(?i)([a-z])[-/.](\d)", "${1} ${2}")
        .str.replace(r"(\d{4}):(\d{2}:)", "${1} ${2}")
        .str.replace_all(r"(?i),|\bat\b", " ")
        .str.replace(r"(?i)\s*\b(utc|gmt|z)$", " +0000")
        .str.replace_all(r"(?i)\b(sept)\b", "Sep")
        .str.replace_all(r"\s+", " ")
    )


def _by_order(texts: pl.Series, where: str) -> ParsedTexts | None:
    """Return the times of texts like 31/12/2020, if every text fits one order of day and month and not the other."""
    plain = texts.str.replace(r"^(\d{1,2})[-/. ]\s*(\d{1,2})[-/., ]\s*(\d{4})", "${1}/${2}/${3}")
    plain = plain.str.replace(r",?\s+", " ").str.replace(r"(?i)\s*\b(utc|gmt)$", " +0000")
    fitting = {
        order: found
        for order in _ORDERS
        if (found := _by_first_form(plain, (order + clock + zone for clock in _CLOCKS for zone in _ZONES)))
    }
    if not fitting:
        return None
    first, *others = fitting.values()
    if others and not first.times.equals(others[0].times):
        differs = first.times != others[0].times
        example = texts.filter(differs)[0]
        year = "%Y" if re.search(r"\d{4}", example) else "%y"
        forms = (re.sub(r"^\d+(\D+)\d+(\D+)\d+", order + year, example) for order in (r"%m\1%d\2", r"%d\1%m\2"))
        raise InvalidTableError(
            f"{where}: {int(differs.sum()):,} dates can be read in two ways, for example {shown(example)}; pass "
            f"--time-format {' or '.join(map(repr, forms))}, whichever is right (%H, %M, %S: hour, minute, second)"
        )
    order = next(iter(fitting))
    return first._replace(words=f"{first.words} ({_ORDERS[order]})")


def _read(texts: pl.Series, form: str) -> pl.Series:
    """Return the times of texts in a form, in UTC; null where a text has another form."""
    if "%z" in form:
        return texts.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
    return texts.str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone("UTC")


def _in_form(times: pl.Series, form: str) -> ParsedTexts:
    is_day = not _CLOCK.search(form)
    has_zone = "%z" in form or form.endswith("Z")
    return ParsedTexts(times, repeated(is_day, len(times)), "dates" if is_day else in_words(has_zone))


def in_words(has_zone: bool) -> str:
    """Return what a column of times holds, in words."""
    return "times, read as UTC because they have no zone" if not has_zone else "times with a zone"


def repeated(value: bool, length: int) -> pl.Series:
    """Return a value as often as there are rows."""
    return pl.repeat(value, length, eager=True)
