"""Vectors that exist are imported in place of an extraction, and every model that reads features trains on them."""

import json
from collections.abc import Callable
from pathlib import Path

import douban_keyframes as dk
import numpy as np
import polars as pl
import pytest

from dataset.__main__ import main as dataset_main
from dataset.errors import TrainingError, UsageError
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from features.__main__ import main as features_main
from model.compare import main as compare_main
from model.evaluate import main as evaluate_main
from model.experiment import main as experiment_main
from model.models.registry import MODELS
from model.report.page import PAPER_GAINS
from model.train import main as train_main

CLIP_WIDTH = 512
ITEMS = [f"m{movie}" for movie in range(12)]
VISUAL = [name for name, kind in MODELS.items() if kind.model_class.needs_features and kind.model_class.ranks_items]


def built_in(folder: Path) -> Path:
    """Return a dataset of ratings alone, as a new user brings them."""
    rated = np.random.default_rng(0).random((20, len(ITEMS))) < 0.7
    rows = [f"u{user},{ITEMS[item]}" for user, item in np.argwhere(rated)]
    (folder / "ratings.csv").write_text("\n".join(["user,item", *rows]))
    dataset_main(["import", str(folder / "ratings.csv"), "--to", str(folder / "raw")])
    dataset_main(["build", "--raw", str(folder / "raw"), "--to", str(folder / "dataset")])
    return folder / "dataset"


def clip_like(n: int) -> np.ndarray:
    """Return vectors as CLIP's: of length 1, with a part that all share, and a few large dimensions."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, CLIP_WIDTH)) * 0.3 + rng.standard_normal(CLIP_WIDTH) * 0.5
    vectors[:, 133] += 12
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def give(dataset: Path, ids: list[str], *options: str, width: int = CLIP_WIDTH) -> None:
    np.save(dataset.parent / "clip.npy", clip_like(len(ids))[:, :width])
    (dataset.parent / "ids.txt").write_text("\n".join(ids))
    files = [str(dataset.parent / "clip.npy"), "--ids", str(dataset.parent / "ids.txt")]
    features_main(["import", *files, "--dataset", str(dataset), *options])


@pytest.fixture(scope="module", params=["float16", "float32"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("imported")
    built_in(folder)
    give(folder / "dataset", ITEMS, "--dtype", request.param)
    return publish(folder / "dataset", "mine", folder / "snapshots")[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot with a main feature set, and one named `clip`."""
    folder = tmp_path_factory.mktemp("both")
    built_in(folder)
    give(folder / "dataset", ITEMS, width=7)
    give(folder / "dataset", ITEMS, "--name", "clip")
    return publish(folder / "dataset", "mine", folder / "snapshots")[0]


@pytest.mark.parametrize("model", VISUAL)
def test_every_visual_model_trains_on_imported_vectors(imported: Snapshot, model: str) -> None:
    data = dk.load(imported)
    assert data.training.frames.features is not None
    assert data.training.frames.features.shape == (12, CLIP_WIDTH)
    run = dk.train(model, data, settings={"epochs": 2})
    assert run.training["loss"].is_finite().all()
    assert dk.evaluate(run, data, "test").metrics.height
    assert dk.recommend(run, data, n=1).height == data.training.n_users


def test_the_feature_set_is_chosen_at_training_and_found_again(both: Snapshot, tmp_path: Path, capsys) -> None:
    runs = ["--runs", str(tmp_path)]
    for options in ([], ["--features", "clip"]):
        train_main(["--model", "vbpr", "--snapshot", str(both.path), "--epochs", "1", *runs, *options])
    folders = {name: next(tmp_path.glob(f"vbpr-mine-v0001-{name}0-*")) for name in ("", "clip-")}
    described = {name: json.loads((folder / "config.json").read_text()) for name, folder in folders.items()}
    assert "features" not in described[""]
    assert described["clip-"]["features"] == "clip"
    assert [one["extractor"]["width"] for one in described.values()] == [7, CLIP_WIDTH]
    assert dk.open_run(folders["clip-"])[1].training.frames.features.shape[1] == CLIP_WIDTH
    for folder in folders.values():
        evaluate_main(["--run", str(folder)])
    capsys.readouterr()
    compare_main(["--runs", *map(str, folders.values())])
    told = capsys.readouterr().out
    assert "vbpr features=main" in told
    assert "vbpr features=clip" in told


def test_weights_of_one_feature_set_are_not_used_with_another(both: Snapshot, tmp_path: Path) -> None:
    train_main(["--model", "vbpr", "--snapshot", str(both.path), "--epochs", "1", "--runs", str(tmp_path)])
    (folder,) = tmp_path.iterdir()
    description = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(description | {"features": "clip"}))
    with pytest.raises(TrainingError, match="is not of the training"):
        dk.open_run(folder)


def test_an_experiment_trains_on_the_named_set(both: Snapshot, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--models", "vbpr,bpr", "--set", "epochs=1", "--jobs", "1", "--threads", "1", "--features", "clip"]
    experiment_main(["--snapshot", str(both.path), *options])
    page = (tmp_path / "data" / "experiments" / "mine-v0001-clip" / "report.html").read_text("utf-8")
    assert "clip.npy features (512 x float16, vectors of items" in page
    assert list(tmp_path.glob("data/runs/vbpr-mine-v0001-clip-0-*/model.pt"))


@pytest.fixture(scope="module")
def compared(both: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An experiment on two sets: its page and its folder."""
    folder = tmp_path_factory.mktemp("compared")
    options = ["--models", "jifr,jifr_na,vbpr,bpr,random", "--set", "epochs=1", "--jobs", "1", "--threads", "1"]
    to = ["--to", str(folder / "experiment"), "--runs", str(folder / "runs")]
    experiment_main(["--snapshot", str(both.path), *options, *to, "--features", "main,clip"])
    return (folder / "experiment" / "report.html").read_text("utf-8"), folder


def test_an_experiment_compares_feature_sets_with_one_row_per_model_and_set(compared: tuple[str, Path]) -> None:
    page, folder = compared
    visual = [f"{model} features={name}" for model in ("jifr", "jifr_na", "vbpr") for name in ("clip", "main")]
    metrics = pl.read_parquet(folder / "experiment" / "metrics.parquet")
    assert set(metrics["model"]) == {*visual, "bpr", "random"}
    for file in ("training", "costs", "user_metrics", "slices"):
        assert set(pl.read_parquet(folder / "experiment" / f"{file}.parquet")["model"]) <= {*visual, "bpr", "random"}
    pairs = pl.read_parquet(folder / "experiment" / "comparisons.parquet").select("model", "other").rows()
    assert {frozenset(pair) for pair in pairs} >= {frozenset({"vbpr features=clip", "vbpr features=main"})}
    assert {path.name.rpartition("-")[0] for path in (folder / "runs").iterdir()} == {
        *(f"{model}-mine-v0001-0" for model in ("jifr", "jifr_na", "vbpr", "bpr", "random")),
        *(f"{model}-mine-v0001-clip-0" for model in ("jifr", "jifr_na", "vbpr")),
    }
    for words in (
        "VBPR (clip)",
        "VBPR (main)",
        "trained once on each feature set: <code>main</code>, <code>clip</code>",
    ):
        assert words in page
    assert "clip.npy features (512 x" in page
    assert "clip.npy features (7 x" in page
    assert "cover different frames" not in page
    assert "Gain over no attention" in page


def test_a_failed_run_is_named_with_its_feature_set(both: Snapshot, tmp_path: Path) -> None:
    options = ["--models", "vbpr", "--set", "learning_rate=1e30", "--set", "epochs=3", "--jobs", "1", "--threads", "1"]
    to = ["--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "experiment")]
    with pytest.raises(
        TrainingError, match=r"2 of 2 runs failed \(vbpr features=main, seed 0; vbpr features=clip, seed 0\)"
    ):
        experiment_main(["--snapshot", str(both.path), *options, *to, "--features", "main,clip"])


def test_the_numbers_of_a_comparison_of_sets_are_found_again(
    compared: tuple[str, Path], both: Snapshot, ask_again: Callable[..., int]
) -> None:
    page, folder = compared
    assert ask_again(page, folder / "experiment", both.path, documents={"paper.json": PAPER_GAINS}) > 100


def test_the_report_says_that_sets_cover_different_frames(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    built_in(tmp_path)
    give(tmp_path / "dataset", ITEMS, width=7)
    give(tmp_path / "dataset", ITEMS[:-2], "--name", "clip")
    snapshot, _ = publish(tmp_path / "dataset", "mine", tmp_path / "snapshots")
    options = ["--models", "vbpr,bpr", "--set", "epochs=1", "--jobs", "1", "--threads", "1"]
    experiment_main(["--snapshot", str(snapshot.path), *options, "--features", "main", "--features", "clip"])
    page = (tmp_path / "data" / "experiments" / "mine-v0001-main-clip" / "report.html").read_text("utf-8")
    assert "The sets cover different frames" in page


def test_the_main_set_can_be_named_and_no_other_set_is_called_so(both: Snapshot, tmp_path: Path) -> None:
    assert both.with_features("main").feature_set is None
    assert both.with_features("main").extractor == both.extractor
    train_main(
        [
            "--model",
            "vbpr",
            "--snapshot",
            str(both.path),
            "--epochs",
            "1",
            "--runs",
            str(tmp_path),
            "--features",
            "main",
        ]
    )
    assert list(tmp_path.glob("vbpr-mine-v0001-0-*/model.pt"))
    built_in(tmp_path)
    give(tmp_path / "dataset", ITEMS, "--name", "clip")
    only_clip, _ = publish(tmp_path / "dataset", "mine", tmp_path / "snapshots")
    with pytest.raises(UsageError, match="no feature set 'main'; it has clip"):
        only_clip.with_features("main")
    with pytest.raises(UsageError, match="this names the main set"):
        give(tmp_path / "dataset", ITEMS, "--name", "main")


@pytest.mark.parametrize("features", ["clip,dino", "dino", "main,", "clip,../x"])
def test_a_set_that_an_experiment_cannot_find_ends_in_one_line_before_anything_runs(
    both: Snapshot, tmp_path: Path, features: str
) -> None:
    options = ["--models", "bpr", "--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "experiment")]
    with pytest.raises(UsageError, match="no feature set"):
        experiment_main(["--snapshot", str(both.path), *options, "--features", features])
    assert not list(tmp_path.iterdir())


def test_a_set_that_is_not_there_ends_in_one_line(both: Snapshot, imported: Snapshot) -> None:
    with pytest.raises(UsageError, match="no feature set 'dino'; it has clip"):
        both.with_features("dino")
    with pytest.raises(UsageError, match="it has none with a name"):
        imported.with_features("clip")


def test_the_only_named_set_is_read_without_being_named_and_of_several_one_must_be(tmp_path: Path) -> None:
    built_in(tmp_path)
    give(tmp_path / "dataset", ITEMS, "--name", "clip")
    one, _ = publish(tmp_path / "dataset", "mine", tmp_path / "snapshots")
    assert dk.load(one).training.frames.features.shape[1] == CLIP_WIDTH
    give(tmp_path / "dataset", ITEMS, "--name", "dino", width=9)
    two, _ = publish(tmp_path / "dataset", "mine", tmp_path / "snapshots")
    with pytest.raises(UsageError, match="has the feature sets clip, dino; name one with --features"):
        dk.load(two)
    assert dk.load(two.with_features("dino")).training.frames.features.shape[1] == 9
