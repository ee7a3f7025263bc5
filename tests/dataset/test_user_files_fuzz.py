"""Ratings files that nobody would write by hand: each ends in rows and quarantine rows, or in an error of one line.

`make bench ONLY=fuzz` runs 10,000 of each kind; DOUBAN_FUZZ_EXAMPLES sets another number.
"""

import bz2
import gzip
import io
import lzma
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.errors import PipelineError
from dataset.formats.ratings import RatingsFormat, ReadRatings, read_ratings
from dataset.reading.table import NO_VALUE

N_EXAMPLES = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "200"))
LIMIT_S = 10

fuzzed = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=N_EXAMPLES <= 1_000,
    suppress_health_check=list(HealthCheck),
    database=None,
)


def read(content: bytes, form: RatingsFormat) -> ReadRatings | None:
    """Read a file of these bytes; None if it is refused in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.csv"
        path.write_bytes(content)
        started = time.monotonic()
        try:
            return read_ratings(path, form)
        except PipelineError as error:
            if "\n" in str(error):
                raise AssertionError("more than one line") from error
            return None
        finally:
            assert time.monotonic() - started < LIMIT_S


SIGNS = st.sampled_from("aZ09 ._-:/\\'\"`,;|\t{}[]#%&=+*éß用户\u00a0\u200b\u2028\x00\x1f\ufeffＡ😀")
TEXTS = st.text(SIGNS, max_size=8)
NUMBERS = st.sampled_from(["1", "5", "0", "4.5", "1e0", "nan", "", " 3", "-1", "inf", "10", "x", "\\N", "NULL"])
TIMES = st.sampled_from(["1593878903", "20200705", "2020-07-05", "2020-07-05T10:11:12Z", "", "0", "x", "07/05/2020"])
SEPARATORS = st.sampled_from([",", ";", "\t", "|", "::", " ", "||", "^"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "latin-1", "cp1252"])
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: bytes(pa.compress(content, codec="zstd", asbytes=True)),
}


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[bytes, list[list[str]], dict[str, Any]]:
    """A table as bytes, its rows, and the options that say how it is written."""
    separator, encoding = draw(SEPARATORS), draw(ENCODINGS)
    style = draw(st.sampled_from(["minimal", "all", "backslash", "single", "none"]))
    unwritable = {"none": {*separator, '"'}, "backslash": {"\\"}}.get(style, set())
    fields = TEXTS.map(lambda text: "".join(sign for sign in text if sign not in unwritable))
    if style != "none" and draw(st.booleans()):
        fields = fields | st.just("two\nlines")
    rows = draw(st.lists(st.tuples(fields, fields, fields).map(list), min_size=1, max_size=12))
    mark = "'" if style == "single" else '"'
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for row in [["user", "item", "more"], *rows]:
        cells = []
        for text in row:
            must = style in ("all", "single") or any(sign in text for sign in (separator, mark, "\n", "\r", *separator))
            if style == "backslash":
                text = text.replace(mark, f"\\{mark}")
            cells.append(
                f"{mark}{text.replace(mark, mark * 2) if style != 'backslash' else text}{mark}" if must else text
            )
        lines.append(separator.join(cells))
    text = end.join(lines) + draw(st.sampled_from([end, ""]))
    options = {
        "separator": separator,
        "quote": "none" if style == "none" else mark,
        "encoding": encoding,
        "has_header": True,
    }
    content = text.encode(encoding, "ignore")
    rows = [[cell.encode(encoding, "ignore").decode(encoding) for cell in row] for row in rows]
    return COMPRESSIONS[draw(st.sampled_from(sorted(COMPRESSIONS)))](content), rows, options


def wanted(rows: list[list[str]]) -> Counter[tuple[str, str]]:
    """The users and items of the rows that have both."""
    pairs = [tuple(_bare(text) for text in row[:2]) for row in rows]
    return Counter((user, item) for user, item in pairs if user not in ("", *NO_VALUE) and item not in ("", *NO_VALUE))


def _bare(text: str) -> str:
    return pl.Series([text]).str.strip_chars().str.strip_chars("\ufeff\u200b\u2060").str.strip_chars()[0]


@fuzzed
@given(written_tables())
def test_a_table_is_read_as_it_was_written_or_refused(written: tuple[bytes, list[list[str]], dict[str, Any]]) -> None:
    content, rows, options = written
    done = read(content, RatingsFormat(**options))
    if done is not None:
        assert Counter(done.rows.select("user_id", "movie_id").iter_rows()) == wanted(rows)
        assert done.rows.height + done.quarantine.height == len(rows)


@fuzzed
@given(written_tables())
def test_a_table_whose_dialect_is_detected_loses_no_row(written: tuple[bytes, list[list[str]], dict[str, Any]]) -> None:
    content, rows, options = written
    done = read(content, RatingsFormat(encoding=options["encoding"]))
    if done is not None:
        assert done.rows.height + done.quarantine.height == len(rows)


GARBAGE = st.one_of(
    st.binary(max_size=300),
    st.text(st.sampled_from("ab01.,;|\t \"'\\\n\r\x00:éN{}[]<>"), max_size=300).map(lambda text: text.encode()),
    st.builds(
        lambda head, body: head + body,
        st.sampled_from([
            b"user,item,rating,time\n", b'"user";"item";"rating";"time"\r\n',
            b"user\titem\trating\ttime\n", b"\xef\xbb\xbfuser,item\n",
        ]),
        st.lists(
            st.lists(st.one_of(TEXTS, NUMBERS, TIMES), max_size=5).map(",".join) | TEXTS, max_size=8
        ).map(lambda lines: "\n".join(lines).encode()),
    ),
)  # fmt: skip


@st.composite
def odd_options(draw: st.DrawFn) -> RatingsFormat:
    """Options that need not fit the file."""
    numbered = draw(st.booleans())
    columns = ("1", "2", "3", "4") if numbered else ("user", "item", "rating", "time")
    return RatingsFormat(
        columns[0],
        columns[1],
        draw(st.sampled_from([None, columns[2]])),
        draw(st.sampled_from([None, columns[3]])),
        separator=draw(st.none() | SEPARATORS),
        has_header=False if numbered else draw(st.sampled_from([None, True])),
        quote=draw(st.sampled_from([None, '"', "'", "none"])),
        encoding=draw(st.none() | ENCODINGS),
        ragged_rows=draw(st.sampled_from(["quarantine", "fit"])),
        zero_is=draw(st.sampled_from([None, "unrated", "drop"])),
        time_unit=draw(st.sampled_from([None, None, "s", "yyyymmdd", "excel", "year", "date"])),
        time_format=draw(st.sampled_from([None, None, "%d/%m/%Y", "%q", "%Y", "%H", "%"])),
        id_spaces=draw(st.sampled_from(["strip", "keep"])),
        float_ids=draw(st.sampled_from(["auto", "as-integers", "keep"])),
    )


@fuzzed
@given(GARBAGE, odd_options(), st.sampled_from(sorted(COMPRESSIONS)), st.integers(0, 400))
def test_any_bytes_end_in_rows_or_in_one_line(content: bytes, form: RatingsFormat, how: str, length: int) -> None:
    packed = COMPRESSIONS[how](content)
    read(packed if how == "none" else packed[:length], form)


ARROW_TYPES = st.sampled_from([
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary(4), pa.int8(), pa.int64(), pa.uint64(),
    pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.decimal128(12, 2), pa.decimal256(50, 3), pa.date32(),
    pa.date64(), pa.time32("s"), pa.time64("us"), pa.duration("ms"), pa.timestamp("s"), pa.timestamp("ns"),
    pa.timestamp("us", "UTC"), pa.timestamp("ms", "Asia/Shanghai"), pa.timestamp("us", "Mars/Base"), pa.null(),
    pa.list_(pa.string()), pa.large_list(pa.int64()), pa.list_(pa.int8(), 2), pa.struct({"a": pa.int8()}), pa.uuid(),
    pa.map_(pa.string(), pa.int8()), pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.int64()),
])  # fmt: skip


@st.composite
def columns_of(draw: st.DrawFn, n_rows: int) -> pa.Array:
    """A column of any type that holds what it can of some values."""
    dtype = draw(ARROW_TYPES)
    values = draw(
        st.lists(
            st.none() | TEXTS | NUMBERS | TIMES | st.integers(-5, 2**62) | st.floats(), min_size=n_rows, max_size=n_rows
        )
    )
    return pa.array([_as(dtype, value) for value in values], dtype)


def _as(dtype: pa.DataType, value: Any) -> Any:
    """Return a value as the type has it, None if it cannot."""
    for form in (value, str(value), str(value).encode(), *_numbers(value)):
        try:
            scalar = pa.scalar(form, dtype)
            pa.array([scalar.as_py()], dtype)
            return scalar.as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError, LookupError):
            continue
    return None


def _numbers(value: Any) -> list[Any]:
    try:
        number = int(float(value)) % 2**31
    except (TypeError, ValueError, OverflowError):
        number = 7
    return [
        number,
        number % 100,
        [number % 100] * 2,
        ["a"],
        {"a": 1},
        [("a", 1)],
        number % 2 == 0,
        b"abcd",
        b"abcd" * 4,
    ]


@st.composite
def parquet_files(draw: st.DrawFn) -> tuple[bytes, int]:
    """A Parquet file of columns of any type, and its number of rows."""
    n_rows = draw(st.integers(0, 6))
    names = draw(st.sampled_from([("user", "item", "rating", "time"), ("time", "item", "user", "rating", "a.b")]))
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: draw(columns_of(n_rows)) for name in names}), buffer)
    return buffer.getvalue(), n_rows


@fuzzed
@given(parquet_files(), odd_options())
def test_parquet_of_any_type_ends_in_all_rows_or_in_one_line(file: tuple[bytes, int], form: RatingsFormat) -> None:
    content, n_rows = file
    named = RatingsFormat(
        "user",
        "item",
        form.rating_column and "rating",
        form.time_column and "time",
        zero_is=form.zero_is,
        float_ids=form.float_ids,
    )
    done = read(content, named)
    if done is not None:
        assert done.rows.height + done.quarantine.height == n_rows
