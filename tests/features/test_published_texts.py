"""Features of texts in builds, snapshots and imports: kept, published, described."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_texts import QUARANTINE, TABLE, Made, reasons_of, state_of, vectors_of
from vector_files import ITEMS, as_npy, matrix

from dataset.__main__ import main as dataset_main
from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.description import read_proven
from dataset.errors import (
    InvalidTableError,
    PipelineError,
    TooLittleDataError,
    UsageError,
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
    vectors = vectors_of(described)
    assert build(raw, described, DatasetConfig(split=SplitConfig(seed=5))).removed_features == ()  # other counts
    assert set(read_proven(described)["item_features"]) == {"text"}
    assert vectors_of(described) == vectors
    movies = pl.read_parquet(raw / "movies.parquet")
    movies.with_columns(title=pl.col("title") + "!").write_parquet(raw / "movies.parquet")
    assert build(raw, described, DatasetConfig()).removed_features == ("item_features-text",)
    assert "item_features" not in read_proven(described)


def test_a_build_says_which_features_it_removed(described: Path, made: Made, tmp_path: Path, capsys) -> None:
    raw = tmp_path / "raw-0-False"
    encode_texts(described, TextConfig())
    movies = pl.read_parquet(raw / "movies.parquet")
    movies.with_columns(title=pl.col("title") + "!").write_parquet(raw / "movies.parquet")
    dataset_main(["build", "--raw", str(raw), "--to", str(described)])
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
    assert len({line.index(" rows ") for line in told.splitlines() if line.endswith(" bytes")}) == 1  # in columns
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
