"""Text tables as people have them: separators, quotation marks, encodings, compression, headers, ragged rows."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from dataset.errors import InvalidTableError, PipelineError, TooLittleDataError, UsageError
from dataset.formats.ratings import RatingsFormat, ReadRatings, read_ratings

ROWS = [("u1", "007", "4"), ("ü2", "Ex: A, B; C|D", "5"), ("u3", "say 'x'", ""), ("u4", "2 parts", "3.5")]


def read(folder: Path, content: bytes | str, name: str = "r.csv", **options: Any) -> ReadRatings:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_ratings(folder / name, RatingsFormat(**({"rating_column": "rating"} | options)))


def pairs(done: ReadRatings) -> list[tuple[str, str]]:
    return done.rows.select("user_id", "movie_id").rows()


def written(separator: str, quote: str | None, escape: str | None = None, end: str = "\n") -> str:
    """The rows as a program writes them that quotes every field (or none), with doubled or escaped marks."""
    lines = []
    for row in [("user", "item", "rating"), *ROWS]:
        cells = row
        if quote:
            cells = tuple(quote + text.replace(quote, escape + quote if escape else 2 * quote) + quote for text in row)
        lines.append(separator.join(cells) + end)
    return "".join(lines)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, "zstd", "zip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "gb18030", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    ("separator", "quote", "escape"),
    [
        *((separator, quote, None) for separator in (",", ";", "\t", "|", "::", " ") for quote in ('"', "'")),
        (";", "'", "\\"),
        ("\t", None, None),
        ("^", None, None),
        ("||", None, None),
    ],
)
def test_every_way_to_write_a_table_gives_the_same_rows(
    separator: str, quote: str | None, escape: str | None, encoding: str, compress: Any, tmp_path: Path
) -> None:
    content = written(separator, quote, escape, end="\r\n" if encoding == "latin-1" else "\n").encode(encoding)
    packed = _zipped(content) if compress == "zip" else _zstd(content) if compress == "zstd" else compress(content)
    must_name = separator in ("^", "||")  # nobody guesses these
    options = {"separator": separator} if must_name else {}
    done = read(tmp_path, packed, encoding=None if encoding.startswith("utf-8") else encoding, **options)
    assert pairs(done) == [row[:2] for row in ROWS]
    assert done.rows["stars"].to_list() == [4, 5, None, 3.5]
    assert done.quarantine.is_empty()


def _zipped(content: bytes, *more: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("ratings.csv", *more):
            archive.writestr(name, content)
    return buffer.getvalue()


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def test_book_crossing_is_read_with_its_encoding_and_its_zeros_named(tmp_path: Path) -> None:
    content = '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n"3";"Gr\xf6\xdfe";"10"\r\n'.encode(
        "latin-1"
    )
    form: dict[str, Any] = {
        "user_column": "User-ID",
        "item_column": "ISBN",
        "rating_column": "Book-Rating",
        "max_rating": 10,
    }
    with pytest.raises(
        InvalidTableError, match=r"line 3 \(byte 0xf6\) is not UTF-8; name the encoding with --encoding"
    ):
        read(tmp_path, content, **form)
    with pytest.raises(InvalidTableError, match=r"1 of 2 ratings are 0.* start at 1; pass --zero-is unrated"):
        read(tmp_path, content, encoding="latin-1", **form)
    for zero_is, stars in (("unrated", [None, 5.0]), ("interaction", [None, 5.0]), ("drop", [5.0])):
        done = read(tmp_path, content, encoding="latin-1", zero_is=zero_is, **form)
        assert done.rows["stars"].to_list() == stars
        assert done.rows.height + done.quarantine.height == 2
        assert any("1 rows with a rating of 0 are" in note for note in done.notes)
    assert done.quarantine["reason"].to_list() == ["a rating of 0"]


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ('1\t"Great" Movie\t3', '"Great" Movie'),
        ('1\t"Weird Al\t3', '"Weird Al'),
        ('1\t7" disc\t3', '7" disc'),
        ("1\t'Tis\t3", "'Tis"),
        ('1\t""\t3', None),
    ],
)
def test_quotation_marks_that_are_part_of_a_title_stay(line: str, item: str | None, tmp_path: Path) -> None:
    done = read(tmp_path, f"user\titem\trating\n{line}\n2\tb\t4\n")
    assert pairs(done) == [*([("1", item)] if item else []), ("2", "b")]
    assert done.rows.height + done.quarantine.height == 2


def test_an_open_quotation_mark_never_swallows_the_rows_below(tmp_path: Path) -> None:
    done = read(tmp_path, 'user\titem\trating\n1\t"Foo\t3\n2\tBar"\t4\n3\tx\t5\n')
    assert pairs(done) == [("1", '"Foo'), ("2", 'Bar"'), ("3", "x")]
    text = '"user","item","rating"\n' + "".join(f'"{n}","a, {n}","3"\n' for n in range(50))
    with pytest.raises(InvalidTableError, match=r'in line \d+ or below, a field begins with " .* pass --quote none'):
        read(tmp_path, text + '"x","open,"3"\n"y","z","4"\n')


def test_a_quoted_field_may_span_lines_and_hold_the_separator(tmp_path: Path) -> None:
    done = read(tmp_path, 'user,item,rating\n1,"two\nlines, and ""marks""",3\n2,b,4\n')
    assert pairs(done) == [("1", 'two\nlines, and "marks"'), ("2", "b")]


def test_a_database_s_no_value_is_no_value_also_beside_escaped_marks(tmp_path: Path) -> None:
    done = read(tmp_path, 'user;item;rating\n"1";"say \\"x\\"";\\N\n"2";"b";"4"\n\\N;"c";"3"\n')
    assert done.rows.select("movie_id", "stars").rows() == [('say "x"', None), ("b", 4.0)]
    assert done.quarantine["reason"].to_list() == ["no user or no item"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_in_any_way(end: str, last: bool, tmp_path: Path) -> None:
    text = end.join(["user,item,rating", "1,a,4", "", "2,b,5"]) + (end if last else "")
    assert pairs(read(tmp_path, text)) == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize(
    "header",
    [
        "user,item,rating", '"user","item","rating"', "\ufeffuser,item,rating", '\ufeff"user",item,rating',
        " user , item, rating ",
    ],
)  # fmt: skip
def test_names_are_found_behind_spaces_quotation_marks_and_a_byte_order_mark(header: str, tmp_path: Path) -> None:
    assert pairs(read(tmp_path, f"{header}\n1,a,4\n")) == [("1", "a")]


def test_a_line_that_names_the_separator_for_a_spreadsheet_is_no_row(tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "sep=;\nuser;item;rating\n1;a,b;4\n")) == [("1", "a,b")]


@pytest.mark.parametrize(
    "text",
    [
        "AAA1,0001,5.0,1369699200\nAAA2,0002,4.0,1369699201\nAAA3,0003,3.0,1369699202\n",
        "alice,tt0111161,5\nbob,tt0068646,4\n",
        "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        "1::1193::5::978300760\n2::661::3::978302109\n",
        "u1,a,5.0\n",
        "unknown,0001,NA,1369699200\n123,0002,4.0,1369699201\n124,0003,5.0,1369699202\n",
        "a,1,NaN\nb,2,4\n",
        "A1,x,2014-05-05,4\nA2,y,2014-05-06,3\n",
    ],
)
def test_a_file_without_a_header_loses_no_row_when_the_advice_is_followed(text: str, tmp_path: Path) -> None:
    lines = text.splitlines()
    with pytest.raises(InvalidTableError, match=r"the first line looks like data.* pass --no-header") as refused:
        read(tmp_path, text)
    assert "--no-header --user-column 1 --item-column 2" in str(refused.value)
    for columns in (("1", "2"), ("column_1", "column_2")):
        done = read(
            tmp_path, text, user_column=columns[0], item_column=columns[1], rating_column=None, has_header=False
        )
        assert done.rows.height == len(lines)
        assert done.quarantine.is_empty()


def test_a_first_line_that_may_be_names_or_data_is_refused_with_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidTableError, match=r"it has 'alice', 'film': name the .* \(if they are data, pass --no-header"
    ):
        read(tmp_path, "alice,film\nbob,book\n", rating_column=None)


@pytest.mark.parametrize("header", ["user,item,rating,2019", "user,item,0,more"])
def test_names_may_be_numbers_beside_others(header: str, tmp_path: Path) -> None:
    assert pairs(read(tmp_path, f"{header}\n1,2,3,4\n5,6,4,4\n", rating_column=None)) == [("1", "2"), ("5", "6")]


def test_a_column_that_is_named_after_a_value_is_not_read_as_a_header(tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match="the first line looks like data"):
        read(tmp_path, "u1,i1\nu2,i2\nu3,i3\n", user_column="u1", item_column="i1", rating_column=None)


def test_a_header_of_numbers_is_read_when_that_is_said(tmp_path: Path) -> None:
    done = read(tmp_path, "0,1\n7,8\n", user_column="0", item_column="1", rating_column=None, has_header=True)
    assert pairs(done) == [("7", "8")]


def test_a_header_that_is_read_as_a_row_is_noted(tmp_path: Path) -> None:
    done = read(tmp_path, "user,item\n1,2\n", user_column="1", item_column="2", rating_column=None, has_header=False)
    assert done.rows.height == 2
    assert any("looks like names and was read as a row" in note for note in done.notes)


def test_a_number_that_no_column_has_is_refused_with_the_numbers_there_are(tmp_path: Path) -> None:
    for column in ("3", "0", "user"):
        with pytest.raises(InvalidTableError, match=f"no column '{column}' for the user; .* numbers from 1 to 2"):
            read(tmp_path, "1,2\n", user_column=column, item_column="2", rating_column=None, has_header=False)


def test_a_name_that_occurs_twice_is_refused_if_it_is_asked_for(tmp_path: Path) -> None:
    text = "user,item,user,\n1,2,3,4\n"
    with pytest.raises(InvalidTableError, match="2 columns are named 'user'"):
        read(tmp_path, text, rating_column=None)
    assert pairs(read(tmp_path, text, user_column="item", item_column="", rating_column=None)) == [("2", "4")]


def test_rows_cut_short_and_rows_too_long_are_counted_with_an_example(tmp_path: Path) -> None:
    text = "user,item,rating\n1,a,4\n2,cd\n3,e,3\n4,f,5,6\n5,g,2,\n"
    done = read(tmp_path, text)
    assert pairs(done) == [("1", "a"), ("3", "e")]
    assert sorted(done.quarantine.select("reason", "detail").rows()) == [
        ("row has too few fields", "row 2: 2 fields instead of 3"),
        ("row has too many fields", "row 4: 4 fields instead of 3"),
        ("row has too many fields", "row 5: 4 fields instead of 3"),
    ]
    assert any("3 rows have too few or too many fields" in note and "row 2 with 2" in note for note in done.notes)
    fitted = read(tmp_path, text, ragged_rows="fit")
    assert sorted(pairs(fitted)) == [("1", "a"), ("2", "cd"), ("3", "e"), ("5", "g")]
    assert fitted.rows.height + fitted.quarantine.height == 5


def test_a_file_whose_rows_all_differ_from_its_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match="no row has 2 fields, as many as the first line; row 1 has 3"):
        read(tmp_path, "user,item\n1,2,3\n4,5,6\n", rating_column=None)


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    source = pl.DataFrame({"user": ["1"], "item": ["2"], "rating": ["3"], "review": ["x"]})
    source.write_csv(tmp_path / "a.csv")
    source.with_columns(review=pl.lit([{"odd": 1}])).write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        assert pairs(read_ratings(tmp_path / name, RatingsFormat(rating_column="rating"))) == [("1", "2")]


SECRET = "my private review"


OTHER_CONTENTS = [
    (json.dumps({"user": 1, "text": SECRET}) + "\n" + json.dumps({"user": 2}) + "\n", "is JSON"),
    (json.dumps([{"user": 1, "text": SECRET}], indent=1), "is JSON"),
    (f"{{'user': 1, 'text': '{SECRET}'}}\n", "is JSON"),
    (f"<!DOCTYPE html><p>{SECRET}", "is an HTML page"),
    (f"<?xml version='1.0'?><a>{SECRET}</a>", "is an XML document"),
    (pickle.dumps({"text": SECRET}), "is a Python pickle"),
    (gzip.compress(json.dumps({"text": SECRET}).encode()), "is JSON"),
    (gzip.compress(gzip.compress(SECRET.encode())), "compressed file inside"),
    (_zipped(SECRET.encode(), "second.csv"), "zip archive of 2 files"),
    (_zipped(b"", "[Content_Types].xml"), "Excel workbook"),
    (b"\xd0\xcf\x11\xe0" + SECRET.encode(), "Excel workbook"),
    (b"ARROW1\x00\x00" + SECRET.encode(), "Arrow file"),
    (b"SQLite format 3\x00" + SECRET.encode(), "SQLite"),
    (f"user,item\n1,{SECRET}\n".encode("utf-16"), "pass --encoding utf-16"),
    (f"user,item\n1,{SECRET}\n".encode("utf-16-le"), "pass --encoding utf-16-le"),
    (f"user,item\n1,{SECRET}\n".encode("utf-16-be"), "pass --encoding utf-16-be"),
    (b"\x00\x01\x02\x03" + SECRET.encode(), "binary data"),
    (gzip.compress(written(",", '"').encode())[:-12], "cannot be read"),
    (bz2.compress(written(",", '"').encode())[:-12], "cannot be read"),
    (lzma.compress(written(",", '"').encode())[:-12], "cannot be read"),
    (_zstd(written(",", '"').encode())[:-12], "cannot be read"),
    (b"PK\x03\x04" + SECRET.encode(), "cannot be read"),
    ("", "is empty"),
    ("\n\n", "is empty"),
    (b"PAR1" + SECRET.encode(), "cannot be read as Parquet"),
]


@pytest.mark.parametrize(
    ("content", "words"), OTHER_CONTENTS, ids=[f"{n} {words}" for n, (_, words) in enumerate(OTHER_CONTENTS)]
)
@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r"])
def test_other_content_is_refused_in_one_line_that_shows_nothing_of_it(
    content: str | bytes, words: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match=words) as refused:
        read(tmp_path, content, name, rating_column=None)
    assert SECRET.split()[1] not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_promises_parquet_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match="cannot be read as Parquet"):
        read(tmp_path, "user,item,rating\n1,2,3\n", "r.parquet")
    pl.DataFrame({"user": ["1"], "item": ["2"], "rating": [3]}).write_parquet(tmp_path / "really.csv")
    assert pairs(read_ratings(tmp_path / "really.csv", RatingsFormat(rating_column="rating"))) == [("1", "2")]


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "", "utf\0"])
def test_an_encoding_that_does_not_exist_is_a_wrong_option(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--encoding: no encoding is named"):
        read(tmp_path, "user,item,rating\n1,2,3\n", encoding=encoding)


@pytest.mark.parametrize("separator", ["", "\n", '"', "\\"])
def test_what_cannot_separate_fields_is_a_wrong_option(separator: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot separate fields"):
        read(tmp_path, "user,item,rating\n1,2,3\n", separator=separator)


@pytest.mark.parametrize("name", ["tab", "\\t", "\t"])
def test_separators_have_names(name: str, tmp_path: Path) -> None:
    assert pairs(read(tmp_path, "user\titem\trating\n1\ta,b\t3\n", separator=name)) == [("1", "a,b")]


def test_columns_of_people_s_text_are_shortened_in_messages(tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError) as refused:
        read(tmp_path, ",".join(f"name {n} " + "x" * 200 for n in range(100)) + "\n" + ",".join("abc") + "\n")
    assert len(str(refused.value)) < 1_500


@pytest.mark.parametrize("text", ["NaN", "nan", "NA", "N/A", "null", "NULL", "None", "\\N", '""', "", "  "])
def test_texts_for_no_value_are_no_rating_and_no_id(text: str, tmp_path: Path) -> None:
    done = read(tmp_path, f"user,item,rating\n1,a,{text}\n{text},b,4\n2,{text},4\n3,c,5\n")
    assert done.rows.select("user_id", "movie_id", "stars").rows() == [("1", "a", None), ("3", "c", 5.0)]
    assert done.quarantine["reason"].to_list() == ["no user or no item"] * 2
    assert any("1 of 4 rows have no rating" in note for note in done.notes)


def test_an_id_like_na_can_be_kept(tmp_path: Path) -> None:
    done = read(tmp_path, "user,item,rating\nNA,a,4\n", no_values="-,NULL")
    assert pairs(done) == [("NA", "a")]


@pytest.mark.parametrize("value", ["inf", "-inf", "1e400", "good", "4/5", "4,5", "0x4", "4 stars"])
def test_a_rating_that_is_no_number_is_refused_with_an_example(value: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTableError, match=r"1 of 2 values are not a number; for example"):
        read(tmp_path, f'user;item;rating\n1;a;"{value}"\n2;b;4\n')


def test_spaces_around_ids_are_removed_or_kept_and_said(tmp_path: Path) -> None:
    text = "user,item,rating\n 007,a,4\n007 ,b\u00a0,5\n\u3000007,c\u200b,5\n007,d,3\n"
    done = read(tmp_path, text)
    assert pairs(done) == [("007", "a"), ("007", "b"), ("007", "c"), ("007", "d")]
    assert any("3 ids have spaces around them, for example ' 007': removed" in note for note in done.notes)
    kept = read(tmp_path, text, id_spaces="keep")
    assert pairs(kept)[0] == (" 007", "a")
    assert any("kept (--id-spaces strip removes them)" in note for note in kept.notes)


def test_floating_point_ids_are_read_as_integers_only_where_nothing_is_lost(tmp_path: Path) -> None:
    text = read(tmp_path, "user,item,rating\n1.0,a,4\n2.0,b,5\n")
    assert pairs(text) == [("1.0", "a"), ("2.0", "b")]
    assert any("2 ids look like floating-point numbers, for example '1.0': kept" in note for note in text.notes)
    assert pairs(read(tmp_path, "user,item,rating\n1.0,a,4\nx,b,5\n", float_ids="as-integers")) == [
        ("1", "a"),
        ("x", "b"),
    ]
    path = tmp_path / "r.parquet"
    pl.DataFrame({"user": [1.0, float("nan"), 3.0], "item": ["a", "b", "c"]}).write_parquet(path)
    done = read_ratings(path, RatingsFormat())
    assert pairs(done) == [("1", "a"), ("3", "c")]
    assert done.quarantine.height == 1
    assert any("1.0 is read as 1" in note for note in done.notes)
    assert pairs(read_ratings(path, RatingsFormat(float_ids="keep"))) == [("1.0", "a"), ("3.0", "c")]
    for value in (1.5, 2.0**60, float("inf")):
        pl.DataFrame({"user": [1.0, value], "item": ["a", "b"]}).write_parquet(path)
        with pytest.raises(InvalidTableError, match="1 ids are no whole numbers that the type Float64 holds exactly"):
            read_ratings(path, RatingsFormat())


def test_a_file_of_which_no_row_can_be_used_is_refused_with_its_number_of_rows(tmp_path: Path) -> None:
    with pytest.raises(TooLittleDataError, match=r"no row has both a user and an item \(of 2\)"):
        read(tmp_path, "user,item,rating\n,a,4\n1,,5\n")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("field", ["a." * 8_000, "1" * 16_000, "é" * 16_000, ("a." * 19 + " ") * 400])
def test_long_fields_do_not_stall_the_detection(field: str, tmp_path: Path) -> None:
    assert pairs(read(tmp_path, f"user,item,more\n1,a,{field}\n2,b,{field}\n", rating_column=None)) == [
        ("1", "a"),
        ("2", "b"),
    ]
    assert pairs(read(tmp_path, f"{field},user,item\n{field},1,a\n", rating_column=None, has_header=True)) == [
        ("1", "a")
    ]
