"""SVD++ and NAIS against their equations, and the matrix of histories that NAIS reads."""

import math

import pytest
import torch
from torch import Tensor

from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models.factors.nais import NAIS, NAISConfig
from model.models.factors.svdpp import SVDPP, SVDPPConfig
from model.models.history import padded

N_ITEMS = 5
HISTORIES = [[0, 1, 3], [2], []]
USERS, POSITIVES = torch.tensor([0, 1, 0]), torch.tensor([1, 2, 3])
NEGATIVES = torch.tensor([[2, 4], [0, 4], [4, 4]])


def _data() -> TrainingData:
    positives = JaggedTensor(torch.tensor([0, 3, 4, 4]), torch.tensor([0, 1, 3, 2]))
    return TrainingData(positives, N_ITEMS, Frames(torch.zeros(N_ITEMS + 1, dtype=torch.int64), None))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _bpr(score: list[list[float]]) -> float:
    pairs = [one[0] - other for one in score for other in one[1:]]
    return sum(math.log1p(math.exp(-apart)) for apart in pairs) / len(pairs)


def _square(*vectors: Tensor) -> float:
    return sum((vector**2).sum().item() for vector in vectors)


def _svdpp(**settings: float) -> SVDPP:
    return SVDPP(SVDPPConfig(dim=3, init_std=0.7, **settings), _data(), _generator()).double()


def _svdpp_score(model: SVDPP, user: int, item: int, history: list[int]) -> float:
    profile = model.users[user].clone()
    for watched in history:
        profile = profile + model.watched[watched] / math.sqrt(len(history))
    return (model.items[item, :3] @ profile + model.items[item, 3]).item()


def test_svdpp_by_hand() -> None:
    """u = 1, v = 2 and b = 0.5; the history's y are 3 and 5: 0.5 + 2 (1 + (3 + 5) / √2)."""
    data = TrainingData(
        JaggedTensor(torch.tensor([0, 2, 2]), torch.tensor([0, 1])), 3, Frames(torch.zeros(4, dtype=torch.int64), None)
    )
    model = SVDPP(SVDPPConfig(dim=1), data, _generator())
    with torch.no_grad():
        model.users.copy_(torch.tensor([[1.0], [1.0]]))
        model.items.copy_(torch.tensor([[0.0, 0], [0, 0], [2, 0.5]]))
        model.watched.copy_(torch.tensor([[3.0], [5.0], [7.0]]))
    scores = model.scorer().item_scores(torch.tensor([0, 1]))[:, 2].tolist()
    assert scores == pytest.approx([0.5 + 2 * (1 + 8 / math.sqrt(2)), 2.5], abs=1e-5)


def test_svdpp_scores_equal_the_equation() -> None:
    model = _svdpp()
    with torch.no_grad():
        model.items[:, 3] = torch.arange(N_ITEMS)
    found = model.scorer().item_scores(torch.arange(3))
    for user, history in enumerate(HISTORIES):
        expected = [_svdpp_score(model, user, item, history) for item in range(N_ITEMS)]
        assert found[user].tolist() == pytest.approx(expected, abs=1e-10)


def test_svdpp_leaves_the_positive_out_of_its_own_history_and_penalises_the_rest() -> None:
    model = _svdpp(l2=0.1, history_l2=0.3)
    scores, penalty, of_history = [], 0.0, 0.0
    for user, positive, negatives in zip(USERS.tolist(), POSITIVES.tolist(), NEGATIVES.tolist(), strict=True):
        others = [item for item in HISTORIES[user] if item != positive]
        scores.append([_svdpp_score(model, user, item, others) for item in (positive, *negatives)])
        penalty += _square(model.users[user], model.items[positive]) / 3
        penalty += _square(*(model.items[item] for item in negatives)) / 6
        of_history += _square(*(model.watched[item] for item in others)) / max(1, len(others)) / 3
    expected = _bpr(scores) + 0.1 * penalty + 0.3 * of_history
    assert model.loss(USERS, POSITIVES, NEGATIVES).item() == pytest.approx(expected, abs=1e-10)


def _nais(**settings: float) -> NAIS:
    return NAIS(NAISConfig(dim=3, attention_width=4, init_std=0.7, **settings), _data(), _generator()).double()


def _nais_score(model: NAIS, item: int, history: list[int]) -> float:
    p, smoothing = model.items[item, :3], model.config.smoothing
    logits = []
    for watched in history:
        hidden = model.attention @ (p * model.watched[watched]) + model.bias
        logits.append((model.logit @ hidden.clamp_min(0)).item())
    total = sum(math.exp(one) for one in logits) ** smoothing
    weights = [math.exp(one) / total for one in logits]
    pairs = zip(weights, history, strict=True)
    return model.items[item, 3].item() + sum(weight * (p @ model.watched[one]).item() for weight, one in pairs)


def test_nais_by_hand() -> None:
    """p = 2; q = 1 and 3; W = h = 1 and β = 1/2: f = 2 and 6, so α = e^f / √(e² + e⁶)."""
    data = TrainingData(
        JaggedTensor(torch.tensor([0, 2]), torch.tensor([0, 1])), 3, Frames(torch.zeros(4).long(), None)
    )
    model = NAIS(NAISConfig(dim=1, attention_width=1), data, _generator())
    with torch.no_grad():
        model.items.copy_(torch.tensor([[0.0, 0], [0, 0], [2, 0.5]]))
        model.watched.copy_(torch.tensor([[1.0], [3.0], [9.0]]))
        model.attention.fill_(1)
        model.logit.fill_(1)
    root = math.sqrt(math.exp(2) + math.exp(6))
    expected = 0.5 + 2 * (math.exp(2) * 1 + math.exp(6) * 3) / root
    assert model.scorer().item_scores(torch.tensor([0]))[0, 2].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.5, 1.0])
@pytest.mark.parametrize("block", [1, 1 << 24])
def test_nais_scores_equal_the_equation(smoothing: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.models.factors.nais._BLOCK_NUMBERS", block)
    model = _nais(smoothing=smoothing)
    with torch.no_grad():
        model.bias.fill_(0.2)
        model.items[:, 3] = torch.arange(N_ITEMS)
    found = model.scorer().item_scores(torch.arange(3))
    for user, history in enumerate(HISTORIES):
        expected = [_nais_score(model, item, history) for item in range(N_ITEMS)]
        assert found[user].tolist() == pytest.approx(expected, abs=1e-10)


def test_nais_leaves_the_positive_out_of_the_history_of_a_pair_and_penalises_the_rest() -> None:
    model = _nais(l2=0.1, attention_l2=0.2)
    scores, penalty = [], 0.2 * _square(model.attention, model.logit)
    for user, positive, negatives in zip(USERS.tolist(), POSITIVES.tolist(), NEGATIVES.tolist(), strict=True):
        others = [item for item in HISTORIES[user] if item != positive]
        scores.append([_nais_score(model, item, others) for item in (positive, *negatives)])
        penalty += 0.1 * _square(model.items[positive]) / 3
        penalty += 0.1 * _square(*(model.items[item] for item in negatives)) / 6
        penalty += 0.1 * _square(*(model.watched[item] for item in others)) / max(1, len(others)) / 3
    expected = _bpr(scores) + penalty
    assert model.loss(USERS, POSITIVES, NEGATIVES).item() == pytest.approx(expected, abs=1e-10)


def test_histories_are_padded_to_the_longest() -> None:
    assert padded(_data().positives, 9).tolist() == [[0, 1, 3], [2, 9, 9], [9, 9, 9]]
    assert padded(JaggedTensor(torch.zeros(3).long(), torch.zeros(0).long()), 9).tolist() == [[9], [9]]
