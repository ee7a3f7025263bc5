import sys
from pathlib import Path

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.errors import InvalidTableError, MissingInputError
from dataset.formats.ids import IdRules
from dataset.formats.importing import import_ratings
from dataset.formats.items import ItemsFile, ItemsFormat, find_items_file, named_items_file, read_items
from dataset.formats.ratings import FORMATS, RatingsFormat
from dataset.schema import Movie, SnapshotMovie
from dataset.tables import read_table

ML_100K = Path(sys.prefix) / "ml-100k" / "recbole" / "dataset_example" / "ml-100k" / "ml-100k.inter"


@pytest.mark.parametrize(
    ("kind", "ratings", "name", "content", "encoding"),
    [
        (
            "movielens-csv", "ratings.csv", "movies.csv",
            'movieId,title,genres\n1,"Misérables, Les (1995)",Drama|War\n2,Ex: Machina,(no genres listed)\n', "utf-8",
        ),
        (
            "movielens-dat", "ratings.dat", "movies.dat",
            "1::Misérables, Les (1995)::Drama|War\n2::Ex: Machina::\n", "latin-1",
        ),
        (
            "recbole", "mine.inter", "mine.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "1\tMisérables, Les\t1995\tDrama War\n2\tEx: Machina\t\t\n", "utf-8",
        ),
    ],
)  # fmt: skip
def test_known_files_are_found_beside_the_ratings_and_tell_titles_years_and_genres(
    kind: str, ratings: str, name: str, content: str, encoding: str, tmp_path: Path
) -> None:
    assert find_items_file(tmp_path / ratings, kind) is None
    (tmp_path / name).write_bytes(content.encode(encoding))
    file = find_items_file(tmp_path / ratings, kind)
    assert file is not None
    assert read_items(file, IdRules()).rows.rows() == [
        ("1", "Misérables, Les", 1995, ["Drama", "War"]),
        ("2", "Ex: Machina", None, []),
    ]


def test_the_items_of_movielens_100k_in_its_own_form(tmp_path: Path) -> None:
    line = "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|0|0|0|1|1"
    (tmp_path / "u.item").write_bytes(f"{line}\n2|Caf\xe9|||\n".encode("latin-1"))
    file = find_items_file(tmp_path / "u.data", "movielens-100k")
    assert file is not None
    assert read_items(file, IdRules()).rows.rows() == [("1", "Toy Story", 1995, []), ("2", "Café", None, [])]


def test_titles_of_the_real_movielens_are_in_the_dataset_and_unknown_items_keep_their_id(tmp_path: Path) -> None:
    done = import_ratings(ML_100K, FORMATS["recbole"], None, tmp_path / "raw", find_items_file(ML_100K, "recbole"))
    assert (done.n_items, done.n_titles) == (1_682, 1_682)
    build(tmp_path / "raw", tmp_path / "built", DatasetConfig())
    movies = read_table(tmp_path / "built" / "movies.parquet", SnapshotMovie)
    row = movies.filter(movie_id="50").row(0, named=True)
    assert (row["title"], row["year"]) == ("Star Wars", 1977)
    assert "Sci-Fi" in row["genres"]

    (tmp_path / "r.csv").write_text("user,item\na,x\na,y\n")
    (tmp_path / "i.csv").write_text("item,title\nx,Known\nz,Not rated\n")
    file = named_items_file(tmp_path / "i.csv", ItemsFormat("item", "title"))
    done = import_ratings(tmp_path / "r.csv", RatingsFormat(), None, tmp_path / "other", file)
    assert (done.n_items, done.n_titles) == (2, 1)
    assert read_table(tmp_path / "other" / "movies.parquet", Movie)["title"].to_list() == ["Known", "y"]


def test_a_named_file_may_be_parquet_with_lists_and_numbers(tmp_path: Path) -> None:
    table = pl.DataFrame({
        "item": [7, 8, 7, 9], "movie_id": ["not", "the", "id", "here"], "name": ["One", "Two", "Again", None],
        "year": [1999, 3000, 1, 2], "genres": [["A", None], None, ["B"], []],
    })  # fmt: skip
    table.write_parquet(tmp_path / "i.parquet")
    file = named_items_file(tmp_path / "i.parquet", ItemsFormat("item", "name"))
    assert read_items(file, IdRules()).rows.rows() == [("7", "One", 1999, ["A"]), ("8", "Two", None, [])]


def test_what_is_no_items_file_is_refused_if_it_was_named_and_left_alone_if_it_was_found(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such items file"):
        read_items(named_items_file(tmp_path / "i.csv", ItemsFormat("item", "title")), IdRules())
    (tmp_path / "i.csv").write_text("id,title\n1,One\n")
    with pytest.raises(
        InvalidTableError,
        match="no column 'item' for the item; it has 'id', 'title': name the right one with --items-id-column",
    ):
        read_items(named_items_file(tmp_path / "i.csv", ItemsFormat("item", "title")), IdRules())
    with pytest.raises(InvalidTableError, match=r"no column 'name'.*--title-column"):
        read_items(named_items_file(tmp_path / "i.csv", ItemsFormat("id", "name")), IdRules())
    assert read_items(ItemsFile(tmp_path / "i.csv", ItemsFormat("item"), was_named=False), IdRules()).rows.is_empty()
    (tmp_path / "i.parquet").write_text("no Parquet")
    with pytest.raises(InvalidTableError, match=r"i.parquet: cannot be read as Parquet"):
        read_items(named_items_file(tmp_path / "i.parquet", ItemsFormat("item", "title")), IdRules())
