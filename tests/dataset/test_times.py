"""Times of ratings: units, forms of text, types, and what is not plausible."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import InvalidTableError, PipelineError, UsageError
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import RatingsFormat, ReadRatings, read_ratings

DAY = date(2020, 7, 4)
SECOND = datetime(2020, 7, 4, 16, 8, 23, tzinfo=UTC)


def read(folder: Path, values: list[Any], **options: Any) -> ReadRatings:
    """Read a file with these times: CSV if all are text, else Parquet."""
    table = pl.DataFrame({"user": [f"u{n}" for n in range(len(values))], "item": "i", "when": values}, strict=False)
    path = folder / "r.csv"
    if table["when"].dtype == pl.String:
        table.write_csv(path)
    else:
        table.write_parquet(path)
    return read_ratings(path, RatingsFormat(time_column="when", **options))


@pytest.mark.parametrize(
    ("value", "second", "words"),
    [
        ("1593878903", SECOND, "seconds since 1970"),
        ("1593878903.938", SECOND, "seconds since 1970"),
        ("1593878903.0", SECOND, "seconds since 1970"),
        ("1.593878903e9", SECOND, "seconds since 1970"),
        ("1593878903938", SECOND, "milliseconds since 1970"),
        ("1593878903938438", SECOND, "microseconds since 1970"),
        ("1593878903000000000", SECOND, "nanoseconds since 1970"),
        ("1593878903999999999", SECOND, "nanoseconds since 1970"),
        ("20200704160823", SECOND, "numbers YYYYMMDDhhmmss"),
        ("202007041608", SECOND.replace(second=0), "numbers YYYYMMDDhhmm"),
        ("20200704", None, "numbers YYYYMMDD"),
        ("44016", None, "days of a spreadsheet"),
        ("44016.672488426", SECOND, "days of a spreadsheet"),
        ("2020-07-04", None, "dates"),
        ("2020/07/04", None, "dates"),
        ("2020.7.4", None, "dates"),
        ("2020年7月4日", None, "dates"),
        ("2020-07-04 16:08:23", SECOND, "no zone"),
        ("2020-07-04T16:08:23.999999", SECOND, "no zone"),
        ("2020-07-04 16:08", SECOND.replace(second=0), "no zone"),
        ("2020-07-04T16:08:23Z", SECOND, "with a zone"),
        ("2020-07-04T16:08:23.5Z", SECOND, "with a zone"),
        ("2020-07-04 16:08:23 UTC", SECOND, "with a zone"),
        ("2020-07-04T18:08:23+02:00", SECOND, "with a zone"),
        ("2020-07-05T00:08:23.1+0800", SECOND, "with a zone"),
        ("2020-07-04T09:08:23-07", SECOND, "with a zone"),
        ("20200704T160823Z", SECOND, "with a zone"),
        ("04 Jul 2020", None, "dates"),
        ("July 4, 2020", None, "dates"),
        ("4-Jul-2020", None, "dates"),
        ("Sat, 04 Jul 2020 16:08:23 +0000", SECOND, "with a zone"),
        ("Sat Jul 04 16:08:23 +0000 2020", SECOND, "with a zone"),
        ("Sat Jul  4 16:08:23 2020", SECOND, "no zone"),
        ("Jul 4th, 2020 at 04:08 PM", SECOND.replace(second=0), "no zone"),
        ("04/Jul/2020:16:08:23 +0000", SECOND, "with a zone"),
    ],
)
def test_the_unit_of_times_is_detected_and_said(
    value: str, second: datetime | None, words: str, tmp_path: Path
) -> None:
    done = read(tmp_path, [value])
    assert done.rows.select("rated_on", "rated_at").rows() == [(DAY, second)]
    assert words in done.facts["times"]


@pytest.mark.parametrize(
    ("value", "day", "words"),
    [("2020", date(2020, 1, 1), "years"), ("202007", date(2020, 7, 1), "YYYYMM")],
)
def test_years_and_months_are_their_first_day_and_said(value: str, day: date, words: str, tmp_path: Path) -> None:
    done = read(tmp_path, [value])
    assert done.rows.select("rated_on", "rated_at").rows() == [(day, None)]
    assert words in done.facts["times"]


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (["07/04/2020", "07/31/2020"], ["2020-07-04", "2020-07-31"]),
        (["04/07/2020", "31/07/2020"], ["2020-07-04", "2020-07-31"]),
        (["4.7.2020", "31.7.2020"], ["2020-07-04", "2020-07-31"]),
        (["07 4, 2013", "09 13, 2009"], ["2013-07-04", "2009-09-13"]),
        (["7/4/2020 4:08 PM", "7/31/2020 11:00 AM"], ["2020-07-04", "2020-07-31"]),
    ],
)
def test_the_order_of_day_and_month_follows_from_the_whole_column(
    values: list[str], days: list[str], tmp_path: Path
) -> None:
    assert read(tmp_path, values).rows["rated_on"].cast(pl.String).to_list() == days


@pytest.mark.parametrize(
    ("value", "form"),
    [("07/05/2020", "%d/%m/%Y"), ("07.05.2020", "%d.%m.%Y"), ("07 5, 2013", "%d %m, %Y"), ("07/05/20", "%d/%m/%y")],
)
def test_a_date_of_two_readings_is_refused_and_its_form_can_be_named(value: str, form: str, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTableError, match=r"1 dates can be read in two ways, for example .*; pass --time-format"
    ) as refused:
        read(tmp_path, [value])
    assert repr(form) in str(refused.value)
    day = read(tmp_path, [value], time_format=form).rows["rated_on"][0]
    assert (day.month, day.day) == (5, 7)


@pytest.mark.parametrize(
    ("value", "options", "day"),
    [
        ("86400", {"time_unit": "s"}, date(1970, 1, 2)),
        ("18447", {"time_unit": "days"}, date(2020, 7, 4)),
        ("1985", {"time_unit": "year"}, date(1985, 1, 1)),
        ("19850704", {"time_unit": "yyyymmdd"}, date(1985, 7, 4)),
        ("1985-07-04", {"time_unit": "date"}, date(1985, 7, 4)),
        ("04 | 07 | 2020", {"time_format": "%d | %m | %Y"}, DAY),
        ("2020-07-04 23h", {"time_format": "%Y-%m-%d %Hh"}, None),
        ("-1", {"time_unit": "s"}, date(1969, 12, 31)),
    ],
)
def test_a_unit_or_form_that_is_named_is_taken(
    value: str, options: dict[str, Any], day: date | None, tmp_path: Path
) -> None:
    if day is None:
        with pytest.raises(PipelineError):
            read(tmp_path, [value], **options)
    else:
        assert read(tmp_path, [value], **options).rows["rated_on"].to_list() == [day]


NOT_PLAUSIBLE = ["0", "-1", "1", "86400", "631151999", "9999999999", "1e30", "inf", "-inf", "99991231", "1970-01-01",
                 "1989-12-31", "9999-12-31", "2120-01-01T00:00:00Z", "123456"]  # fmt: skip


@pytest.mark.parametrize("value", NOT_PLAUSIBLE)
@pytest.mark.parametrize("good", [[], ["1593878903"], ["2020-07-04"]])
def test_times_that_are_not_plausible_are_refused_with_an_example(value: str, good: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match=r"for example") as refused:
        read(tmp_path, [*good, value])
    assert "--time-unit" in str(refused.value) or "--time-format" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "value", ["soon", "10:11:12", "2020-13-01", "20201301", "2020-02-30", "20200230", "a b c", "1,5"]
)
def test_what_is_no_time_is_refused_with_its_number_and_an_example(value: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match=r"1 of \d values are not .*; for example") as refused:
        read(tmp_path, ["2020-07-04" if "-" in value else "20200704", value])
    assert value in str(refused.value)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "days", "excel", "year", "yyyymm", "yyyymmdd", "date"])
@pytest.mark.parametrize("value", ["1e30", "inf", "1e300", "-1e19"])
def test_no_unit_makes_a_time_of_what_no_reader_can_hold(unit: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError):
        read(tmp_path, [value], time_unit=unit)


@pytest.mark.parametrize("value", ["", "nan", "NaN", "null", "\\N", "NA"])
def test_a_row_without_a_time_is_counted_and_a_column_without_any_refused(value: str, tmp_path: Path) -> None:
    done = read(tmp_path, ["1593878903", value])
    assert done.rows["rated_on"].to_list() == [DAY, None]
    assert any("1 of 2 rows have no time" in note for note in done.notes)
    with pytest.raises(InvalidTableError, match="no row has a time"):
        read(tmp_path, [value])


@pytest.mark.parametrize(
    ("values", "second"),
    [
        ([DAY], None),
        ([datetime(2020, 7, 4, 16, 8, 23, 999_999)], SECOND),
        ([SECOND], SECOND),
        (pl.Series([SECOND]).dt.cast_time_unit("ns"), SECOND),
        (pl.Series([SECOND]).dt.cast_time_unit("ms").dt.convert_time_zone("Asia/Shanghai"), SECOND),
        ([1_593_878_903], SECOND),
        ([1_593_878_903_938_438_000], SECOND),
        (pl.Series([1_593_878_903], dtype=pl.UInt64), SECOND),
        ([1_593_878_903.5, float("nan"), None], SECOND),
        ([Decimal("1593878903.5")], SECOND),
        (pl.Series([20200704], dtype=pl.Int32), None),
        (pl.Series(["2020-07-04"], dtype=pl.Categorical), None),
    ],
)
def test_parquet_s_types_of_dates_and_numbers_are_read(values: Any, second: datetime | None, tmp_path: Path) -> None:
    done = read(tmp_path, values)
    assert done.rows.select("rated_on", "rated_at").row(0) == (DAY, second)
    assert done.rows["rated_on"].drop_nulls().len() == 1


@pytest.mark.parametrize(
    "values",
    [
        [time(1)],
        [timedelta(1)],
        [True],
        [[1]],
        [{"a": 1}],
        [b"\xff"],
        [float("inf")],
        [1e30],
        [-1],
        [datetime(1, 1, 1)],
    ],
)
def test_other_types_and_values_end_in_one_line(values: list[Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match="column 'when'") as refused:
        read(tmp_path, values)
    assert "\n" not in str(refused.value)


def test_times_that_are_all_midnight_are_days(tmp_path: Path) -> None:
    midnights = [str(1_593_820_800 + 86_400 * day) for day in range(12)]
    done = read(tmp_path, midnights)
    assert done.rows["rated_at"].null_count() == 12
    assert any("every time is midnight in UTC" in note for note in done.notes)
    assert read(tmp_path, [*midnights[:-1], "1594771201"]).rows["rated_at"].null_count() == 0


def test_a_form_that_nothing_can_be_read_with_is_refused(tmp_path: Path) -> None:
    for form in ("%q", "%H", "%", "no form"):
        with pytest.raises((InvalidTableError, UsageError), match="--time-format"):
            read(tmp_path, ["2020-07-04"], time_format=form)


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y-%m-%d"])
def test_a_temporal_split_of_written_days_tests_the_newest(form: str, tmp_path: Path) -> None:
    days = [date(2019, 1, 1) + timedelta(days=n) for n in range(300)]
    rows = [f"u{n % 10},i{n % 12},{day:{form}}" for n, day in enumerate(days)]
    (tmp_path / "r.csv").write_text("user,item,date\n" + "\n".join(rows) + "\n")
    import_ratings(tmp_path / "r.csv", RatingsFormat(time_column="date"), None, tmp_path / "raw")
    build(tmp_path / "raw", tmp_path / "built", DatasetConfig(1, 1, split=SplitConfig(strategy="temporal")))
    table = pl.read_parquet(tmp_path / "built" / "interactions.parquet")
    newest = table.filter(split="train")["rated_on"].max()
    assert (table.filter(split="test")["rated_on"] >= newest).all()
    assert table["rated_on"].n_unique() > 50
