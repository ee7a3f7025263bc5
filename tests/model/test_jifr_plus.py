"""JIFR+: its scores are those of a learnt JIFR plus EASE's, and its key frames are the learnt half's alone."""

from dataclasses import replace

import pytest
import torch

from dataset.errors import TrainingError, UsageError
from model.data import memory
from model.data.tables import Tables, index_ids
from model.data.tensors import TrainingData, training_data
from model.models.linear.ease import EASE, EASEConfig
from model.models.registry import default_config, make_model
from model.models.visual.jifr import JIFR
from model.models.visual.jifr_plus import JIFRPlus, JIFRPlusConfig
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

CONFIG = JIFRPlusConfig(linear_weight=7.0, linear_l2=30.0)


@pytest.fixture(scope="module")
def data(tables: Tables) -> TrainingData:
    return training_data(tables, index_ids(tables))


@pytest.fixture(scope="module")
def trained(data: TrainingData) -> JIFRPlus:
    training = TrainingConfig(epochs=3, batch_size=32, learning_rate=0.02)
    model = Trainer(data, None, "jifr_plus", CONFIG, training, 0).run().model
    assert isinstance(model, JIFRPlus)
    return model


def test_a_score_is_the_learnt_one_plus_the_weighted_one_of_ease(trained: JIFRPlus, data: TrainingData) -> None:
    users = torch.arange(data.n_users)
    ease = EASE(EASEConfig(30.0), data, torch.Generator())
    ease.fit(data)
    expected = trained.score(users, torch.arange(data.n_items).expand(len(users), -1))
    expected = expected + 7 * ease.scorer().item_scores(users)
    torch.testing.assert_close(trained.scorer().item_scores(users), expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_frame_has_the_score_of_the_learnt_half_alone(trained: JIFRPlus) -> None:
    users, frames = torch.tensor([0, 4, 9]), torch.tensor([1, 8, 30])
    expected = JIFR.scorer(trained).frame_scores(users, frames)
    assert torch.equal(trained.scorer().frame_scores(users, frames), expected)
    assert expected.unique().numel() == 3


def test_the_matrix_of_ease_is_no_part_of_a_checkpoint(trained: JIFRPlus, data: TrainingData) -> None:
    trained.scorer()
    assert (data.n_items, data.n_items) not in {tuple(weight.shape) for weight in trained.state_dict().values()}
    again = make_model("jifr_plus", CONFIG, data, 1)
    again.load_state_dict(trained.state_dict())
    users = torch.arange(data.n_users)
    assert torch.equal(again.scorer().item_scores(users), trained.scorer().item_scores(users))


def test_without_ease_it_needs_no_memory_for_it(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 100)
    with pytest.raises(TrainingError, match="its matrix of 24 × 24 items"):
        make_model("jifr_plus", CONFIG, data, 0)
    make_model("jifr_plus", replace(CONFIG, linear_weight=0.0), data, 0)


def test_rating_attention_is_refused(data: TrainingData) -> None:
    config = replace(default_config("jifr_plus"), rating_attention="att")
    with pytest.raises(UsageError, match="rating_attention is avg only; train jifr"):
        make_model("jifr_plus", config, data, 0)
