"""Texts of items become vectors beside the features of frames: which texts, and in which words."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_texts import TABLE, Made, reasons_of, state_of, vectors_of
from vector_files import ITEMS

from dataset.building.build import DatasetConfig, build
from dataset.errors import (
    InvalidTableError,
    MissingInputError,
    PipelineError,
    TooLittleDataError,
    WeightsError,
)
from features.__main__ import main
from features.texts.config import TextConfig
from features.texts.encoding import encode_texts

# --- which texts -------------------------------------------------------------------------------


def test_titles_genres_and_directors_make_one_vector_per_item(described: Path, made: Made) -> None:
    done = encode_texts(described, TextConfig())
    assert made.seen[:2] == ["Movie m0. Drama, War. Ana Ro sa", "Movie m1. Ana Ro sa"]
    table = pl.read_parquet(described / TABLE)
    assert table["movie_id"].to_list() == ITEMS[:6]
    assert table.schema["feature"] == pl.Array(pl.Float32, 12)
    assert table["text_sha256"][0] == hashlib.sha256(made.seen[0].encode()).hexdigest()
    assert np.array_equal(table["feature"].to_numpy(), Made().encode(made.seen))
    assert (done.n_features, done.n_items, done.n_ids_as_titles, done.n_cut) == (6, 8, 1, 0)
    assert done.loss.largest == 0


def test_items_without_a_text_are_counted_and_in_the_quarantine(described: Path, made: Made) -> None:
    done = encode_texts(described, TextConfig())
    assert reasons_of(described) == {"m6": "no text", "m7": "no text"}
    assert done.reasons == {"no text": 2}
    assert done.n_features + sum(done.reasons.values()) == done.n_items


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("title",), "Movie m0"),
        (("genres", "title"), "Drama, War. Movie m0"),
        (("directors",), "Ana Ro sa"),
        (("title", "year", "kind", "original_title"), "Movie m0"),
    ],
)
def test_the_columns_are_joined_in_the_order_that_was_asked(
    described: Path, made: Made, columns: tuple[str, ...], text: str
) -> None:
    done = encode_texts(described, TextConfig(columns=columns))
    assert made.seen[0] == text
    assert done.identity.columns == list(columns)
    assert done.identity.template == ". ".join(f"{{{column}}}" for column in columns)


def test_years_and_kinds_are_words(described: Path, made: Made, tmp_path: Path) -> None:
    movies = pl.read_parquet(described / "movies.parquet")
    raw = tmp_path / "raw-0-False"
    given = pl.read_parquet(raw / "movies.parquet").with_columns(
        year=pl.lit(1994, pl.Int16), kind=pl.lit("tv", movies.schema["kind"]), original_title=pl.lit("霸王别姬")
    )
    given.write_parquet(raw / "movies.parquet")
    build(raw, described, DatasetConfig())
    encode_texts(described, TextConfig(columns=("original_title", "year", "kind")))
    assert made.seen == ["霸王别姬. 1994. tv"]


def test_a_film_may_be_called_like_a_word_for_no_value(described: Path, made: Made, tmp_path: Path) -> None:
    raw = tmp_path / "raw-0-False"
    titles = pl.read_parquet(raw / "movies.parquet").with_columns(title=pl.lit("None"))
    titles.write_parquet(raw / "movies.parquet")
    build(raw, described, DatasetConfig())
    encode_texts(described, TextConfig(columns=("title",)))
    assert made.seen == ["None"]


def test_equal_texts_are_encoded_once_and_have_equal_vectors(described: Path, made: Made) -> None:
    encode_texts(described, TextConfig(columns=("directors",)))
    assert made.seen == ["Ana Ro sa"]
    assert len({tuple(vector) for vector in vectors_of(described).values()}) == 1
    assert len(vectors_of(described)) == 6


def test_texts_that_the_encoder_cuts_are_counted(described: Path, made: Made, capsys) -> None:
    made.longest = 18
    main(["text", "--dataset", str(described)])
    assert "6 texts are longer than the encoder reads" in capsys.readouterr().out


def test_float16_says_what_it_changes(described: Path, made: Made, capsys) -> None:
    main(["text", "--dataset", str(described), "--dtype", "float16", "--columns", "title,genres"])
    assert pl.read_parquet(described / TABLE).schema["feature"] == pl.Array(pl.Float16, 12)
    told = capsys.readouterr().out
    assert "float16 changes a vector by at most" in told
    assert "(title, genres) with made 1, digests" in told
    assert "not used: 2 (no text)" in told
    assert "1 items have only their id as a title" in told


# --- a table of the user's ---------------------------------------------------------------------

OWN = {
    "item_id": ["m3", "m0", "stranger", "m1", "m0", "m2", None],
    "plot": ["Three.", "A man, and\na dog", "x", "  ", "again", "None", "y"],
    "year": [2003, 2000, 1, None, 5, None, 7],
}


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_any_text_column_of_a_table_of_ones_own_is_encoded(
    described: Path, made: Made, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"plots.{kind}"
    table = pl.DataFrame(OWN)
    if kind == "parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="," if kind == "csv" else "\t")
    done = encode_texts(described, TextConfig(columns=("plot",), texts=path), "plots")
    assert made.seen == ["Three.", "A man, and a dog", "again"]
    vectors = vectors_of(described, "item_features-plots.parquet")
    assert list(vectors) == ["m0", "m3"]
    assert vectors["m0"] == Made().encode(["A man, and a dog"])[0].tolist()  # the first of two rows
    assert done.reasons == {"no text": 2, "id is not in the dataset": 1, "repeats an id": 1, "no id": 1}
    assert done.n_features + sum(done.reasons.values()) == 7
    assert (done.identity.texts, done.identity.texts_sha256) == (
        path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    )  # fmt: skip


def test_numbers_of_a_column_are_words_and_the_id_column_can_be_named(
    described: Path, made: Made, tmp_path: Path
) -> None:
    pl.DataFrame({"asin": ["m0"], "brand": ["Acme"], "year": [1999]}).write_csv(tmp_path / "t.csv")
    encode_texts(described, TextConfig(columns=("brand", "year"), texts=tmp_path / "t.csv", id_column="asin"))
    assert made.seen == ["Acme. 1999"]


@pytest.mark.parametrize(
    ("content", "options", "error", "words"),
    [
        ("item_id,plot\nm0,x\n", {"columns": ("story",)}, InvalidTableError, "no column 'story' of text; it has"),
        ("asin,plot\nm0,x\n", {"columns": ("plot",)}, InvalidTableError, "no column 'item_id' of item ids"),
        ("item_id,plot\nzz,x\n", {"columns": ("plot",)}, TooLittleDataError, "none of its 1 ids, for example 'zz'"),
        ("item_id,plot\nm0,\n", {"columns": ("plot",)}, TooLittleDataError, "no text"),
        ("item_id,plot\nm0,x,y,z\nm1,x\n", {"columns": ("plot",)}, InvalidTableError, "too many fields"),
        (None, {"columns": ("plot",)}, MissingInputError, "no such texts file"),
    ],
)
def test_a_table_that_cannot_be_used_ends_in_one_line_with_the_dataset_as_it_was(
    described: Path, made: Made, tmp_path: Path, content: str | None, options: dict, error: type, words: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_text(content)
    before = state_of(described)
    with pytest.raises(error, match=words):
        encode_texts(described, TextConfig(texts=tmp_path / "t.csv", **options))
    assert state_of(described) == before
    assert not made.seen


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--columns", "title,rating_mean"], "no column 'rating_mean' of text; movies have title"),
        (["--columns", "movie_id"], "no column 'movie_id'"),
        (["--columns", "title,genres,title"], "a column is named twice"),
        (["--columns", "title,,genres"], "no column ''"),
        (["--name", "Text"], "modality 'Text' is not a valid name"),
        (["--name", "../x"], "is not a valid name"),
        (["--encoder", "nowhere"], "nowhere: no sentence-transformers model there"),
        (["--dtype", "int8"], "int8"),
    ],
)
def test_options_that_cannot_work_end_in_one_line(described: Path, argv: list[str], words: str) -> None:
    before = state_of(described)
    with pytest.raises(PipelineError, match=words):
        main(["text", "--dataset", str(described), *argv])
    assert state_of(described) == before


def test_a_dataset_in_which_no_movie_says_anything_ends_in_one_line(described: Path, made: Made) -> None:
    with pytest.raises(TooLittleDataError, match="no text"):
        encode_texts(described, TextConfig(columns=("original_title",)))


def test_numbers_that_are_not_finite_are_refused(described: Path, made: Made) -> None:
    made.broken = True
    before = state_of(described)
    with pytest.raises(WeightsError, match="digests: its vector of 'Movie m0"):
        encode_texts(described, TextConfig())
    assert state_of(described) == before
    assert not [path for path in described.parent.iterdir() if path.name.startswith((".", "tmp"))]
