"""ItemKNN, UserKNN and RP³β against their equations over dense matrices, and how the strongest weights are chosen."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import sparse

from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models import sparse as sparse_module
from model.models.neighbours.itemknn import ItemKNN, ItemKNNConfig
from model.models.neighbours.rp3beta import RP3Beta, RP3BetaConfig
from model.models.neighbours.userknn import UserKNN, UserKNNConfig
from model.models.recommender import FittedRecommender
from model.models.sparse import strongest_products

N_USERS, N_ITEMS = 40, 25
GENERATOR = torch.Generator()


def data_of(x: np.ndarray) -> TrainingData:
    """Return the training data of a dense matrix of 0 and 1, without frames."""
    users, items = np.nonzero(x)
    offsets = torch.from_numpy(np.searchsorted(users, np.arange(len(x) + 1)))
    return TrainingData(
        JaggedTensor(offsets, torch.from_numpy(items)), x.shape[1], Frames(torch.zeros(x.shape[1] + 1).long(), None)
    )


def made() -> np.ndarray:
    """Return a random matrix in which one user and one item have no interaction."""
    x = (np.random.default_rng(5).random((N_USERS, N_ITEMS)) < 0.25).astype(float)
    x[7], x[:, 3] = 0, 0
    return x


def scores(model: FittedRecommender, data: TrainingData) -> np.ndarray:
    model.fit(data)
    return model.scorer().item_scores(torch.arange(data.n_users)).double().numpy()


def strongest(weights: np.ndarray, k: int) -> np.ndarray:
    """Keep the k largest entries of each row, equal ones from the left."""
    kept = np.zeros_like(weights)
    for row, values in enumerate(weights):
        best = np.argsort(-values, kind="stable")[:k]
        kept[row, best] = values[best]
    return kept


def cosines(columns: np.ndarray, shrink: float) -> np.ndarray:
    both = columns.T @ columns
    similar = both / (np.sqrt(np.outer(both.diagonal(), both.diagonal())) + shrink + 1e-300)
    np.fill_diagonal(similar, 0)
    return similar


def test_item_neighbours_by_hand() -> None:
    """Items 0 and 1 share two of their two and three users, 1 and 2 share one of three and one."""
    x = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0]], dtype=float)
    found = scores(ItemKNN(ItemKNNConfig(neighbours=2, shrink=0), data_of(x), GENERATOR), data_of(x))
    near, far = 2 / 6**0.5, 1 / 3**0.5
    assert found == pytest.approx(np.array([[near, near, far], [near, near, far], [near, far, far], [0, 0, 0]]))


@pytest.mark.parametrize("k", [1, 4, 99])
@pytest.mark.parametrize("shrink", [0.0, 7.5])
def test_item_neighbours_equal_the_dense_formula(k: int, shrink: float) -> None:
    x = made()
    expected = x @ strongest(cosines(x, shrink), k).T
    found = scores(ItemKNN(ItemKNNConfig(k, shrink), data_of(x), GENERATOR), data_of(x))
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k", [1, 4, 99])
@pytest.mark.parametrize("shrink", [0.0, 7.5])
def test_user_neighbours_equal_the_dense_formula(k: int, shrink: float) -> None:
    x = made()
    expected = strongest(cosines(x.T, shrink), k) @ x
    found = scores(UserKNN(UserKNNConfig(k, shrink), data_of(x), GENERATOR), data_of(x))
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("k", "alpha", "beta"), [(3, 1.0, 0.0), (99, 0.7, 0.4), (5, 1.6, 0.9)])
def test_random_walks_equal_the_dense_formula(k: int, alpha: float, beta: float) -> None:
    x = made()
    n_items, n_users = np.maximum(x.sum(0), 1), np.maximum(x.sum(1), 1)
    weights = (x.T / n_items[:, None] ** alpha) @ (x / n_users[:, None] ** alpha) / n_items**beta
    np.fill_diagonal(weights, 0)
    found = scores(RP3Beta(RP3BetaConfig(k, alpha, beta), data_of(x), GENERATOR), data_of(x))
    assert found == pytest.approx(x @ strongest(weights, k), abs=1e-5)


def test_a_walk_by_hand() -> None:
    """From item 0 (of user 0 alone) to one of the user's two items, which two users have."""
    x = np.array([[1, 1], [0, 1]], dtype=float)
    found = scores(RP3Beta(RP3BetaConfig(5, 1.0, 0.5), data_of(x), GENERATOR), data_of(x))
    assert found == pytest.approx(np.array([[1 / 4, 1 / 2 / 2**0.5], [1 / 4, 0]]))


@pytest.mark.parametrize("block", [1, 50, 1 << 24])
def test_blocks_do_not_change_the_weights(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_module, "_BLOCK_PRODUCTS", block)
    x = sparse.csr_array(made())
    weights = strongest_products(x.T.tocsr(), x, 4, lambda rows, columns, sums: sums)
    dense = (x.T @ x).toarray()
    np.fill_diagonal(dense, 0)
    assert np.array_equal(weights.toarray(), strongest(dense, 4))


@pytest.mark.parametrize("make", [ItemKNN, UserKNN, RP3Beta])
def test_weights_keep_their_sizes_when_they_are_loaded(make: Callable[..., FittedRecommender]) -> None:
    data = data_of(made())
    config = {ItemKNN: ItemKNNConfig(3), UserKNN: UserKNNConfig(3), RP3Beta: RP3BetaConfig(3)}[make]
    fitted, fresh = make(config, data, GENERATOR), make(config, data, GENERATOR)
    fitted.fit(data)
    fresh.load_state_dict(fitted.state_dict())
    users = torch.arange(N_USERS)
    assert torch.equal(fitted.scorer().item_scores(users), fresh.scorer().item_scores(users))
