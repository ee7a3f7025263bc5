"""MovieLens-100K, the real one, from import to RecBole's files; `make` takes it out of RecBole's wheel."""

import sys
from pathlib import Path

import polars as pl
import pytest

from dataset.building.build import BuiltDataset, DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.formats.exporting import export
from dataset.formats.importing import import_ratings
from dataset.formats.ratings import FORMATS, detect_format
from dataset.snapshots.publish import publish

FOLDER = Path(sys.prefix) / "ml-100k" / "recbole" / "dataset_example" / "ml-100k"
COUNTS = ["n_users", "n_movies", "n_interactions", "n_train_interactions", "n_validation_interactions"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw, file = tmp_path_factory.mktemp("ml-100k"), FOLDER / "ml-100k.inter"
    assert file.is_file(), f"{file} is missing: remove .venv/.installed and run make test, which fetches it"
    done = import_ratings(file, FORMATS[str(detect_format(file))], None, raw)
    assert (done.n_ratings, done.n_items, done.n_quarantined) == (100_000, 1_682, 0)
    return raw


@pytest.fixture(scope="module")
def built(raw: Path) -> BuiltDataset:
    return build(raw, raw.parent / "built", DatasetConfig())


def test_the_5_core_has_the_counts_the_field_knows(raw: Path, built: BuiltDataset) -> None:
    assert pl.read_parquet(raw / "ratings.parquet")["user_id"].n_unique() == 943
    assert [built.description["statistics"][name] for name in COUNTS] == [943, 1_349, 99_287, 69_501, 9_929]
    assert built.description["quarantined"] == [
        {"table": "movies", "reason": "movie outside the k-core", "rows": 333},
        {"table": "ratings", "reason": "outside the k-core", "rows": 713},
    ]


def test_it_is_published_and_exported_to_recbole_s_format_whole(built: BuiltDataset, tmp_path: Path) -> None:
    snapshot, _ = publish(built.path, "ml-100k", tmp_path / "snapshots")
    export(Path(snapshot.path), tmp_path, "recbole", "ml-100k")
    original = pl.read_csv(FOLDER / "ml-100k.inter", separator="\t", infer_schema=False)
    parts = [
        pl.read_csv(tmp_path / "ml-100k" / f"ml-100k.{part}.inter", separator="\t", infer_schema=False)
        for part in ("train", "valid", "test")
    ]
    assert [part.height for part in parts] == [69_501, 9_929, 19_857]
    exported = pl.concat(parts)
    assert exported.columns == original.columns
    both = exported.join(original, on=["user_id:token", "item_id:token"], suffix=" of the original")
    assert both.height == 99_287
    for column in ("rating:float", "timestamp:float"):
        assert both[column].cast(pl.Float64).equals(both[f"{column} of the original"].cast(pl.Float64))


def test_the_time_of_day_survives_from_import_to_publication(raw: Path, built: BuiltDataset, tmp_path: Path) -> None:
    original = pl.read_csv(FOLDER / "ml-100k.inter", separator="\t").rename(lambda name: name.partition(":")[0])
    times = original.select("user_id", "timestamp").n_unique()
    assert times == 49_439
    assert pl.read_parquet(raw / "ratings.parquet").select("user_id", "rated_at").n_unique() == times
    whole = build(raw, tmp_path / "whole", DatasetConfig(0, 0))
    snapshot, _ = publish(whole.path, "whole", tmp_path / "snapshots")
    published = snapshot.read("interactions")
    assert published.select("user_id", "rated_at").n_unique() == times
    assert published["rated_on"].equals(published["rated_at"].dt.date())
    temporal = build(raw, tmp_path / "temporal", DatasetConfig(split=SplitConfig(strategy="temporal")))
    interactions = pl.read_parquet(temporal.path / "interactions.parquet")
    bounds = interactions.group_by("split").agg(first=pl.col("rated_at").min(), last=pl.col("rated_at").max())
    bounds = bounds.sort("split")
    assert all(bounds["last"][:-1] <= bounds["first"][1:])
