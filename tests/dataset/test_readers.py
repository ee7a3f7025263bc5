"""A published snapshot is read by the programs that strangers use, with no code of ours."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import mlcroissant
import numpy as np
import pandas as pd
import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.description import read_description, write_description
from dataset.feature_schema import FrameFeature
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import write_table

WIDTH = 8
EXTRACTOR = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}


def write_features(dataset: Path) -> None:
    """Add features of random numbers to a built dataset."""
    frames = pl.read_parquet(dataset / "frames.parquet").select("frame_id").sort("frame_id")
    vectors = np.random.default_rng(0).random((frames.height, WIDTH), dtype=np.float32).astype(np.float16)
    features = frames.with_columns(
        image_sha256=pl.lit("0" * 64), feature=pl.Series(vectors, dtype=pl.Array(pl.Float16, WIDTH))
    )
    write_table(features, FrameFeature, dataset / "frame_features.parquet")
    write_description(dataset, read_description(dataset) | {"extractor": EXTRACTOR})


@pytest.fixture(scope="module")
def snapshot(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot with features, named in Chinese."""
    folder = tmp_path_factory.mktemp("read")
    dataset = build(raw_once, folder / "dataset", DatasetConfig()).path
    write_features(dataset)
    stated = PublicationConfig("CC-BY-4.0", "Lab of Examples", "data@example.org")
    return publish(dataset, "豆瓣", folder / "snapshots", stated)[0]


@pytest.fixture
def load_dataset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Return Hugging Face's `load_dataset`, offline and with a cache of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hugging-face"))
    import datasets

    return lambda *arguments: datasets.load_dataset(*arguments, cache_dir=str(tmp_path / "cache"))


def test_pandas_duckdb_and_polars_read_every_table(snapshot: Snapshot) -> None:
    for name, entry in snapshot.manifest.tables.items():
        path = snapshot.path / f"{name}.parquet"
        assert len(pd.read_parquet(path)) == entry.rows
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(entry.rows,)]
        assert pl.read_parquet(path).columns == list(entry.columns)


def test_hugging_face_reads_interactions_and_likes_by_split(
    snapshot: Snapshot, load_dataset: Callable[..., dict[str, list[dict[str, object]]]]
) -> None:
    for table in ("interactions", "frame_likes"):
        found = load_dataset(str(snapshot.path), table)
        whole = pl.read_parquet(snapshot.path / f"{table}.parquet")
        assert {split: len(rows) for split, rows in found.items()} == dict(
            whole.group_by(pl.col("split").cast(pl.String)).len().rows()
        )
        for split, rows in found.items():
            expected = whole.filter(pl.col("split").cast(pl.String) == split)
            assert [row["user_id"] for row in rows] == expected["user_id"].to_list()
            assert {row["split"] for row in rows} == {split}


def test_hugging_face_reads_the_other_tables_as_they_are(
    snapshot: Snapshot, load_dataset: Callable[..., dict[str, list[dict[str, object]]]]
) -> None:
    for table in ("movies", "frames", "frame_features"):
        found = load_dataset(str(snapshot.path), table)
        assert list(found) == ["full"]
        assert pl.DataFrame(list(found["full"])).height == snapshot.manifest.tables[table].rows
    vectors = np.array([row["feature"] for row in found["full"]], dtype=np.float16)
    assert np.array_equal(vectors, snapshot.read("frame_features")["feature"].to_numpy())


def test_hugging_face_never_takes_one_snapshot_for_another(
    make_raw: Callable[..., Path], tmp_path: Path, load_dataset: Callable[..., dict[str, list[dict[str, object]]]]
) -> None:
    published = []
    for place, name, seed in (("one", "a", 0), ("two", "b", 1), ("three", "a", 2), ("one", "a", 3)):
        dataset = build(make_raw(), tmp_path / f"dataset-{seed}", DatasetConfig(split=SplitConfig(seed=seed))).path
        published.append(publish(dataset, name, tmp_path / place)[0])
    assert [snapshot.path.name for snapshot in published] == ["v0001", "v0001", "v0001", "v0002"]
    for snapshot in [*published, *published]:  # the second time, each is read from the one cache that they share
        found = load_dataset(str(snapshot.path), "interactions")["test"]
        rows = snapshot.read("interactions").filter(pl.col("split") == "test")
        assert [(row["user_id"], row["movie_id"]) for row in found] == rows.select("user_id", "movie_id").rows()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the RDF library below it
def test_mlcroissant_finds_nothing_to_say_of_croissant_json_and_reads_the_records(snapshot: Snapshot) -> None:
    described = mlcroissant.Dataset(jsonld=snapshot.path / "croissant.json")
    issues = described.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert described.metadata.license == ["https://creativecommons.org/licenses/by/4.0/"]
    assert [(by.name, by.email) for by in described.metadata.publisher] == [("Lab of Examples", "data@example.org")]
    assert described.metadata.version == "1.0.0"
    assert described.metadata.cite_as.startswith("@misc{dataset_v0001,\n")
    told = described.metadata
    for known in (told.data_use_cases, told.data_limitations, told.data_social_impact, told.data_collection,
                  told.personal_sensitive_information, told.data_annotation_protocol,
                  told.machine_annotation_tools):  # fmt: skip
        assert known
    for name, entry in snapshot.manifest.tables.items():
        records = list(described.records(name))
        assert len(records) == entry.rows
        assert set(records[0]) == {f"{name}/{column}" for column in entry.columns}
    users = [record["interactions/user_id"].decode() for record in described.records("interactions")]
    assert users == snapshot.read("interactions")["user_id"].to_list()
    vectors = np.array([record["frame_features/feature"] for record in described.records("frame_features")])
    assert np.array_equal(vectors, snapshot.read("frame_features")["feature"].to_numpy())
