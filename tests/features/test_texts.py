"""Texts of items become vectors beside the features of frames, and a snapshot says where they come from."""

import hashlib
import json
import logging
import pickle
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from vector_files import ITEMS, as_npy, matrix, write_safetensors

from dataset.__main__ import main as dataset_main
from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.description import read_proven
from dataset.errors import (
    InvalidTableError,
    MissingExtraError,
    MissingInputError,
    PipelineError,
    TooLittleDataError,
    UsageError,
    WeightsError,
)
from dataset.schema import SnapshotMovie
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import open_snapshot
from dataset.snapshots.verify import verify
from features.__main__ import main
from features.importing import import_features
from features.texts.config import TextConfig
from features.texts.encoding import encode_texts
from features.vectors.config import VectorsConfig

TABLE, QUARANTINE = "item_features-text.parquet", "item_features_quarantine-text.parquet"


@dataclass
class Made:
    """An encoder that needs no library: a vector from the SHA-256 of the text."""

    package: str = "made"
    package_version: str = "1"
    model: str = "digests"
    model_sha256: str = "a" * 64
    seen: list[str] = field(default_factory=list)
    longest: int = 1000
    broken: bool = False

    def encode(self, texts: list[str]) -> np.ndarray:
        self.seen += texts
        digests = [hashlib.sha256(text.encode()).digest()[:12] for text in texts]
        vectors = np.array([np.frombuffer(digest, np.uint8) for digest in digests], np.float32) / 255
        return vectors * np.nan if self.broken else vectors

    def n_cut(self, texts: list[str]) -> int:
        return sum(len(text) > self.longest for text in texts)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    encoder = Made()
    monkeypatch.setattr("features.texts.encoding.open_encoder", lambda _: encoder)
    return encoder


@pytest.fixture
def described(tmp_path: Path, make_raw: Callable[..., Path]) -> Path:
    """A dataset whose movies have titles, genres and directors; the last two movies say nothing, in two ways."""
    raw = make_raw()
    movies = pl.read_parquet(raw / "movies.parquet").sort("movie_id")
    number = pl.col("movie_id").str.slice(1).cast(pl.Int64)
    says_nothing, none = number.is_in([6, 7]), pl.lit([], pl.List(pl.String))
    movies = movies.with_columns(
        title=pl.when(number == 6).then("movie_id").when(number == 7).then(pl.lit(" \t")).otherwise("title"),
        genres=pl.when(says_nothing | (number == 1)).then(none).otherwise(pl.lit(["Drama", "War"])),
        directors=pl.when(says_nothing).then(none).otherwise(pl.lit(["Ana Ro\nsa"])),
    )
    movies.write_parquet(raw / "movies.parquet")
    build(raw, tmp_path / "dataset", DatasetConfig())
    return tmp_path / "dataset"


def vectors_of(dataset: Path, table: str = TABLE) -> dict[str, list[float]]:
    return dict(pl.read_parquet(dataset / table).select("movie_id", "feature").iter_rows())


def reasons_of(dataset: Path) -> dict[str, str]:
    return dict(pl.read_parquet(dataset / QUARANTINE).select("movie_id", "reason").iter_rows())


def state_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


# --- encoders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "extra"), [("wordllama", "text"), ("sentence_transformers", "sentence-transformers")]
)
def test_a_missing_library_of_an_encoder_is_one_line_that_names_its_extra(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, extra: str
) -> None:
    monkeypatch.setattr("dataset.extras.find_spec", lambda name: None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer"}]')
    encoder = "wordllama" if library == "wordllama" else str(tmp_path / "model")
    with pytest.raises(MissingExtraError, match=rf"needs {library}: install the extra '{extra}'"):
        encode_texts(described, TextConfig(encoder=encoder))


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ("{", "cannot be read"),
        ('[{"name": "0"}]', "cannot be read"),
        (
            '[{"type": "sentence_transformers.models.Transformer"}, {"type": "own.Code"}]',
            "'own.Code' is code that comes",
        ),
        ('[{"type": "os.system"}]', "which is not run"),
    ],
)
def test_a_model_that_brings_code_of_its_own_is_refused(described: Path, tmp_path: Path, modules, words) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text(modules)
    with pytest.raises(WeightsError, match=words):
        encode_texts(described, TextConfig(encoder=str(tmp_path / "model")))


def test_wordllama_encodes_with_the_weights_of_its_package_and_prints_nothing(
    described: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wordllama = pytest.importorskip("wordllama")
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    main(["text", "--dataset", str(described)])
    assert (root.level, list(root.handlers)) == before
    told = capfd.readouterr()
    assert "Encoded the texts of 6 of 8 items" in told.out
    assert told.err == ""
    identity = read_proven(described)["item_features"]["text"]
    weights = Path(wordllama.__file__).parent / "weights" / "l2_supercat_256.safetensors"
    assert identity["model_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (identity["encoder"], identity["width"], identity["dtype"]) == ("wordllama", 256, "float32")
    first = state_of(described)[TABLE]
    encode_texts(described, TextConfig())
    assert state_of(described)[TABLE] == first


def test_texts_of_one_subject_are_nearer_to_each_other_with_wordllama(described: Path, tmp_path: Path) -> None:
    pytest.importorskip("wordllama")
    texts = {"m0": "a war film about soldiers", "m1": "an army in battle", "m2": "a comedy about a wedding cake"}
    pl.DataFrame({"item_id": list(texts), "plot": list(texts.values())}).write_csv(tmp_path / "t.csv")
    encode_texts(described, TextConfig(columns=("plot",), texts=tmp_path / "t.csv"))
    war, army, cake = (np.array(vectors_of(described)[item]) for item in texts)
    near, far = (war @ other / np.linalg.norm(war) / np.linalg.norm(other) for other in (army, cake))
    assert near > far + 0.1


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A tiny model of vectors of words, in the files that model2vec and sentence-transformers write."""
    pytest.importorskip("sentence_transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path / "tiny model"
    folder.mkdir()
    words = {word: number for number, word in enumerate(["[UNK]", "Movie", "m0", "m1", "Drama", "War"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = np.random.default_rng(0).standard_normal((len(words), 16)).astype("<f4")
    write_safetensors(folder / "model.safetensors", {"embedding.weight": ("F32", [len(words), 16], weights.tobytes())})
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_a_model_in_a_folder_encodes_without_the_network(
    described: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    done = encode_texts(described, TextConfig(encoder=str(model_folder)))
    assert (done.identity.encoder, done.identity.model, done.identity.width) == (
        "sentence-transformers",
        "tiny model",
        16,
    )
    (model_folder / ".cache").mkdir()
    (model_folder / ".cache" / "download.lock").write_text("now")  # as a download leaves it
    assert encode_texts(described, TextConfig(encoder=str(model_folder))).identity == done.identity
    (model_folder / "more.txt").write_text("x")
    assert encode_texts(described, TextConfig(encoder=str(model_folder))).identity.model_sha256 != (
        done.identity.model_sha256
    )


def test_a_damaged_model_in_a_folder_ends_in_one_line(described: Path, model_folder: Path) -> None:
    for file in model_folder.rglob("*.safetensors"):
        file.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be loaded as a sentence-transformers model"):
        encode_texts(described, TextConfig(encoder=str(model_folder)))


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_weights_in_a_folder_run_no_code(described: Path, model_folder: Path, tmp_path: Path, write: Callable) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    (model_folder / "model.safetensors").unlink()
    with (model_folder / "pytorch_model.bin").open("wb") as file:
        write(Code(), file)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        encode_texts(described, TextConfig(encoder=str(model_folder)))
    assert not (tmp_path / "ran").exists()


# --- beside the features of frames -------------------------------------------------------------


def test_features_of_frames_and_of_items_stay_beside_each_other(described: Path, made: Made, tmp_path: Path) -> None:
    encode_texts(described, TextConfig())
    path, config = as_npy(tmp_path, ITEMS, matrix(ITEMS))
    import_features(path, described, config)
    import_features(path, described, config, "clip")
    encode_texts(described, TextConfig(columns=("title",)), "titles")
    proven = read_proven(described)
    assert set(proven["item_features"]) == {"text", "titles"}
    assert set(proven["feature_sets"]) == {"clip"}
    assert list(vectors_of(described)) == ITEMS[:6]
    assert [path.name for path in described.glob("item_features*")].__len__() == 4


def test_a_build_keeps_features_of_items_if_the_movies_are_the_same(
    described: Path, made: Made, tmp_path: Path
) -> None:
    raw = tmp_path / "raw-0-False"
    encode_texts(described, TextConfig())
    before = state_of(described)
    assert build(raw, described, DatasetConfig()).removed_features == ()
    assert state_of(described) == before
    assert build(raw, described, DatasetConfig(split=SplitConfig(seed=5))).removed_features == ("item_features-text",)
    assert "item_features" not in read_proven(described)


def test_a_build_says_which_features_it_removed(described: Path, made: Made, tmp_path: Path, capsys) -> None:
    encode_texts(described, TextConfig())
    dataset_main(["build", "--raw", str(tmp_path / "raw-0-False"), "--to", str(described), "--seed", "5"])
    assert "(item_features-text); run `python -m features" in capsys.readouterr().out


@pytest.mark.parametrize("file", [TABLE, QUARANTINE, "movies.parquet"])
def test_a_table_of_another_build_is_not_published(described: Path, made: Made, tmp_path: Path, file: str) -> None:
    encode_texts(described, TextConfig())
    frame = pl.read_parquet(described / file)
    frame.reverse().write_parquet(described / file, compression="snappy")
    with pytest.raises(InvalidTableError, match="not of this build"):
        publish(described, "mine", tmp_path / "snapshots")


def test_features_of_other_movies_are_not_published(described: Path, made: Made, tmp_path: Path) -> None:
    encode_texts(described, TextConfig())
    kept = {name: described / name for name in (TABLE, QUARANTINE)}
    saved = {name: path.read_bytes() for name, path in kept.items()}
    description = json.loads((described / "dataset.json").read_text())
    build(tmp_path / "raw-0-False", described, DatasetConfig(split=SplitConfig(seed=5)))
    for name, path in kept.items():
        path.write_bytes(saved[name])
    written = json.loads((described / "dataset.json").read_text())
    written |= {key: description[key] for key in ("item_features", "item_features_of")}
    written["tables"] |= {name: description["tables"][name] for name in saved}
    (described / "dataset.json").write_text(json.dumps(written))
    with pytest.raises(InvalidTableError, match="features of another build's movies"):
        publish(described, "mine", tmp_path / "snapshots")


# --- in a snapshot -----------------------------------------------------------------------------


def test_manifest_card_show_report_and_diff_say_which_text_and_which_encoder(
    described: Path, made: Made, tmp_path: Path, capsys
) -> None:
    without, _ = publish(described, "mine", tmp_path / "snapshots")
    assert "item_features" not in (without.path / "manifest.json").read_text()
    encode_texts(described, TextConfig(columns=("title", "genres")))
    with_text, is_new = publish(described, "mine", tmp_path / "snapshots")
    assert is_new
    assert verify(with_text) == []
    assert with_text.manifest.item_features["text"]["columns"] == ["title", "genres"]
    assert with_text.read("item_features-text").height == 6
    words = "made features of texts (12 x float32, of title, genres, by digests, SHA-256 aaaaaaaaaaaaaaaa…)"
    card = (with_text.path / "README.md").read_text("utf-8")
    assert f"no visual features; {words} as the modality text" in card
    assert "### item_features-text" in card
    assert 'pl.read_parquet("item_features-text.parquet").join(movies, on="movie_id")' in card
    assert "Can texts be recovered from the features?" in card
    assert '"item_features-text.parquet"' in (with_text.path / "croissant.json").read_text("utf-8")
    capsys.readouterr()
    dataset_main(["show", str(with_text.path)])
    told = capsys.readouterr().out
    assert words in told
    assert "item_features-text: One row per movie" in told
    dataset_main(["report", str(with_text.path), "--to", str(tmp_path / "report")])
    assert words in (tmp_path / "report" / "report.html").read_text("utf-8")
    changes = "\n".join(describe_changes(without, with_text, diff_tables(without, with_text)))
    assert f"modality text: none → {words}" in changes
    assert "item_features-text: 0 → 6 rows" in changes
    assert "text" not in (without.path / "README.md").read_text("utf-8").split("## Tables")[0].split("contains")[1]


def test_the_content_digest_knows_the_encoder(described: Path, made: Made, tmp_path: Path) -> None:
    encode_texts(described, TextConfig())
    one, _ = publish(described, "mine", tmp_path / "snapshots")
    assert publish(described, "mine", tmp_path / "snapshots")[1] is False
    made.model_sha256 = "b" * 64
    encode_texts(described, TextConfig())
    other, is_new = publish(described, "mine", tmp_path / "snapshots")
    assert is_new
    assert one.content_digest != other.content_digest
    assert one.manifest.tables["item_features-text"].content_sha256 == (
        other.manifest.tables["item_features-text"].content_sha256
    )


def test_a_feature_of_no_movie_is_not_published(described: Path, made: Made, tmp_path: Path) -> None:
    encode_texts(described, TextConfig())
    table = pl.read_parquet(described / TABLE)
    table.with_columns(movie_id=pl.col("movie_id") + "x").write_parquet(described / TABLE)
    description = json.loads((described / "dataset.json").read_text())
    description["tables"][TABLE] = hashlib.sha256((described / TABLE).read_bytes()).hexdigest()
    (described / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(InvalidTableError, match="item_features-text: 6 rows have no match in movies"):
        publish(described, "mine", tmp_path / "snapshots")


@pytest.mark.parametrize("made_by", [{}, {"encoder": "x"}, {"imported": "x"}, "x", {"encoder": 1, "model": []}])
def test_a_manifest_with_features_of_unknown_origin_is_refused(
    described: Path, made: Made, tmp_path: Path, made_by: object
) -> None:
    encode_texts(described, TextConfig())
    description = json.loads((described / "dataset.json").read_text())
    description["item_features"]["text"] = made_by
    (described / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(PipelineError):
        publish(described, "mine", tmp_path / "snapshots")


def test_a_snapshot_with_only_texts_has_no_features_of_frames(described: Path, made: Made, tmp_path: Path) -> None:
    encode_texts(described, TextConfig())
    snapshot, _ = publish(described, "mine", tmp_path / "snapshots")
    opened = open_snapshot(snapshot.path)
    assert opened.feature_table is None
    assert opened.with_features(None).extractor is None


# --- imported vectors --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_vectors_of_texts_that_exist_are_imported_as_a_modality(described: Path, tmp_path: Path, dtype: str) -> None:
    ids = [*ITEMS[::-1], "stranger"]
    vectors = matrix(ids)
    vectors[2, 1] = np.nan
    path, config = as_npy(tmp_path, ids, vectors)
    frames = (described / "frames.parquet").read_bytes()
    argv = ["--ids", str(config.ids), "--dataset", str(described), "--dtype", dtype, "--extractor", "all-MiniLM-L6-v2"]
    main(["import", str(path), "--ids-are", "items", "--modality", "text", *argv])
    table = pl.read_parquet(described / TABLE)
    assert table["movie_id"].to_list() == [item for item in ITEMS if item != "m5"]
    kept = [ids.index(item) for item in table["movie_id"]]
    assert table["feature"].to_numpy().tobytes() == vectors[kept].astype(dtype).tobytes()
    assert table["text_sha256"].null_count() == 7
    assert reasons_of(described) == {"m5": "not finite (NaN or infinity)", "stranger": "id is not in the dataset"}
    assert (described / "frames.parquet").read_bytes() == frames
    made_by = read_proven(described)["item_features"]["text"]
    assert (made_by["imported"], made_by["vectors_of"], made_by["width"]) == ("all-MiniLM-L6-v2", "items", 6)
    snapshot, _ = publish(described, "mine", tmp_path / "snapshots")
    assert "all-MiniLM-L6-v2 features (6 x" in (snapshot.path / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "config", "error", "words"),
    [
        ({"modality": "text", "name": "clip"}, {}, UsageError, "give one of them"),
        ({"modality": "text"}, {"ids_are": "frames"}, UsageError, "its vectors are of items"),
        ({"modality": "a-b"}, {}, UsageError, "modality 'a-b' is not a valid name"),
        ({"name": "main"}, {}, UsageError, "this names the main set"),
    ],
)
def test_options_of_an_import_that_do_not_fit_end_in_one_line(
    described, tmp_path, options, config, error, words
) -> None:
    path, given = as_npy(tmp_path, ITEMS, matrix(ITEMS))
    with pytest.raises(error, match=words):
        import_features(path, described, VectorsConfig(ids=given.ids, **config), **options)


def test_ids_of_frames_are_not_ids_of_items(described: Path, tmp_path: Path) -> None:
    path, config = as_npy(tmp_path, ["m0f0", "m1f0"], matrix(["m0f0", "m1f0"]))
    with pytest.raises(TooLittleDataError, match="is one of items of the dataset, whose ids look like 'm0'"):
        import_features(path, described, config, modality="text")


def test_the_command_needs_no_library_of_texts_for_an_import(described: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)
    path, config = as_npy(tmp_path, ITEMS, matrix(ITEMS))
    import_features(path, described, config, modality="text")
    assert len(vectors_of(described)) == 8


def test_a_movie_table_of_an_older_build_still_has_texts(described: Path, made: Made, tmp_path: Path) -> None:
    optional = ("train_interaction_count", "train_stars_mean")
    copied = Path(shutil.copytree(described, tmp_path / "older"))
    movies = pl.read_parquet(copied / "movies.parquet").drop(optional)
    movies.write_parquet(copied / "movies.parquet")
    description = json.loads((copied / "dataset.json").read_text())
    description["tables"]["movies.parquet"] = hashlib.sha256((copied / "movies.parquet").read_bytes()).hexdigest()
    (copied / "dataset.json").write_text(json.dumps(description))
    assert encode_texts(copied, TextConfig()).n_features == 6
    assert set(optional) < set(SnapshotMovie.column_names())
