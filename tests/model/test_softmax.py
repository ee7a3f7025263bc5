"""The softmax loss: what it is, that a sample agrees with it, and that every model that learns from pairs has it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, training_data
from model.models import softmax
from model.models.recommender import TrainableRecommender
from model.models.registry import MODELS, default_config, make_model
from model.models.softmax import candidates, softmax_loss, softmax_loss_of_pairs
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

LEARNING = [name for name, kind in MODELS.items() if issubclass(kind.model_class, TrainableRecommender)]
WITH_SOFTMAX = [name for name in LEARNING if hasattr(default_config(name), "loss")]
N_ITEMS, N_USERS, DIM = 40, 7, 5


def _vectors() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, DIM, generator=generator, dtype=torch.float64) for n in (N_USERS, N_ITEMS))
    return users, items, torch.tensor([0, 3, 3, 39, 7, 8, 8])


def _loss_and_gradients(users: Tensor, items: Tensor, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return (loss.detach(), *torch.autograd.grad(loss, (users, items)))


def _full(users: Tensor, items: Tensor, positives: Tensor) -> tuple[Tensor, ...]:
    users, items = users.clone().requires_grad_(), items.clone().requires_grad_()
    return _loss_and_gradients(users, items, cross_entropy(users @ items.T, positives))


def _sampled(users: Tensor, items: Tensor, positives: Tensor, drawn: Tensor) -> tuple[Tensor, ...]:
    users, items = users.clone().requires_grad_(), items.clone().requires_grad_()
    among = candidates(positives, drawn, len(items), is_sampled=True)
    return _loss_and_gradients(users, items, softmax_loss(users, among.items.taken_from(items), among))


@pytest.mark.parametrize("block_numbers", [1, 3 * N_ITEMS, 1 << 22])
def test_a_softmax_over_all_items_is_the_cross_entropy_in_any_blocks(
    block_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "_BLOCK_NUMBERS", block_numbers)
    users, items, positives = _vectors()
    users.requires_grad_(), items.requires_grad_()
    among = candidates(positives, positives[:, None], N_ITEMS, is_sampled=False)
    found = _loss_and_gradients(users, items, 3 * softmax_loss(users, items, among))
    for value, expected in zip(found, _full(users.detach(), items.detach(), positives), strict=True):
        torch.testing.assert_close(value, 3 * expected)


@pytest.mark.parametrize("block_numbers", [1, 1 << 22])
def test_a_sample_that_has_each_item_once_is_the_softmax_over_all(
    block_numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "_BLOCK_NUMBERS", block_numbers)
    users, items, positives = _vectors()
    found = _sampled(users, items, positives, torch.arange(N_ITEMS))
    for value, expected in zip(found, _full(users, items, positives), strict=True):
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("n_drawn", [16, 256])
def test_sampled_softmaxes_are_the_full_one_within_their_noise(n_drawn: int) -> None:
    """The expectation of Z is exact, so that of ln Z is too low by about Var Z / 2 Z²: less with a larger sample."""
    users, items, positives = _vectors()
    users = users / 2
    generator = torch.Generator().manual_seed(1)
    draws = [torch.randint(N_ITEMS, (n_drawn,), generator=generator) for _ in range(400)]
    samples = [_sampled(users, items, positives, drawn) for drawn in draws]
    for found, expected in zip(zip(*samples, strict=True), _full(users, items, positives), strict=True):
        stacked = torch.stack(found)
        error = stacked.std(0) / len(draws) ** 0.5
        bias = 2 * stacked.var(0).sqrt() / n_drawn**0.5
        assert ((stacked.mean(0) - expected).abs() <= 5 * error + bias + 1e-12).all()


def test_without_the_correction_the_loss_would_be_that_of_a_small_catalogue() -> None:
    users, items, positives = torch.zeros(N_USERS, DIM), torch.zeros(N_ITEMS, DIM), torch.zeros(N_USERS).long()
    loss, *_ = _sampled(users, items, positives, torch.tensor([1, 2, 3, 0, 0]))
    assert loss == pytest.approx(torch.tensor(float(N_ITEMS)).log())


@pytest.mark.parametrize("drawn", [[0], [0, 0, 0]])
def test_a_sample_of_nothing_but_the_positive_teaches_nothing(drawn: list[int]) -> None:
    users, items, positives = _vectors()
    for values in _sampled(users[:1], items, positives[:1], torch.tensor(drawn)):
        assert values.eq(0).all()
    scores = torch.tensor([[1.0, *([1.0] * len(drawn))]], requires_grad=True)
    loss = softmax_loss_of_pairs(scores, positives[:1], torch.tensor([drawn]), N_ITEMS)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0
    assert gradient.eq(0).all()


def test_a_sample_of_pairs_has_the_same_loss_as_a_shared_one() -> None:
    users, items, positives = _vectors()
    drawn = torch.tensor([4, 0, 3, 17, 4])
    negatives = drawn.expand(N_USERS, -1)
    scores = torch.einsum("bd,bnd->bn", users, items[torch.cat([positives[:, None], negatives], 1)])
    loss = softmax_loss_of_pairs(scores, positives, negatives, N_ITEMS)
    torch.testing.assert_close(loss, _sampled(users, items, positives, drawn)[0])


@pytest.mark.parametrize("n_candidates", [1 << 10, 8], ids=["all items", "a sample"])
@pytest.mark.parametrize("name", WITH_SOFTMAX)
def test_every_model_that_learns_from_pairs_learns_with_a_softmax(name: str, n_candidates: int, tables: Tables) -> None:
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    config = replace(default_config(name), loss="softmax")
    training = TrainingConfig(epochs=8, batch_size=8, learning_rate=0.02, n_candidates=n_candidates)
    trainer = Trainer(data, validation, name, config, training, seed=0)
    untrained = make_model(name, config, data, 0)
    epochs = trainer.run().epochs
    assert epochs[-1].loss < epochs[0].loss
    assert trainer.model.is_sampled == (n_candidates == 8 or trainer.model.scores_pairs)  # type: ignore[union-attr]
    assert any(not torch.equal(a, b) for a, b in zip(untrained.parameters(), trainer.model.parameters(), strict=True))
