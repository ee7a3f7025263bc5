from datetime import date
from pathlib import Path

import polars as pl
import pytest
from PIL import Image as PillowImage

from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import FORMATS, RatingsFormat, detect_format
from dataset.schema import RAW_TABLES, Rating
from dataset.tables import read_table


def imported(folder: Path, text: str, form: RatingsFormat, pictures: Path | None = None) -> dict[str, pl.DataFrame]:
    (folder / "ratings.csv").write_text(text)
    import_ratings(folder / "ratings.csv", form, pictures, folder / "raw")
    return {name: read_table(folder / "raw" / f"{name}.parquet", schema) for name, schema in RAW_TABLES.items()}


def test_columns_are_named_by_options_and_ids_kept_as_text(tmp_path: Path) -> None:
    form = RatingsFormat("who", "what", "score", "when", max_rating=10)
    tables = imported(tmp_path, "who,what,score,when\n7,x,8,2024-05-31\n7,y,,1990-01-02 10:00:00\n", form)
    assert tables["ratings"].drop("rated_at", "given_split").sort("movie_id").rows() == [
        ("7", "x", 4.0, date(2024, 5, 31)),
        ("7", "y", None, date(1990, 1, 2)),
    ]
    assert tables["movies"]["title"].to_list() == ["x", "y"]


def test_parquet_and_tsv_are_read_too(tmp_path: Path) -> None:
    table = pl.DataFrame({"user": [1, 2], "item": [3, 4]})
    table.write_parquet(tmp_path / "r.parquet")
    table.write_csv(tmp_path / "r.tsv", separator="\t")
    for name in ("r.parquet", "r.tsv"):
        assert import_ratings(tmp_path / name, RatingsFormat(), None, tmp_path / f"raw of {name}").n_ratings == 2


def test_pictures_are_found_by_item_and_bad_ones_quarantined(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "y").mkdir(parents=True)
    PillowImage.new("RGB", (8, 6)).save(pictures / "x.jpg")
    PillowImage.new("RGB", (8, 6), "red").save(pictures / "y" / "one.png")
    PillowImage.new("RGB", (8, 6), "red").save(pictures / "unknown.png")
    (pictures / "y" / "broken.jpg").write_bytes(b"no picture")
    tables = imported(tmp_path, "user,item\na,x\na,y\n", RatingsFormat(), pictures)
    assert tables["frames"].select("frame_id", "movie_id").rows() == [("x", "x"), ("y/one", "y")]
    for path in tables["images"]["path"]:
        assert (tmp_path / "raw" / path).is_file()
    quarantine = pl.read_parquet(tmp_path / "raw" / "quarantine.parquet")
    assert dict(quarantine.select("frame_id", "reason").rows()) == {
        "unknown": "picture of an item without a rating",
        "y/broken": "not a readable picture",
    }


def test_rows_without_user_or_item_are_quarantined(tmp_path: Path) -> None:
    tables = imported(tmp_path, "user,item\na,x\n,y\nb,\n", RatingsFormat())
    assert tables["ratings"].height == 1
    assert pl.read_parquet(tmp_path / "raw" / "quarantine.parquet").height == 2


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("a,b\n1,2\n", RatingsFormat(), "no column 'user' for the user; it has 'a', 'b': name .* --user-column"),
        ("user,item,r\n1,2,9\n", RatingsFormat(rating_column="r"), "from 9.0 to 9.0.* --max-rating"),
        ("user,item,r\n1,2,good\n", RatingsFormat(rating_column="r"), "1 values are not a number; .*'good'"),
        ("user,item,t\n1,2,soon\n", RatingsFormat(time_column="t"), "not a date"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_remedy(
    text: str, form: RatingsFormat, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidTableError, match=words):
        imported(tmp_path, text, form)


def test_nothing_to_import_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such ratings file"):
        import_ratings(tmp_path / "none.csv", RatingsFormat(), None, tmp_path / "raw")
    with pytest.raises(TooLittleDataError, match="no row has both"):
        imported(tmp_path, "user,item\n,\n", RatingsFormat())
    with pytest.raises(MissingInputError, match="no such folder of pictures"):
        imported(tmp_path, "user,item\na,x\n", RatingsFormat(), tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TooLittleDataError, match="no picture belongs"):
        imported(tmp_path, "user,item\na,x\n", RatingsFormat(), tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.csv", "userId,movieId,rating,timestamp\n007,1193,5.0,978300760\n2,661,3.5,978302109\n"),
        ("ratings.dat", "007::1193::5::978300760\n2::661::3.5::978302109\n"),
        ("u.data", "007\t1193\t5\t978300760\n2\t661\t3.5\t978302109\n"),
        (
            "any.inter",
            "timestamp:float\titem_id:token\tuser_id:token\trating:float\n978300760\t1193\t007\t5\n978302109\t661\t2\t3.5\n",
        ),
    ],
)
def test_known_formats_need_no_column_names_and_keep_ids_as_they_are(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    form = FORMATS[str(detect_format(tmp_path / name))]
    import_ratings(tmp_path / name, form, None, tmp_path / "raw")
    assert read_table(tmp_path / "raw" / "ratings.parquet", Rating).drop("rated_at", "given_split").rows() == [
        ("007", "1193", 5.0, date(2000, 12, 31)),
        ("2", "661", 3.5, date(2000, 12, 31)),
    ]


def test_recbole_s_file_may_come_without_rating_and_time(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    import_ratings(tmp_path / "a.inter", FORMATS["recbole"], None, tmp_path / "raw")
    assert read_table(tmp_path / "raw" / "ratings.parquet", Rating).rows() == [("1", "2", None, None, None, None)]


def test_a_ratings_csv_of_other_columns_is_not_taken_for_movielens(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user,item\n1,2\n")
    assert detect_format(tmp_path / "ratings.csv") is None
    assert detect_format(tmp_path / "none" / "ratings.csv") is None
    assert detect_format(tmp_path / "mine.tsv") is None
