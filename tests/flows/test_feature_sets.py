"""The flows write a further feature set beside the main one, and compare sets in an experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.description import read_proven
from dataset.snapshots.publish import publish
from features.config import ExtractorConfig
from features.extract import compute
from features.extractor import Extractor, GpuDecodingError
from features.importing import import_features
from features.vectors.config import VectorsConfig
from flows import run_experiment as experiment_module
from flows import tasks
from flows.extraction import extract_features
from flows.runners import LOCAL

SMALL = ExtractorConfig("mobilenet_v3_small", "random:0", "fp32")
OTHER = ExtractorConfig("mobilenet_v3_small:features.0", "random:0", "fp32")


@pytest.fixture
def home(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    """A dataset's folder as `build-dataset` has it."""
    make_raw().rename(tmp_path / "raw")
    ratings = pl.read_parquet(tmp_path / "raw" / "ratings.parquet")
    number = (pl.col(column).str.extract(r"(\d+)").cast(pl.Int64) for column in ("user_id", "movie_id"))
    ratings.filter(pl.sum_horizontal(number) % 4 != 0).write_parquet(tmp_path / "raw" / "ratings.parquet")
    build(tmp_path / "raw", tmp_path / "dataset", DatasetConfig())
    return tmp_path


def test_the_build_flow_extracts_a_further_set_and_skips_it_when_nothing_has_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "extract_here", tasks.extract_here.fn)
    tasks.extract(home, SMALL, home / "store", LOCAL)
    main = (home / "dataset" / "frame_features.parquet").read_bytes()
    tasks.extract(home, OTHER, home / "store", LOCAL, "early")
    proven = read_proven(home / "dataset")
    assert proven["extractor"]["node"] != proven["feature_sets"]["early"]["node"]
    assert (home / "dataset" / "frame_features.parquet").read_bytes() == main
    capsys.readouterr()
    tasks.extract(home, OTHER, home / "store", LOCAL, "early")
    assert "Skipped extracting features" in capsys.readouterr().out


def test_the_feature_flow_writes_a_further_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "extract_here", tasks.extract_here.fn)
    tasks.extract(home, SMALL, home / "store", LOCAL)  # so the store has all, and the flow needs no server
    options = {"extractor": SMALL.name, "weights": SMALL.weights, "precision": SMALL.precision}
    folders = {"raw": home / "raw", "dataset": home / "dataset", "store": home / "store"}
    extract_features.fn(feature_set="again", **folders, **options)
    tables = [pl.read_parquet(home / "dataset" / f"frame_features{end}.parquet") for end in ("", "-again")]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("flow", ["build", "features"])
def test_a_flow_too_lets_processes_decode_if_the_gpus_pictures_give_other_features(
    flow: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compute_on_a_gpu(raw: Path, pictures: pl.DataFrame, extractor: Extractor, *rest: Any) -> int:
        if extractor.decoding == "gpu":
            raise GpuDecodingError("features differ too much; run again with --decoding fast")
        return compute(raw, pictures, extractor, *rest)

    monkeypatch.setattr("features.extract.compute", compute_on_a_gpu)
    monkeypatch.setattr("features.extractor.best_decoding", lambda wanted, *_: "gpu" if wanted == "auto" else wanted)
    if flow == "build":
        tasks.extract_here.fn(home / "raw", home / "dataset", SMALL, home / "store")
    else:
        options = {"extractor": SMALL.name, "weights": SMALL.weights, "precision": SMALL.precision}
        extract_features.fn(raw=home / "raw", dataset=home / "dataset", store=home / "store", **options)
    assert "processes now decode the pictures, because features differ too much.\n" in capsys.readouterr().out
    assert read_proven(home / "dataset")["extractor"]["preprocessing"].startswith("fast decoding")


def test_the_experiment_flow_compares_feature_sets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [f"m{movie}" for movie in range(8)]
    np.save(home / "v.npy", np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    (home / "ids.txt").write_text("\n".join(items))
    for name in (None, "clip"):
        import_features(home / "v.npy", home / "dataset", VectorsConfig(ids=home / "ids.txt"), name)
    snapshot, _ = publish(home / "dataset", "mine", home / "snapshots")
    shown = []
    monkeypatch.setattr(experiment_module, "show_report", lambda _, name: shown.append(name))
    folders = {"experiments": home / "experiments", "runs": home / "runs"}
    experiment_module.run_experiment.fn(
        snapshot=snapshot.path, models=("vbpr",), epochs=1, jobs=1, features=("clip", "main"), **folders
    )
    assert shown == ["mine-v0001-clip-main"]
    metrics = pl.read_parquet(home / "experiments" / shown[0] / "metrics.parquet")
    assert set(metrics["model"]) == {"vbpr features=clip", "vbpr features=main"}
