"""People's own pictures of held-out pairs: hidden from training and from the scores of items, ranked on test."""

from dataclasses import replace
from pathlib import Path

import douban_keyframes as dk
import numpy as np
import polars as pl
import pytest
import torch

from model.data.arms import without_held_out
from model.data.loading import SnapshotData
from model.data.tables import Tables
from model.evaluation.config import EvaluationConfig
from model.models.registry import MODELS

WIDTH = 16
FRAME_RANKERS = ["jifr", "jifr_plus", "cdl", "visrank", "freedom", "bm3"]


def posted(tables: Tables, shift: float = 0.0) -> Tables:
    """Say that the first frame of every fourth movie was posted by people whose pair is held out, and change it."""
    is_own = pl.col("frame_id").str.contains("^m(00|04|08|12|16|20)f0$")
    frames = tables.frames.with_columns(is_held_out=is_own)
    features = tables.frame_features
    assert features is not None
    other = shift * np.random.default_rng(0).standard_normal((features.height, WIDTH))
    moved = np.where(features.select(is_own).to_numpy(), other, features["feature"].to_numpy())
    vectors = pl.Series(moved.astype("float16"), dtype=features.schema["feature"])
    return replace(tables, frames=frames, frame_features=features.with_columns(feature=vectors))


@pytest.fixture(scope="module")
def two(publish_below, tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> list[SnapshotData]:
    """Data that differ only in the pictures that people posted of held-out pairs."""
    folder = tmp_path_factory.mktemp("posted")
    return [dk.load(publish_below(folder / str(shift), posted(tables, shift))) for shift in (0.0, 7.0)]


def test_nothing_that_trains_depends_on_the_hidden_pictures(two: list[SnapshotData]) -> None:
    one, other = (data.training.frames.features for data in two)
    assert torch.equal(one, other)
    assert not torch.equal(two[0].shown_features, two[1].shown_features)


@pytest.mark.parametrize("model", FRAME_RANKERS)
def test_items_are_scored_without_the_hidden_pictures_and_frames_with_them(two, model: str) -> None:
    settings = {"epochs": 1} if MODELS[model].model_class.user_parameters else {}
    found = [
        dk.evaluate(dk.train(model, data, settings=settings), data, "test", EvaluationConfig(frame_ks=(1, 2)))
        for data in two
    ]
    items, frames = (
        [one.user_metrics.filter(pl.col("task").cast(pl.String) == task)["value"] for one in found]
        for task in ("item", "frame")
    )
    assert items[0].equals(items[1])
    assert not frames[0].equals(frames[1])


def test_a_hidden_picture_is_replaced_by_the_mean_of_its_movie_s_others_or_of_all(tmp_path: Path) -> None:
    features = torch.tensor([[1.0], [5.0], [100.0], [9.0], [200.0]])
    offsets, hidden = torch.tensor([0, 3, 4, 4, 5]), torch.tensor([False, False, True, False, True])
    assert without_held_out(features, offsets, hidden, tmp_path).flatten().tolist() == [1, 5, 3, 9, 5]


def test_without_posted_pictures_frames_are_ranked_as_they_were_trained(snapshots: Path) -> None:
    assert dk.load(dk.open_snapshot(snapshots)).shown_features is None
