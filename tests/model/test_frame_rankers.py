"""Rankers of key frames that train nothing: by hand, through evaluation and through the commands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dataset.errors import MissingInputError, TooLittleDataError, UsageError
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model import api
from model.data.jagged import JaggedTensor
from model.data.loading import data_from_tables
from model.data.tables import Tables, index_ids
from model.data.tensors import Frames, TrainingData, training_data
from model.evaluation.evaluate import evaluate
from model.experiment import main as experiment
from model.experiments.config import ExperimentConfig
from model.experiments.experiment import run_experiment
from model.models.recommender import FrameScorer
from model.models.registry import default_config, make_model
from model.schema import Metric, Recommendation
from model.train import main as train
from model.training.config import TrainingConfig

OF_FRAMES_ONLY = ["mean_frame", "first_frame", "site_order", "most_liked"]
Publish = Callable[[Tables], Snapshot]


def scores(name: str, frames: Frames, positives: JaggedTensor | None = None, user: int = 0) -> list[float]:
    positives = positives or JaggedTensor(torch.tensor([0, 1]), torch.tensor([0]))
    data = TrainingData(positives, len(frames.offsets) - 1, frames)
    scorer = make_model(name, default_config(name), data, 0).scorer()
    assert isinstance(scorer, FrameScorer)
    n = int(frames.offsets[-1])
    return scorer.frame_scores(torch.full((n,), user), torch.arange(n)).tolist()


def order(values: list[float]) -> list[set[int]]:
    """Return the frames from the best to the worst, equal ones together."""
    return [{n for n, one in enumerate(values) if one == value} for value in sorted(set(values), reverse=True)]


@pytest.mark.parametrize(
    ("posters", "places", "expected"),
    [
        ([0, 1, 0, 1], [0, 1, 1, 0], [{3}, {1}, {0}, {2}]),  # posters first, each group in the site's order
        ([0, 0, 0, 0], [2, -1, 0, -1], [{2}, {0}, {1, 3}]),  # unknown places last, and tied
        ([0, 0, 1, 0], None, [{2}, {0, 1, 3}]),
        ([0, 0, 0, 0], None, [{0, 1, 2, 3}]),
    ],
)
def test_the_first_frame_is_the_poster_or_the_first_of_the_site(
    posters: list[int], places: list[int] | None, expected: list[set[int]]
) -> None:
    known = None if places is None else torch.tensor(places)
    frames = Frames(torch.tensor([0, 4]), None, torch.tensor(posters).bool(), known)
    assert order(scores("first_frame", frames)) == expected


def test_the_sites_order_falls_with_the_place_and_unknown_places_are_last() -> None:
    frames = Frames(torch.tensor([0, 4]), None, torch.tensor([False, True, False, False]), torch.tensor([1, 0, -1, 5]))
    assert order(scores("site_order", frames)) == [{1}, {0}, {3}, {2}]


def test_the_most_liked_frame_has_the_most_likes_of_train_pairs(tables: Tables) -> None:
    liked = tables.frames.with_columns(
        train_like_count=pl.when(pl.col("frame_id") == "m00f1").then(9).otherwise("train_like_count").cast(pl.UInt32)
    )
    some = replace(tables, frames=liked, frame_likes=tables.frame_likes.clear())
    model = make_model("most_liked", default_config("most_liked"), training_data(some, index_ids(some)), 0)
    first_movie = model.scorer().frame_scores(torch.zeros(3).long(), torch.arange(3))
    assert first_movie.tolist() == [3, 9, 1]


def test_the_typical_frame_is_nearest_to_the_mean_of_its_movie() -> None:
    """Of 0, 4 and 5 on a line the mean is 3; of 10 alone it is 10 itself."""
    features = torch.tensor([[0.0, 1], [4, 1], [5, 1], [10, 1]])
    frames = Frames(torch.tensor([0, 3, 3, 4]), features)
    found = scores("mean_frame", frames)
    assert order(found) == [{3}, {1}, {2}, {0}]
    assert [value / found[1] for value in found] == pytest.approx([9, 1, 4, 0], rel=1e-5)


def test_visrank_is_the_cosine_to_the_mean_of_the_users_pictures() -> None:
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    frames = Frames(torch.tensor([0, 2, 2, 3, 6]), features)
    positives = JaggedTensor(torch.tensor([0, 3, 3]), torch.tensor([0, 1, 3]))
    c = ((features - features.mean(0)) / features.std(0, correction=0)).double()
    of_items = [c[:2].mean(0), torch.zeros(4), c[2], c[3:].mean(0)]
    profile = (of_items[0] + of_items[1] + of_items[3]) / 3

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))

    assert scores("visrank", frames, positives) == pytest.approx([cosine(profile, one) for one in c], abs=1e-5)
    assert scores("visrank", frames, positives, user=1) == [0.0] * 6  # nothing is known of this user
    data = TrainingData(positives, 4, frames)
    found = (
        make_model("visrank", default_config("visrank"), data, 0).scorer().item_scores(torch.tensor([0]))[0].tolist()
    )
    assert found == pytest.approx([cosine(profile, one) for one in of_items], abs=1e-5)
    assert found[1] == 0


@pytest.mark.parametrize(
    ("name", "missing", "words"),
    [
        ("site_order", "position", "no frame with a position"),
        ("most_liked", "train_like_count", "no train_like_count"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False], ids=["empty", "absent"])
def test_a_column_that_is_missing_is_said(name: str, missing: str, words: str, is_there: bool, tables: Tables) -> None:
    frames = tables.frames.with_columns(pl.lit(None, pl.UInt32).alias(missing))
    some = replace(tables, frames=frames if is_there else frames.drop(missing))
    with pytest.raises(MissingInputError, match=words):
        make_model(name, default_config(name), training_data(some, index_ids(some)), 0)


@pytest.mark.parametrize("name", OF_FRAMES_ONLY)
def test_a_ranker_of_frames_has_no_row_for_movies(name: str, tables: Tables) -> None:
    data = data_from_tables(tables, "toy")
    run = api.train(name, data)
    evaluation = api.evaluate(run, data)
    assert set(evaluation.metrics["task"]) == set(evaluation.held_out_ranks["task"]) == {"frame"}
    hits = evaluation.metrics.filter(metric="hr", k=1)["value"].item()
    if name != "mean_frame":
        assert hits == 1  # frame 0 of every movie is liked most, comes first and is what the held-out likes name
    with pytest.raises(UsageError, match="no movies; recommend with another model"):
        api.recommend(run, data)


@pytest.mark.parametrize("name", OF_FRAMES_ONLY)
def test_a_ranker_of_frames_needs_a_held_out_like(name: str, tables: Tables) -> None:
    some = replace(tables, frame_likes=tables.frame_likes.filter(split="test"))
    scorer = make_model(name, default_config(name), training_data(some, index_ids(some)), 0).scorer()
    with pytest.raises(TooLittleDataError, match="0 rows in split 'validation' with a rankable frame"):
        evaluate(scorer, some, "validation", name, 0)


def test_training_a_ranker_of_frames_without_validation_likes_writes_a_run(
    tables: Tables, publish_tables: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = publish_tables(replace(tables, frame_likes=tables.frame_likes.filter(split="test")))
    monkeypatch.chdir(tmp_path)
    train(["--model", "first_frame", "--snapshot", str(snapshot.path)])
    assert list(tmp_path.glob("data/runs/first_frame-toy-v0001-0-*/model.pt"))


@pytest.mark.parametrize(
    ("model", "unread"), [("first_frame", "epochs, n_negatives"), ("ease", "epochs, n_negatives"), ("bpr", None)]
)
def test_a_setting_without_effect_is_said(
    model: str,
    unread: str | None,
    tables: Tables,
    publish_tables: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = publish_tables(tables)
    monkeypatch.chdir(tmp_path)
    train(["--model", model, "--epochs", "1", "--set", "n_negatives=2", "--snapshot", str(snapshot.path)])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Without effect")]
    assert said == ([f"Without effect, as {model} is not trained on pairs: {unread}"] if unread else [])


@pytest.mark.parametrize("kept", ["all", "no likes", "no positions", "no features"])
def test_an_experiment_leaves_out_what_the_snapshot_cannot_rank(
    kept: str, tables: Tables, publish_tables: Publish, tmp_path: Path
) -> None:
    some = {
        "all": tables,
        "no likes": replace(tables, frame_likes=tables.frame_likes.clear()),
        "no positions": replace(tables, frames=tables.frames.with_columns(position=pl.lit(None, pl.UInt32))),
        "no features": replace(tables, frame_features=None),
    }[kept]
    models = ("first_frame", "ease", "site_order", "visrank", "most_liked", "mean_frame", "userknn")
    config = ExperimentConfig(models, (0,), TrainingConfig(epochs=1), jobs=1, threads=1)
    report = run_experiment(publish_tables(some), config, tmp_path / "experiment", tmp_path / "runs", None)
    metrics = read_table(tmp_path / "experiment" / "metrics.parquet", Metric).with_columns(
        pl.col("task").cast(pl.String)
    )
    ranked = {task: set(metrics.filter(task=task)["model"]) for task in ("item", "frame")}
    of_frames = {"first_frame", "site_order", "visrank", "most_liked", "mean_frame"}
    assert (
        ranked
        == {
            "all": {"item": {"ease", "userknn", "visrank"}, "frame": of_frames},
            "no likes": {"item": {"ease", "userknn", "visrank"}, "frame": set()},
            "no positions": {"item": {"ease", "userknn", "visrank"}, "frame": of_frames - {"site_order"}},
            "no features": {"item": {"ease", "userknn"}, "frame": of_frames - {"visrank", "mean_frame"}},
        }[kept]
    )
    recommended = read_table(tmp_path / "experiment" / "recommendations.parquet", Recommendation)
    assert recommended["user_id"].n_unique() == 30  # of EASE, the first that ranks movies
    page = report.read_text(encoding="utf-8")
    assert ("No model learns from frame likes" in page) == (kept == "no likes")
    assert ("most liked is given likes of train pairs" in page) == (kept != "no likes")


def test_an_experiment_says_which_models_it_leaves_out_and_why(
    tables: Tables, publish_tables: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = replace(tables, frame_features=None, frame_likes=tables.frame_likes.clear())
    folders = ["--to", str(tmp_path / "experiment"), "--runs", str(tmp_path / "runs")]
    models = "popular,first_frame,jifr,visrank,mean_frame"
    experiment(["--models", models, "--jobs", "1", "--snapshot", str(publish_tables(some).path), *folders])
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "Left out, as the snapshot has no test likes: first_frame",
        "Left out, as the snapshot has no frame features: jifr, visrank",
        "Left out, as the snapshot has no frame features and no test likes: mean_frame",
    ]


def test_an_experiment_of_rankers_of_frames_alone_recommends_nothing(
    tables: Tables, publish_tables: Publish, tmp_path: Path
) -> None:
    config = ExperimentConfig(("first_frame", "mean_frame"), (0,), TrainingConfig(epochs=1), jobs=1, threads=1)
    report = run_experiment(publish_tables(tables), config, tmp_path / "experiment", tmp_path / "runs", None)
    assert "first frame" in report.read_text(encoding="utf-8")
    assert read_table(tmp_path / "experiment" / "recommendations.parquet", Recommendation).is_empty()
