"""EASE, SLIM and iALS against their equations, solved directly in float64, and EASE's refusal of too large a matrix."""

import numpy as np
import pytest
import torch

from dataset.errors import TrainingError
from model.data import memory
from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models.factors import ials
from model.models.factors.ials import IALS, IALSConfig
from model.models.linear import ease, slim
from model.models.linear.ease import EASE, EASEConfig
from model.models.linear.slim import SLIM, SLIMConfig

N_USERS, N_ITEMS = 60, 30
USERS = torch.arange(N_USERS)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def x() -> np.ndarray:
    """A random matrix in which one user and one item have no interaction."""
    x = (np.random.default_rng(6).random((N_USERS, N_ITEMS)) < 0.2).astype(float)
    x[4], x[:, 8] = 0, 0
    return x


@pytest.fixture
def data(x: np.ndarray) -> TrainingData:
    users, items = np.nonzero(x)
    offsets = torch.from_numpy(np.searchsorted(users, np.arange(N_USERS + 1)))
    frames = Frames(torch.zeros(N_ITEMS + 1, dtype=torch.int64), None)
    return TrainingData(JaggedTensor(offsets, torch.from_numpy(items)), N_ITEMS, frames)


@pytest.mark.parametrize("l2", [0.5, 20.0, 500.0])
@pytest.mark.parametrize("block", [1, 1 << 24])
def test_ease_equals_the_closed_form(
    l2: float, block: int, x: np.ndarray, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "_BLOCK_NUMBERS", block)
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(N_ITEMS))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    model = EASE(EASEConfig(l2), data, _generator())
    loss = model.fit(data)
    assert model.weights.numpy() == pytest.approx(weights, abs=1e-5)
    assert model.scorer().item_scores(USERS).numpy() == pytest.approx(x @ weights, abs=1e-5)
    assert loss * x.sum() == pytest.approx(((x - x @ weights) ** 2).sum() + l2 * (weights**2).sum(), rel=1e-3)


def test_ease_by_hand() -> None:
    """Two items that two of three users share: P is (G + I)⁻¹ for G = (2 2; 2 3), so B_01 = 2 / 3 and B_10 = 2 / 4."""
    positives = JaggedTensor(torch.tensor([0, 2, 4, 5]), torch.tensor([0, 1, 0, 1, 1]))
    data = TrainingData(positives, 2, Frames(torch.zeros(3, dtype=torch.int64), None))
    model = EASE(EASEConfig(1.0), data, _generator())
    model.fit(data)
    assert model.weights.numpy() == pytest.approx(np.array([[0, 2 / 3], [2 / 4, 0]]), abs=1e-6)


def test_ease_inverts_in_the_memory_of_its_matrix(data: TrainingData) -> None:
    gram = ease.gram_matrix(data, 5.0, torch.device("cpu"))
    place, expected = gram.data_ptr(), torch.linalg.inv(gram.double())
    inverse = ease.inverted_(gram)
    assert (inverse.data_ptr(), inverse.is_contiguous()) == (place, True)
    torch.testing.assert_close(inverse.double(), expected, atol=1e-6, rtol=1e-4)


def test_ease_refuses_a_penalty_that_leaves_the_matrix_singular(data: TrainingData) -> None:
    with pytest.raises(TrainingError, match="singular in float32; raise l2"):
        EASE(EASEConfig(0.0), data, _generator()).fit(data)


@pytest.mark.parametrize("n_items", [30_000, 3_000_000])
def test_ease_refuses_a_catalogue_that_does_not_fit_before_it_takes_memory(
    n_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 3 << 30)
    positives = JaggedTensor(torch.tensor([0, 1]), torch.tensor([0]))
    data = TrainingData(positives, n_items, Frames(torch.zeros(n_items + 1, dtype=torch.int64), None))
    with pytest.raises(
        TrainingError, match=r"^ease: its matrix of 3.* needs about .* and 3\.0 GiB are left; train slim"
    ):
        EASE(EASEConfig(), data, _generator())


def _slim_objective(x: np.ndarray, weights: np.ndarray, config: SLIMConfig) -> np.ndarray:
    return ((x - x @ weights) ** 2).sum(0) / 2 + config.l2 * (weights**2).sum(0) / 2 + config.l1 * weights.sum(0)


def _dense(model: SLIM) -> np.ndarray:
    weights = np.zeros((N_ITEMS, N_ITEMS))
    offsets, columns, values = model.learnt.offsets, model.learnt.columns, model.learnt.values
    weights[torch.repeat_interleave(offsets.diff()).numpy(), columns.numpy()] = values.numpy()
    return weights


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.3, 2.0), (2.0, 0.0)])
def test_slim_satisfies_the_conditions_of_its_optimum(l1: float, l2: float, x: np.ndarray, data: TrainingData) -> None:
    """With all items as candidates: the gradient is 0 where a weight is positive, and not negative where it is 0."""
    config = SLIMConfig(l1, l2, neighbours=N_ITEMS)
    model = SLIM(config, data, _generator())
    loss = model.fit(data)
    weights = _dense(model)
    gradient = x.T @ (x @ weights - x) + l2 * weights + l1
    np.fill_diagonal(gradient, 0)
    assert (weights >= 0).all()
    assert not weights.diagonal().any()
    assert np.abs(gradient[weights > 0]).max() < 0.02
    assert gradient[weights == 0].min() > -0.02
    assert loss * x.sum() == pytest.approx(_slim_objective(x, weights, config).sum(), rel=1e-4)
    assert model.scorer().item_scores(USERS).numpy() == pytest.approx(x @ weights, abs=1e-5)


@pytest.mark.parametrize("block", [1, 1 << 23])
def test_slim_gives_weights_to_the_nearest_items_alone(
    block: int, x: np.ndarray, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slim, "_BLOCK_NUMBERS", block)
    both = x.T @ x
    cosine = both / np.sqrt(np.maximum(np.outer(both.diagonal(), both.diagonal()), 1))
    np.fill_diagonal(cosine, 0)
    model = SLIM(SLIMConfig(l1=0.1, l2=1.0, neighbours=3), data, _generator())
    model.fit(data)
    weights = _dense(model)
    for item in range(N_ITEMS):
        nearest = np.argsort(-cosine[:, item], kind="stable")[:3]
        assert set(np.flatnonzero(weights[:, item])) <= set(nearest)
    assert (weights > 0).sum() > N_ITEMS


@pytest.mark.parametrize("block", [1, 500, 1 << 22])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_sweep_of_ials_solves_every_user_and_then_every_item(
    block: int, exponent: float, x: np.ndarray, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ials, "_BLOCK_NUMBERS", block)
    config = IALSConfig(dim=5, unobserved_weight=0.3, l2=0.15, frequency_exponent=exponent)
    strength = 0.15 * x.sum() / N_USERS / (0.3 * N_ITEMS)
    model = IALS(config, data, _generator()).double()
    items = model.items.numpy().copy()

    def solved(fixed: np.ndarray, rows: np.ndarray) -> np.ndarray:
        everywhere = config.unobserved_weight * fixed.T @ fixed
        penalties = strength * (rows.sum(1) + config.unobserved_weight * len(fixed)) ** exponent
        return np.stack(
            [
                np.linalg.solve((fixed * row[:, None]).T @ fixed + everywhere + penalty * np.eye(5), fixed.T @ row)
                for row, penalty in zip(rows, penalties, strict=True)
            ]
        )

    losses = [model.fit(data)]
    users = solved(items, x)
    items = solved(users, x.T)
    assert model.users.numpy() == pytest.approx(users, abs=1e-9)
    assert model.items.numpy() == pytest.approx(items, abs=1e-9)
    predicted = users @ items.T
    loss = ((1 - predicted) ** 2 * x).sum() + config.unobserved_weight * (predicted**2).sum()
    for table, rows in ((users, x), (items, x.T)):
        weights = (rows.sum(1) + config.unobserved_weight * rows.shape[1]) ** exponent
        loss += strength * (weights * (table**2).sum(1)).sum()
    assert losses[0] * x.sum() == pytest.approx(loss, rel=1e-9)
    losses += [model.fit(data) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)  # a step never makes it worse
