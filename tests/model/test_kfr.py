"""KFR, which learns from the likes of train pairs: its equations, its data, and its refusals through the commands."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dataset.errors import MissingInputError, TooLittleDataError
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from model.data.jagged import JaggedTensor
from model.data.tables import Tables, index_ids
from model.data.tensors import Frames, TrainingData, TrainLikes, training_data
from model.experiment import app as experiment
from model.models.frames.kfr import KFR, KFRConfig, unliked_frames
from model.models.registry import default_config, make_model
from model.report.page import write_report
from model.schema import Metric
from model.train import app as train
from model.tune import app as tune

OFFSETS = torch.tensor([0, 3, 3, 5])  # frames 0, 1 and 2 of item 0; 3 and 4 of item 2
LIKES = TrainLikes(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([1, 3, 1, 3, 4]))


def _model(likes: TrainLikes | None = LIKES, **settings: float) -> KFR:
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    positives = JaggedTensor(torch.tensor([0, 2, 3, 4, 4]), torch.tensor([0, 2, 0, 2]))
    data = TrainingData(positives, 3, Frames(OFFSETS, features), likes=likes)
    config = KFRConfig(dim=2, feature_scaling="none", **settings)
    return KFR(config, data, torch.Generator().manual_seed(0)).double()


def _score(model: KFR, user: int, frame: int, n_likes: int) -> float:
    c = model.features.features[frame].double() * model.features.inverse_scale.double()
    taste = model.shared + model.users[user]
    return (model.share * math.log1p(n_likes) + taste @ (model.projection @ c)).item()


def test_kfr_scores_equal_the_equation() -> None:
    model = _model()
    with torch.no_grad():
        model.users.copy_(torch.randn(4, 2, generator=torch.Generator().manual_seed(2)))
        model.share.fill_(0.7)
    found = model.scorer().frame_scores(torch.tensor([0, 1, 3, 2]), torch.tensor([1, 4, 0, 3]))
    expected = [_score(model, 0, 1, 2), _score(model, 1, 4, 1), _score(model, 3, 0, 0), _score(model, 2, 3, 2)]
    assert found.tolist() == pytest.approx(expected, abs=1e-10)


def test_kfr_does_not_count_a_like_as_its_own_evidence() -> None:
    model = _model(l2=0.1, projection_l2=0.2)
    with torch.no_grad():
        model.users.copy_(torch.randn(4, 2, generator=torch.Generator().manual_seed(2)))
    found = model.loss(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([[0, 2], [2, 0]]))
    margins = [
        _score(model, user, 1, 1) - _score(model, user, other, 0) for user, other in ((0, 0), (0, 2), (1, 2), (1, 0))
    ]
    expected = sum(math.log1p(math.exp(-margin)) for margin in margins) / 4
    expected += 0.1 * model.users[:2].square().sum().item() / 2
    expected += 0.2 * (model.projection.square().sum() + model.shared.square().sum()).item()
    assert found.item() == pytest.approx(expected, abs=1e-10)


def test_a_like_is_compared_with_the_frames_of_its_item_that_the_user_does_not_like() -> None:
    likes, others = unliked_frames(LIKES, OFFSETS)
    assert likes.users.tolist() == [0, 0, 1]  # user 2 likes all frames of item 2
    assert likes.frames.tolist() == [1, 3, 1]
    assert others.offsets.tolist() == [0, 2, 3, 5]
    assert others.values.tolist() == [0, 2, 4, 0, 2]


def test_likes_of_all_frames_of_their_items_are_refused() -> None:
    all_liked = TrainLikes(torch.tensor([2, 2]), torch.tensor([3, 4]))
    with pytest.raises(TooLittleDataError, match="2 likes of train pairs, and none whose user leaves a frame"):
        unliked_frames(all_liked, OFFSETS)


def test_a_user_without_a_like_has_the_taste_that_all_share(tables: Tables) -> None:
    few = replace(tables, frame_likes_train=tables.frame_likes_train.filter(user_id="u00"))
    data = training_data(few, index_ids(few))
    model = make_model("kfr", default_config("kfr"), data, 0)
    assert isinstance(model, KFR)
    model.fit(data)
    assert model.users[0].abs().max() > 0
    assert model.users[1:].abs().max() == 0


@pytest.mark.parametrize("missing", ["likes", "features"])
def test_kfr_says_what_the_snapshot_lacks(missing: str, tables: Tables) -> None:
    some = replace(tables, **{"likes": {"frame_likes_train": None}, "features": {"frame_features": None}}[missing])
    words = {"likes": "no frame_likes_train, the likes of train pairs; publish .* --train-likes", "features": "extract"}
    with pytest.raises(MissingInputError, match=words[missing]):
        make_model("kfr", default_config("kfr"), training_data(some, index_ids(some)), 0)


def test_commands_train_kfr_only_on_a_snapshot_with_likes_of_train_pairs(
    tables: Tables,
    publish_tables: Callable[..., Snapshot],
    run_command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, asked = publish_tables(tables), publish_tables(tables, train_likes=True)
    status, _, told = run_command(train, "--model", "kfr", "--snapshot", str(plain.path))
    assert (status, told.count("\n")) == (1, 1)
    assert "publish --train-likes" in told
    status, told, _ = run_command(train, "--model", "kfr", "--set", "passes=2", "--snapshot", str(asked.path))
    assert status == 0
    assert "An upper bound: it learns from who liked which frame" in told
    status, _, told = run_command(tune, "--model", "kfr", "--snapshot", str(asked.path))
    assert status == 2
    assert "'kfr' ranks no items, and a search compares how items are ranked" in told


def test_an_experiment_marks_upper_bounds_and_never_calls_them_the_best(
    tables: Tables,
    publish_tables: Callable[..., Snapshot],
    run_command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot = publish_tables(tables, train_likes=True)
    models = "first_frame,random,kfr,most_liked_upper_bound"
    folders = ["--to", "experiment", "--runs", "runs"]
    status, _, _ = run_command(
        experiment, "--models", models, "--jobs", "1", "--snapshot", str(snapshot.path), *folders
    )
    assert status == 0
    metrics = read_table(tmp_path / "experiment" / "metrics.parquet", Metric)
    assert set(metrics.filter(task="frame")["model"]) == set(models.split(","))
    assert "kfr" not in set(metrics.filter(task="item")["model"])
    page = (tmp_path / "experiment" / "report.html").read_text(encoding="utf-8")
    assert "KFR (upper bound)" in page
    assert "most liked on the site (upper bound)" in page
    assert "KFR (upper bound) is given likes of train pairs" in page
    best = page.partition('id="short"')[2].partition("</section>")[0]
    assert "upper bound" not in best
    above = pl.when(pl.col("model") == "kfr").then(1.0).otherwise(pl.col("value") / 2)
    metrics.with_columns(value=above).write_parquet(tmp_path / "experiment" / "metrics.parquet")
    page = write_report(tmp_path / "experiment", snapshot, None).read_text(encoding="utf-8")
    bold = re.findall(r'<tr class="strong"><th scope="row">([^<]*)', page)
    assert len(bold) == 2
    assert not any("upper bound" in title for title in bold)
