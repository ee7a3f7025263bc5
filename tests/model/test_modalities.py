"""A model reads the features of items, of several modalities; models that read none ignore them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import douban_keyframes as dk
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from dataset.__main__ import main as dataset_main
from dataset.errors import InvalidSnapshotError
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from features.__main__ import main as features_main
from model.data.tensors import TrainingData
from model.models.recommender import EmbeddingScorer, TrainableRecommender
from model.models.registry import MODELS, ModelKind
from model.train import main as train_main

ITEMS = [f"m{movie:02}" for movie in range(12)]
WITH_TEXT = [item for item in ITEMS if item != "m05"]
WIDTHS = {"text": 6, "audio": 4}


def given(ids: list[str], width: int) -> np.ndarray:
    return np.random.default_rng(width).standard_normal((len(ids), width)).astype(np.float32)


def give(folder: Path, ids: list[str], width: int, *options: str) -> None:
    np.save(folder / "v.npy", given(ids, width))
    (folder / "ids.txt").write_text("\n".join(ids))
    files = [str(folder / "v.npy"), "--ids", str(folder / "ids.txt"), "--dtype", "float32"]
    features_main(["import", *files, "--dataset", str(folder / "dataset"), *options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with features of frames."""
    folder = tmp_path_factory.mktemp("modalities")
    rated = np.random.default_rng(0).random((20, len(ITEMS))) < 0.7
    rows = [f"u{user},{ITEMS[item]}" for user, item in np.argwhere(rated)]
    (folder / "ratings.csv").write_text("\n".join(["user,item", *rows]))
    dataset_main(["import", str(folder / "ratings.csv"), "--to", str(folder / "raw")])
    dataset_main(["build", "--raw", str(folder / "raw"), "--to", str(folder / "dataset")])
    give(folder, ITEMS, 8)
    return folder


@pytest.fixture(scope="module")
def without(folder: Path) -> Snapshot:
    return publish(folder / "dataset", "mine", folder / "snapshots")[0]


@pytest.fixture(scope="module")
def with_two(folder: Path, without: Snapshot) -> Snapshot:
    """The same with texts, which one item lacks, and sounds."""
    give(folder, WITH_TEXT[::-1], WIDTHS["text"], "--modality", "text")
    give(folder, ITEMS, WIDTHS["audio"], "--modality", "audio")
    return publish(folder / "dataset", "mine", folder / "snapshots")[0]


@dataclass(frozen=True)
class ReaderConfig:
    """The modalities that the model of this test reads."""

    modalities: tuple[str, ...] = ("text", "audio")
    dim: int = 3


class Reader(TrainableRecommender):
    """A person's taste against the sum of projected modalities."""

    def __init__(self, config: ReaderConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs = {name: data.modalities[name] for name in config.modalities}
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * 0.1)
        self.projections = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(one.vectors.shape[1], config.dim, generator=generator) * 0.1)
                for name, one in self.inputs.items()
            }
        )

    def items(self) -> Tensor:
        parts = [one.vectors.float() @ self.projections[name] for name, one in self.inputs.items()]
        return torch.stack(parts).sum(0)

    def scorer(self) -> EmbeddingScorer:
        return EmbeddingScorer(self.users.detach(), self.items().detach())

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        items, taste = self.items(), self.users[users]
        difference = (taste * items[positives]).sum(1, keepdim=True) - (taste[:, None] * items[negatives]).sum(2)
        return -nn.functional.logsigmoid(difference).mean()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(MODELS, "reader", ModelKind(Reader, ReaderConfig()))
    return "reader"


def test_a_model_reads_several_modalities(with_two: Snapshot, reader: str) -> None:
    data = dk.load(with_two)
    assert set(data.training.modalities) == set(WIDTHS)
    text, audio = data.training.modalities["text"], data.training.modalities["audio"]
    assert (text.vectors.shape, text.vectors.dtype) == ((12, 6), torch.float32)
    assert text.is_known.tolist() == [item != "m05" for item in ITEMS]
    assert not text.vectors[5].any()
    known = text.vectors[text.is_known].numpy()
    assert known.tobytes() == given(WITH_TEXT[::-1], 6)[::-1].tobytes()
    assert audio.is_known.all()
    assert audio.vectors.numpy().tobytes() == given(ITEMS, 4).tobytes()
    run = dk.train(reader, data, settings={"epochs": 3})
    assert run.training["loss"].is_finite().all()
    assert run.training["loss"][-1] < run.training["loss"][0]
    assert dk.evaluate(run, data, "test").metrics.height


def test_a_run_of_such_a_model_is_opened_again(with_two: Snapshot, reader: str, tmp_path: Path) -> None:
    argv = ["--model", reader, "--snapshot", str(with_two.path), "--epochs", "1", "--runs", str(tmp_path)]
    train_main(argv)
    run, data = dk.open_run(tmp_path / "reader-mine-v0002-0")
    assert isinstance(run.model, Reader)
    assert dk.recommend(run, data, n=1).height == data.training.n_users


@pytest.mark.parametrize("model", ["jifr", "vbpr", "bpr"])
def test_models_that_read_no_modality_have_the_same_weights_with_and_without_them(
    with_two: Snapshot, without: Snapshot, model: str
) -> None:
    runs = [dk.train(model, dk.load(one), settings={"epochs": 2}) for one in (without, with_two)]
    weights = [run.model.state_dict() for run in runs]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_snapshot_without_modalities_has_none(without: Snapshot) -> None:
    assert dk.load(without).training.modalities == {}


def test_features_of_items_are_mapped_and_not_read_twice(with_two: Snapshot, tmp_path: Path) -> None:
    dk.load(with_two)
    cached = {path: path.stat().st_mtime_ns for path in (with_two.path.parent / ".cache").glob("*.npy")}
    assert len(cached) == 3
    dk.load(with_two)
    assert {path: path.stat().st_mtime_ns for path in cached} == cached


def test_changed_features_of_items_are_not_trained_on(with_two: Snapshot, tmp_path: Path) -> None:
    copied = dk.open_snapshot(shutil.copytree(with_two.path, tmp_path / "mine" / "v0002"))
    table = copied.path / "item_features-text.parquet"
    pl.read_parquet(table).reverse().write_parquet(table)
    with pytest.raises(InvalidSnapshotError, match="not the ones that were published"):
        dk.load(copied)
