"""An import as a whole: what it says, records and never overwrites; items files; Parquet types of ids and ratings."""

import gzip
import hashlib
import json
import re
import shlex
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset.__main__ import app
from dataset.cli import run
from dataset.errors import InvalidTableError, PipelineError
from dataset.files import write_json
from dataset.formats.ids import IdRules
from dataset.formats.import_config import ImportConfig
from dataset.formats.importing import Imported, import_ratings
from dataset.formats.items import ItemsFormat, find_items_file, named_items_file, read_items
from dataset.formats.ratings import RatingsFormat, detect_format, read_ratings

BOOKS = '"User-ID";"ISBN";"Book-Rating"\r\n"1";" 07";"0"\r\n"2";"08";"10"\r\n"3";"cut"\r\n;"x";"5"\r\n'


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A function that runs `python -m dataset import` in this process; its status and what it prints."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["dataset", "import", *map(str, arguments)])
        status = 0
        try:
            run(app)
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, "".join(capsys.readouterr())

    return call


def test_an_import_says_how_it_read_the_file_and_where_each_row_went(
    command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "books.csv").write_text(BOOKS)
    columns = (
        "--user-column",
        "User-ID",
        "--item-column",
        "ISBN",
        "--rating-column",
        "Book-Rating",
        "--max-rating",
        "10",
    )
    status, printed = command(tmp_path / "books.csv", *columns, "--zero-is", "unrated", "--to", tmp_path / "raw")
    assert status == 0
    for words in (
        "rows in the file: 4 = 2 ratings + 2 dropped",
        'read as: separator semicolon, quote ", encoding utf-8, header yes',
        "dropped: 1 (no user or no item)",
        "dropped: 1 (row has too few fields)",
        "1 ids have spaces around them, for example ' 07': removed",
        "1 rows with a rating of 0 are kept without a rating",
        "for example row 3 with 2 instead of 3",
    ):
        assert words in printed


def test_the_imports_that_the_readme_shows_read_every_row(
    command: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).resolve().parents[2] / "dataset" / "README.md").read_text("utf-8").replace("\\\n", " ")
    monkeypatch.chdir(tmp_path)
    books = '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"Größe";"0"\r\n"276726";"0155061224";"5"\r\n'
    Path("BX-Book-Ratings.csv").write_bytes(books.encode("latin-1"))
    Path("ratings_Toys.csv").write_text("AAA1,0001,5.0,1369699200\nAAA2,0002,4.0,1369699201\n")
    shown = re.findall(r"^python -m dataset import ((?:BX|ratings_).+)$", readme, re.M)
    assert len(shown) == 2
    for line in shown:
        assert "rows in the file: 2 = 2 ratings + 0 dropped" in command(*shlex.split(line))[1]


def test_the_provenance_holds_how_the_file_was_read_and_no_path(
    command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "r.csv").write_text("user;item;when\n1;a;1593878903\n")
    (tmp_path / "t.csv").write_text("item,title\na,One\n")
    options = ("--items", tmp_path / "t.csv", "--time-column", "when", "--to", tmp_path / "raw")
    assert command(tmp_path / "r.csv", *options)[0] == 0
    text = (tmp_path / "raw" / "provenance.json").read_text()
    assert str(tmp_path) not in text
    provenance = json.loads(text)
    assert provenance["file"] == "r.csv"
    assert provenance["file_sha256"] == hashlib.sha256((tmp_path / "r.csv").read_bytes()).hexdigest()
    assert provenance["file_rows"] == {"given": 1, "imported": 1, "quarantined": 0}
    assert provenance["read_as"]["separator"] == "semicolon"
    assert provenance["read_as"]["times"] == "seconds since 1970"
    assert provenance["options"] == {"time_column": "when"}
    assert provenance["items_file"] == "t.csv"
    assert provenance["items_read_as"]["separator"] == "comma"


def imported(file: Path, raw: Path, replace: bool = False) -> Imported:
    return import_ratings(file, RatingsFormat(), None, raw, replace=replace)


def test_the_same_file_may_be_imported_again_and_another_only_if_that_is_said(tmp_path: Path) -> None:
    raw, ours, other = tmp_path / "raw", tmp_path / "a.csv", tmp_path / "b.csv"
    ours.write_text("user,item\n1,a\n")
    other.write_text("user,item\n1,a\n2,b\n")
    imported(ours, raw)
    assert imported(ours, raw).n_ratings == 1
    with pytest.raises(PipelineError, match=r"already holds tables of the file a.csv; .* --replace"):
        imported(other, raw)
    ours.write_text("user,item\n1,a\n2,b\n3,c\n")
    with pytest.raises(PipelineError, match=r"already holds tables of another a.csv"):
        imported(ours, raw)
    assert imported(other, raw, replace=True).n_ratings == 2


@pytest.mark.parametrize("provenance", [{"source": "crawl"}, {"source": "import"}, {}, [], None])
def test_a_crawl_s_tables_and_tables_of_unknown_origin_are_never_overwritten(provenance: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item\n1,a\n")
    raw = tmp_path / "raw"
    raw.mkdir()
    mine = pl.DataFrame({"mine": [1]})
    mine.write_parquet(raw / "ratings.parquet")
    if provenance is not None:
        write_json(raw / "provenance.json", provenance)
    with pytest.raises(PipelineError, match="already holds tables of"):
        imported(tmp_path / "a.csv", raw)
    assert pl.read_parquet(raw / "ratings.parquet").equals(mine)


def test_a_file_that_would_overwrite_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ratings.parquet"
    pl.DataFrame({"user": ["1"], "item": ["a"]}).write_parquet(file)
    before = file.read_bytes()
    with pytest.raises(PipelineError, match="already holds tables"):
        imported(file, tmp_path)
    assert file.read_bytes() == before


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,3,978300760\n", "movielens-csv"),
        ("ratings.csv", '"userId","movieId","rating","timestamp"\n1,2,3,978300760\n', "movielens-csv"),
        ("ratings.csv", "user,item\n1,2\n", None),
        ("ratings.dat", "1::2::3::978300760\n", "movielens-dat"),
        ("ratings.dat", "user,item\n1,2\n", None),
        ("u.data", "1\t2\t3\t978300760\n", "movielens-100k"),
        ("u.data", "1,2,3\n", None),
        ("a.inter", "user_id:token\titem_id:token\n1\t2\n", "recbole"),
    ],
)
def test_known_formats_are_told_by_name_and_first_line_also_compressed(
    suffix: str, name: str, text: str, known: str | None, tmp_path: Path
) -> None:
    path = tmp_path / (name + suffix)
    path.write_bytes(gzip.compress(text.encode()) if suffix else text.encode())
    assert detect_format(path) == known
    if known:
        form = ImportConfig().ratings_format(path)
        assert read_ratings(path, form).rows.select("user_id", "movie_id").rows() == [("1", "2")]


def test_options_replace_what_a_known_format_has(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating,timestamp,score\n1,2,3,978300760,9\n")
    form = ImportConfig(ratings=RatingsFormat(rating_column="score", max_rating=10)).ratings_format(path)
    assert read_ratings(path, form).rows["stars"].to_list() == [4.5]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_titles_of_movielens_are_read_in_either_of_its_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes("1::Amélie (2001)::Comedy\n".encode(encoding))
    file = find_items_file(tmp_path / "ratings.dat", "movielens-dat")
    assert file is not None
    assert read_items(file, IdRules()).rows.rows() == [("1", "Amélie", 2001, ["Comedy"])]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('"id";"title"\r\n"1";"Größe; Länge"\r\n', {"encoding": "latin-1"}),
        ("id\ttitle\n1\tGröße; Länge\n", {"encoding": "utf-16"}),
        (
            "1|Größe; Länge\n2|Second\n",
            {"encoding": "utf-8", "has_header": False, "item_column": "1", "title_column": "2"},
        ),
        ("id^title\n1^Größe; Länge\n", {"encoding": "gb18030", "separator": "^"}),
    ],
)
def test_an_items_file_is_read_like_a_ratings_file(text: str, options: dict[str, Any], tmp_path: Path) -> None:
    text = text.replace("öß", "é").replace("Lä", "Lé") if options["encoding"] == "gb18030" else text
    (tmp_path / "i.csv").write_bytes(text.encode(options["encoding"]))
    form = ItemsFormat(**({"item_column": "id"} | options))
    done = read_items(named_items_file(tmp_path / "i.csv", form), IdRules())
    assert done.rows["title"][0] in ("Größe; Länge", "Grée; Lénge")


def test_items_that_are_not_used_are_counted(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item,title\n1,One\n1,Again\n2,\n,Three\n 4,Four\n")
    done = read_items(named_items_file(tmp_path / "i.csv", ItemsFormat()), IdRules())
    assert done.rows.select("movie_id", "title").rows() == [("1", "One"), ("4", "Four")]
    assert any("2 rows have no id or no title" in note for note in done.notes)
    assert any("1 rows repeat an item" in note for note in done.notes)


GOOD = [
    (pa.array(["1", "2"], pa.string()), ["1", "2"]),
    (pa.array(["1", "2"], pa.large_string()), ["1", "2"]),
    (pa.array(["1", "2"], pa.string_view()), ["1", "2"]),
    (pa.array(["1", "2"]).dictionary_encode(), ["1", "2"]),
    (pa.array([1, 2]).dictionary_encode(), ["1", "2"]),
    (pa.array([b"1", b"2"], pa.binary()), ["1", "2"]),
    (pa.array([1, 2], pa.int8()), ["1", "2"]),
    (pa.array([2**64 - 1, 2], pa.uint64()), [str(2**64 - 1), "2"]),
    (pa.array([1.0, 2.0], pa.float16()), ["1", "2"]),
    (pa.array([1.0, 2.0]), ["1", "2"]),
    (pa.array([Decimal("1.00"), Decimal("2.00")]), ["1", "2"]),
]
BAD = [
    pa.array([[1], [2]]),
    pa.array([{"a": 1}, {"a": 2}]),
    pa.array([b"\xff", b"\xfe"], pa.binary()),
    pa.array([b"abcd", b"efgh"], pa.binary(4)),
    pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes], pa.uuid()),
    pa.array([True, False]),
    pa.array([Decimal("1.5"), Decimal("2.0")]),
    pa.array([Decimal("1.50"), Decimal("2.00")], pa.decimal256(50, 2)),
    pa.array([1, 2], pa.date32()),
    pa.array([1, 2], pa.timestamp("us", "Mars/Base")),
    pa.array([1, 2], pa.time64("us")),
    pa.array([1, 2], pa.duration("us")),
    pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int8())),
]


@pytest.mark.parametrize(("column", "ids"), GOOD, ids=lambda value: str(getattr(value, "type", "")))
def test_ids_of_any_simple_type_become_text(column: pa.Array, ids: list[str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": column, "item": ["a", "b"]}), tmp_path / "r.parquet")
    assert read_ratings(tmp_path / "r.parquet", RatingsFormat()).rows["user_id"].to_list() == ids


@pytest.mark.parametrize("column", BAD, ids=lambda column: str(column.type))
def test_a_column_that_cannot_hold_ids_is_refused_with_its_name_and_read_past_if_not_asked_for(
    column: pa.Array, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"user": column, "item": ["a", "b"]}), tmp_path / "r.parquet")
    with pytest.raises(InvalidTableError, match="column 'user'"):
        read_ratings(tmp_path / "r.parquet", RatingsFormat())
    done = read_ratings(tmp_path / "r.parquet", RatingsFormat(user_column="item"))
    assert done.rows["user_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "stars"),
    [
        (pa.array([4, None], pa.uint8()), [4, None]),
        (pa.array([4.5, float("nan")]), [4.5, None]),
        (pa.array([Decimal("4.50"), None]), [4.5, None]),
        (pa.array(["4.5", " 3 "]), [4.5, 3]),
        (pa.array(["4.5", "NaN"]).dictionary_encode(), [4.5, None]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_ratings_of_any_number_type_become_stars(column: pa.Array, stars: list[float], tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": ["1", "2"], "item": ["a", "b"], "r": column}), tmp_path / "r.parquet")
    assert read_ratings(tmp_path / "r.parquet", RatingsFormat(rating_column="r")).rows["stars"].to_list() == stars


@pytest.mark.parametrize("column", [BAD[0], BAD[1], BAD[2], BAD[5], BAD[8]], ids=lambda column: str(column.type))
def test_a_column_that_cannot_hold_ratings_is_refused_with_its_name(column: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": ["1", "2"], "item": ["a", "b"], "r": column}), tmp_path / "r.parquet")
    with pytest.raises(InvalidTableError, match="column 'r'"):
        read_ratings(tmp_path / "r.parquet", RatingsFormat(rating_column="r"))


def test_an_import_reads_the_file_that_is_named_never_one_that_its_name_matches(tmp_path: Path) -> None:
    for name, user in (("r[1].csv", "right"), ("r1.csv", "wrong")):
        (tmp_path / name).write_text(f"user,item\n{user},a\n")
        pl.DataFrame({"user": [user], "item": ["a"]}).write_parquet(tmp_path / name.replace("csv", "parquet"))
    for name in ("r[1].csv", "r[1].parquet"):
        assert read_ratings(tmp_path / name, RatingsFormat()).rows["user_id"].to_list() == ["right"]
