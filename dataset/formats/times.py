"""Times of ratings: the unit in which a column states them, and the UTC day and second that follow.

The unit is decided by the whole column: every value must be plausible in it, which is from 1990 until tomorrow. With
a unit that the user names, any year from 1678 to 2261 is accepted (pandas reads no others).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from dataset.errors import InvalidTableError
from dataset.formats.text_times import ParsedTexts, in_words, parse_texts, repeated
from dataset.formats.values import as_text, require_type, require_values, without_no_values
from dataset.reading.table import NO_VALUE, shown

TimeUnit = Literal[
    "s", "ms", "us", "ns", "days", "excel", "year", "yyyymm", "yyyymmdd", "yyyymmddhhmm", "yyyymmddhhmmss", "date"
]

_IN_WORDS: Mapping[TimeUnit, str] = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "excel": "days of a spreadsheet, since 1900",
    "yyyymmddhhmmss": "numbers YYYYMMDDhhmmss",
    "yyyymmddhhmm": "numbers YYYYMMDDhhmm",
    "yyyymmdd": "numbers YYYYMMDD",
    "yyyymm": "numbers YYYYMM, read as the first day of the month",
    "year": "years, read as 1 January",
    "days": "days since 1970",
}
_DETECTED: tuple[TimeUnit, ...] = tuple(unit for unit in _IN_WORDS if unit != "days")
"""Days since 1970 are not: a count of days since any other day looks the same."""

_CALENDAR: Mapping[TimeUnit, str] = {
    "year": "%Y",
    "yyyymm": "%Y%m",
    "yyyymmdd": "%Y%m%d",
    "yyyymmddhhmm": "%Y%m%d%H%M",
    "yyyymmddhhmmss": "%Y%m%d%H%M%S",
}
_PER_SECOND: Mapping[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_PER_DAY: Mapping[TimeUnit, int] = {"days": 0, "excel": 25_569}
"""For units of a day: the number of 1970-01-01."""

_SECONDS_PER_DAY = 86_400
_PLAUSIBLE_FROM = datetime(1990, 1, 1, tzinfo=UTC)
_POSSIBLE = (datetime(1678, 1, 1, tzinfo=UTC), datetime(2261, 12, 31, tzinfo=UTC))
_FEWEST_DAYS = 10
"""If so many different days all have the time 00:00:00, the source knows only days."""


@dataclass(frozen=True)
class TimeRules:
    """How times are read.

    Attributes:
        unit: the unit of all values ("date": they are dates or times themselves); None decides.
        form: the form of times that are text, for example `%d/%m/%Y %H:%M`.
        no_values: texts that stand for no time.
        now: values more than a day after it are not plausible; None is the present.
    """

    unit: TimeUnit | None = None
    form: str | None = None
    no_values: tuple[str, ...] = NO_VALUE
    now: datetime | None = None

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first and the last time that are accepted."""
        return _POSSIBLE if self.unit else (_PLAUSIBLE_FROM, (self.now or datetime.now(UTC)) + timedelta(days=1))


@dataclass(frozen=True)
class Times:
    """The times of rows.

    Attributes:
        days: the UTC day, Date; null where a row has no time.
        seconds: the UTC time, Datetime in microseconds with whole seconds; null where only the day is known.
        unit: the unit in words.
    """

    days: pl.Series
    seconds: pl.Series
    unit: str


def read_times(column: pl.Series, rules: TimeRules, where: str, notes: list[str]) -> Times:
    """Return the times in a column of numbers, texts, dates or times.

    Args:
        column: one value per row.
        rules: how they are read.
        where: the file and the column, for messages.
        notes: gets a sentence for each thing that the user should know.

    Raises:
        InvalidTableError: the column's type cannot hold times, a value is no time, or values are not plausible.
        UsageError: no time can be read with the form.
    """
    found = _parse(column, rules, where)
    n_missing = found.times.null_count()
    if n_missing == len(column) and n_missing:
        raise InvalidTableError(f"{where}: no row has a time; name another column with --time-column, or none")
    if n_missing:
        texts = column.filter(found.times.is_null()).drop_nulls().cast(pl.String)
        named = texts.filter(texts.str.strip_chars() != "")
        example = f", for example {shown(named[0])}" if len(named) else ""
        notes.append(f"{where}: {n_missing:,} of {len(column):,} rows have no time{example}")
    times = found.times.dt.truncate("1s")
    days, seconds = times.dt.date(), times.set(found.is_day, None)
    is_midnight = (seconds.dt.epoch("s") % _SECONDS_PER_DAY == 0).drop_nulls()
    if len(is_midnight) and is_midnight.all() and days.n_unique() >= _FEWEST_DAYS:
        seconds = seconds.clear(len(seconds))
        notes.append(f"{where}: every time is midnight in UTC, so only the days are kept")
    return Times(days, seconds, found.words)


def _parse(column: pl.Series, rules: TimeRules, where: str) -> ParsedTexts:
    texts = as_text(column.cast(pl.String) if rules.form and column.dtype.is_integer() else column)
    if texts is not None:
        texts = without_no_values(texts, rules.no_values)
        numbers = texts.cast(pl.Float64, strict=False)
        if rules.unit not in (None, "date"):
            require_values(texts, numbers.is_not_null(), where, "a number", "fix them, or omit --time-unit")
        if rules.form is None and rules.unit != "date" and numbers.null_count() == texts.null_count():
            return _from_numbers(_exact(texts, numbers), rules, where)
        found = parse_texts(texts, rules.form, where)
    elif column.dtype.is_numeric():
        return _from_numbers(column, rules, where)
    else:
        is_day = column.dtype == pl.Date
        require_type(column, is_day or isinstance(column.dtype, pl.Datetime), where, "one of dates or times")
        zone = getattr(column.dtype, "time_zone", None)
        local = column.cast(pl.Datetime("us", zone)).dt
        times = local.convert_time_zone("UTC") if zone else local.replace_time_zone("UTC")
        words = "dates" if is_day else in_words(has_zone=zone is not None)
        found = ParsedTexts(times, repeated(is_day, len(column)), words)
    low, high = rules.bounds
    advice = "fix them, or pass --time-unit date to accept them"
    require_values(found.times, found.times.is_between(low, high), where, _plausible(rules), advice)
    return found


def _exact(texts: pl.Series, numbers: pl.Series) -> pl.Series:
    """Return integers if all texts are integers: nanoseconds are not exact in floating point."""
    integers = texts.cast(pl.Int64, strict=False)
    return integers if integers.null_count() == texts.null_count() else numbers


def _from_numbers(numbers: pl.Series, rules: TimeRules, where: str) -> ParsedTexts:
    is_exact = numbers.dtype.is_integer() and numbers.dtype not in (pl.UInt64, pl.Int128, pl.UInt128)
    values = numbers.cast(pl.Int64) if is_exact else numbers.cast(pl.Float64).fill_nan(None)
    unit = rules.unit if rules.unit not in (None, "date") else _detect(values, rules, where)
    words, advice = _IN_WORDS[unit], "fix them, or name the right --time-unit"
    what = f"{_plausible(rules)} as {words.split(',')[0]}"
    require_values(values, _is_within(values, unit, rules), where, what, advice)
    is_day = "hh" not in unit
    if unit in _CALENDAR:
        digits = values.cast(pl.Int64).cast(pl.String) + {"year": "0101", "yyyymm": "01"}.get(unit, "")
        form = _CALENDAR[max(unit, "yyyymmdd", key=len)]
        times = digits.str.to_datetime(form, time_unit="us", strict=False)
        require_values(values, times.is_not_null(), where, what, advice)
        return ParsedTexts(times.dt.replace_time_zone("UTC"), repeated(is_day, len(values)), words)
    if unit in _PER_DAY:
        # A spreadsheet's fraction of a day is a whole second only after rounding.
        seconds = ((values - _PER_DAY[unit]) * _SECONDS_PER_DAY).round().cast(pl.Int64)
        is_day = bool((seconds % _SECONDS_PER_DAY == 0).all())
    else:
        per_second = _PER_SECOND[unit]
        seconds = values // per_second if values.dtype.is_integer() else (values / per_second).floor().cast(pl.Int64)
        is_day = False
    times = pl.from_epoch(seconds.cast(pl.Int64), time_unit="s").cast(pl.Datetime("us"))
    return ParsedTexts(times.dt.replace_time_zone("UTC"), repeated(is_day, len(values)), words)


def _detect(values: pl.Series, rules: TimeRules, where: str) -> TimeUnit:
    """Return the unit in which every value is plausible.

    Raises:
        InvalidTableError: there is none; the message names the unit in which most values are.
    """
    n_plausible = {unit: int(_is_within(values, unit, rules).sum() or 0) for unit in _DETECTED}
    unit = max(n_plausible, key=lambda unit: n_plausible[unit])
    if n_plausible[unit] == 0 and values.null_count() < len(values):
        raise InvalidTableError(
            f"{where}: no value is {_plausible(rules)} in any known unit; for example {shown(values.drop_nulls()[0])}: "
            f"name the unit with --time-unit ({', '.join(_IN_WORDS)}), or omit --time-column"
        )
    return unit


def _is_within(values: pl.Series, unit: TimeUnit, rules: TimeRules) -> pl.Series:
    """Return which numbers are times within the bounds; null ones stay null."""
    low, high = rules.bounds
    if unit in _CALENDAR:
        form = _CALENDAR[unit]
        is_whole = values == values.floor() if values.dtype.is_float() else values.is_not_null()
        return values.is_between(int(low.strftime(form)), int(high.strftime(form))) & is_whole
    per_second = _PER_SECOND.get(unit, 1 / _SECONDS_PER_DAY)
    first = _PER_DAY.get(unit, 0)
    return values.is_between(low.timestamp() * per_second + first, high.timestamp() * per_second + first)


def _plausible(rules: TimeRules) -> str:
    low, high = rules.bounds
    return (
        f"a time from {low.year} to {high:%Y-%m-%d}"
        if rules.unit
        else f"a plausible time (from {low.year} until today)"
    )
