"""What `export` writes is read back with the very calls of RecBole, Cornac and LightGCN: all rows, ids and times.

`make bench ONLY=exports` reads exports with RecBole and Cornac themselves.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES

from dataset.errors import UsageError
from dataset.formats.exporting import export
from dataset.formats.import_config import ImportConfig
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import RatingsFormat
from dataset.formats.split_files import GivenSplit
from dataset.formats.writable_ids import PANDAS_MISSING
from dataset.schema import Interaction, SnapshotMovie
from dataset.tables import fill_columns, write_table

Row = tuple[object, ...]
SPLITS = {"train": "train", "validation": "valid", "test": "test"}
AWKWARD = [
    "007", "7", "7.0", "1e5", "True", "inf", "-1", "#comment", '"quoted"', '"open', 'in"side', "'", "\\", "a,b", "a b",
    "::", "trailing ", "\ufeffbom", "电影", "e\u0301", "x\u2028y", "x\x85y", "x\x0by", "x\x1cy", "x\x0cy", "x\x1ay",
    "x" * 131_072, "NAN", "nan ", "Null", "none",
]  # fmt: skip


def write_dataset(folder: Path, pairs: list[tuple[str, str]], title: str = "Title", genre: str = "Drama") -> list[Row]:
    """Write a dataset of these pairs, and return its rows: split, user, movie, stars, time."""
    splits, stars = ("train", "validation", "test"), (0.5, 3.5, 5.0)
    times = [datetime(2001, 2, 3, n % 24, n % 60, 7, tzinfo=UTC) for n in range(len(pairs))]
    rows = [
        {
            "user_id": u,
            "movie_id": m,
            "stars": stars[n % 3],
            "rated_at": t,
            "rated_on": t.date(),
            "split": splits[n % 3],
        }
        for n, ((u, m), t) in enumerate(zip(pairs, times, strict=True))
    ]
    movies = pl.DataFrame({"movie_id": list(dict.fromkeys(m for _, m in pairs))}).with_columns(
        title=pl.lit(title), genres=pl.lit([genre], pl.List(pl.String)), directors=pl.lit([], pl.List(pl.String))
    )
    write_table(fill_columns(pl.DataFrame(rows), Interaction), Interaction, folder / "interactions.parquet")
    write_table(fill_columns(movies, SnapshotMovie), SnapshotMovie, folder / "movies.parquet")
    return [
        (row["split"], row["user_id"], row["movie_id"], row["stars"], int(row["rated_at"].timestamp())) for row in rows
    ]


def as_recbole_reads(file: Path) -> pd.DataFrame:
    """Read an atomic file as `Dataset._load_feat` of RecBole 1.2.1 does."""
    with file.open(encoding="utf-8") as lines:
        head = lines.readline()[:-1]
    types = dict(column.split(":") for column in head.split("\t"))
    dtype = {f"{name}:{kind}": np.float64 if kind == "float" else str for name, kind in types.items()}
    table = pd.read_csv(
        file, delimiter="\t", usecols=list(dtype), dtype=dtype, encoding="utf-8", engine="python"
    )  # fmt: skip
    return table.set_axis(list(types), axis=1)


def recbole_rows(folder: Path) -> list[Row]:
    found = []
    for split, name in SPLITS.items():
        table = as_recbole_reads(folder / "dataset" / f"dataset.{name}.inter")
        found += [(split, *row) for row in table[["user_id", "item_id", "rating", "timestamp"]].itertuples(index=False)]
    return found


def cornac_rows(folder: Path) -> list[Row]:
    """Read as `Reader.read(file, fmt="UIRT")` of Cornac 2.2 does."""
    found: list[Row] = []
    for split, name in SPLITS.items():
        with (folder / f"{name}.tsv").open(encoding="utf-8") as lines:
            for line in lines:
                tokens = line.strip().split("\t")
                found.append((split, tokens[0], tokens[1], float(tokens[2]), int(tokens[3])))
    return found


def lightgcn_rows(folder: Path) -> list[Row]:
    """Read as LightGCN's `load_data.py` does, and turn the numbers into ids with the lists."""
    ids = []
    for file in ("user_list.txt", "item_list.txt"):
        with (folder / file).open(encoding="utf-8") as lines:
            pairs = [line.strip("\n").split(" ") for line in lines.readlines()][1:]
        ids.append({int(number): name for name, number in pairs})
    found: list[Row] = []
    for split, name in SPLITS.items():
        with (folder / f"{name}.txt").open() as lines:
            for line in lines.readlines():
                user, *items = [int(number) for number in line.strip("\n").split(" ")]
                assert items
                found += [(split, ids[0][user], ids[1][item]) for item in items]
    return found


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "recbole": recbole_rows,
    "uirt": cornac_rows,
    "lightgcn": lightgcn_rows,
}


def expected(rows: list[Row], form: str) -> list[Row]:
    return sorted(row[:3] if form == "lightgcn" else row for row in rows)


@pytest.mark.parametrize("form", READERS)
def test_awkward_ids_are_read_back_as_they_are(form: str, tmp_path: Path) -> None:
    ids = [name for name in AWKWARD if form != "lightgcn" or not set(name) & set(" \x85\u2028\x0b\x1c\x0c")]
    pairs = [(user, movie) for user in ids for movie in ids]
    rows = write_dataset(tmp_path / "in", pairs)
    export(tmp_path / "in", tmp_path / "out", form)  # type: ignore[arg-type]
    assert sorted(READERS[form](tmp_path / "out")) == expected(rows, form)


@pytest.mark.parametrize(
    "name", ["tab\tbed", "line\nbreak", "car\rriage", "both\r\nof them", ' "\t"', " leading", "\u3000wide"]
)
def test_recbole_s_quotes_hold_what_others_cannot(name: str, tmp_path: Path) -> None:
    rows = write_dataset(tmp_path / "in", [(name, "m"), ("u", name), (name, name)])
    export(tmp_path / "in", tmp_path / "out", "recbole")
    assert sorted(recbole_rows(tmp_path / "out")) == expected(rows, "recbole")


REFUSED = [
    *(("recbole", word, "read as missing values") for word in sorted(STR_NA_VALUES - {""})),
    ("recbole", "[PAD]", "RecBole's own word for padding"),
    ("recbole", "a\0", "contain a NUL character"),
    ("recbole", "x" * 131_073, "longer than 131,072 characters"),
    *((form, f"a{mark}b", "contain a tab or a line break") for form in ("uir", "uirt") for mark in "\t\n\r"),
    *(("lightgcn", f"a{mark}b", "contain spaces") for mark in " \t\n\x0b\x1c\x85\xa0\u2028\u3000"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "name", "words"), REFUSED)
@pytest.mark.parametrize("side", ["user", "movie"])
def test_an_id_that_a_reader_would_lose_is_refused_before_anything_is_written(
    side: str, form: str, name: str, words: str, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "in", [("u", "m"), (name, "m") if side == "user" else ("u", name)])
    with pytest.raises(
        UsageError, match=rf"^export: 1 {side} ids .*{words}.*, for example .*change these ids"
    ) as error:
        export(tmp_path / "in", tmp_path / "out", form)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("mark", " \x0b\x1c\x85\xa0\u2028\u3000")
def test_cornac_loses_spaces_only_at_the_start_of_a_line(mark: str, tmp_path: Path) -> None:
    name = f"{mark}a{mark}"
    rows = write_dataset(tmp_path / "movie", [("u", name), (f"a{mark}", "m")])
    export(tmp_path / "movie", tmp_path / "out", "uirt")
    assert sorted(cornac_rows(tmp_path / "out")) == expected(rows, "uirt")
    write_dataset(tmp_path / "user", [(name, "m")])
    with pytest.raises(UsageError, match="start with a space, which Cornac removes"):
        export(tmp_path / "user", tmp_path / "out", "uirt")


def test_an_export_for_recbole_is_imported_back_with_its_split_and_titles(tmp_path: Path) -> None:
    ids = [*AWKWARD[:-4], "tab\tbed", "line\nbreak", "car\rriage"]
    rows = write_dataset(tmp_path / "in", [(user, movie) for user in ids for movie in ids], title='"Great" Stories')
    export(tmp_path / "in", tmp_path / "out", "recbole")
    train, validation, test = (tmp_path / "out" / "dataset" / f"dataset.{name}.inter" for name in SPLITS.values())
    config = ImportConfig(ratings=RatingsFormat(id_spaces="keep"), split=GivenSplit(validation, test))
    import_ratings(
        train, config.ratings_format(train), None, tmp_path / "raw", config.items_file(train, None), split=config.split
    )
    found = pl.read_parquet(tmp_path / "raw" / "ratings.parquet").select(
        pl.col("given_split").cast(pl.String), "user_id", "movie_id", "stars", pl.col("rated_at").dt.epoch("s")
    )
    assert sorted(found.rows()) == expected(rows, "recbole")
    titles = pl.read_parquet(tmp_path / "raw" / "movies.parquet").filter(~pl.col("movie_id").str.contains(r"[\t\n\r]"))
    assert set(titles["title"]) == {'"Great" Stories'}


def test_the_words_for_missing_are_those_of_pandas() -> None:
    assert set(PANDAS_MISSING) == STR_NA_VALUES


marks = st.sampled_from(
    ['"', "\t", "\n", "\r", " ", "#", "'", "\\", ",", "\0", "\ufeff", "\u2028", "\x85", "\x1c", "é"]
)
names = st.one_of(
    st.text(st.one_of(marks, st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6),
    st.sampled_from(["NA", "nan", "null", "None", "007", "1.0", "[PAD]"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=8, unique=True), st.sampled_from(sorted(READERS)))
def test_any_export_is_read_back_whole_or_refused(pairs: list[tuple[str, str]], form: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_dataset(folder / "in", pairs)
        try:
            export(folder / "in", folder / "out", form)  # type: ignore[arg-type]
        except UsageError:
            assert not (folder / "out").exists()
        else:
            assert sorted(READERS[form](folder / "out")) == expected(rows, form)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.text(st.one_of(marks, st.characters(exclude_categories=["Cs"]))), st.sampled_from(sorted(STR_NA_VALUES))
    )
)
def test_any_title_and_genre_leaves_the_items_whole(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "in", [("u", "m0"), ("u", "m1")], title=text, genre=text)
        export(folder / "in", folder / "out", "recbole")
        items = as_recbole_reads(folder / "out" / "dataset" / "dataset.item")
        assert items["item_id"].to_list() == ["m0", "m1"]
        words = pl.Series([text]).str.replace_all(r"[\s\p{Cc}]+", " ").str.split(" ").explode()
        words = [word for word in words if word]
        # RecBole: fillna(""), split at spaces, without empty words
        assert [word for word in items["movie_title"].fillna("")[0].split(" ") if word] == words
        assert [word for word in items["class"].fillna("")[0].split(" ") if word] == ["_".join(words)] * bool(words)


def test_a_title_that_no_reader_could_hold_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "long", [("u", "m")], title="x" * 131_072)
    export(tmp_path / "long", tmp_path / "out", "recbole")
    assert len(as_recbole_reads(tmp_path / "out" / "dataset" / "dataset.item")) == 1
    write_dataset(tmp_path / "longer", [("u", "m")], title="x" * 131_073)
    with pytest.raises(UsageError, match=r"movie_title of 1 movies is longer than 131,072 characters.*'m'"):
        export(tmp_path / "longer", tmp_path / "other", "recbole")
    assert not (tmp_path / "other").exists()
