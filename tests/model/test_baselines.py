"""ACF, BPR, VPOI and CDL against their equations, number by number, in float64."""

import math

import pytest
import torch
from torch import Tensor

from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models.factors.bpr import BPR, BPRConfig
from model.models.history import bounded
from model.models.visual.acf import ACF, ACFConfig
from model.models.visual.cdl import CDL, CDLConfig
from model.models.visual.vpoi import VPOI, VPOIConfig

FRAMES_OF_ITEM = [[0, 1, 2], [], [3], [4, 5, 6, 7]]
HISTORY = [[0, 1, 3], [2], []]
WIDTH, DIM = 6, 4
BATCH = (torch.tensor([0, 1, 0]), torch.tensor([3, 2, 1]), torch.tensor([[2, 2], [0, 1], [2, 2]]))


def _data() -> TrainingData:
    features = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(7)).half()
    positives = JaggedTensor(torch.tensor([0, 3, 4, 4]), torch.tensor([0, 1, 3, 2]))
    return TrainingData(positives, len(FRAMES_OF_ITEM), Frames(torch.tensor([0, 3, 3, 4, 8]), features))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _features(model: ACF | CDL | VPOI) -> Tensor:
    scaled = model.features
    return (scaled.features.double() - scaled.shift) * scaled.inverse_scale


def _bpr(differences: list[float]) -> float:
    return sum(math.log1p(math.exp(-difference)) for difference in differences) / len(differences)


def _squares(*vectors: Tensor) -> float:
    return sum(vector.square().sum().item() for vector in vectors)


def _acf_profile(acf: ACF, user: int, history: list[int]) -> Tensor:
    """u_a + Σ α_al p_l, one item and one frame at a time."""
    c, h = _features(acf), acf.config.attention_width
    of_looks, of_frame = acf.projection[:h], acf.projection[h:]
    of_user, of_item, of_watched = acf.item_attention
    u, logits = acf.users[user], []
    for item in history:
        frames = FRAMES_OF_ITEM[item]
        scores = [
            acf.frame_logit @ (acf.frame_attention @ u + of_frame @ c[k] + acf.frame_bias).clamp_min(0) for k in frames
        ]
        beta = torch.softmax(torch.stack(scores), 0) if frames else []
        looks = sum((b * c[k] for b, k in zip(beta, frames, strict=True)), torch.zeros(WIDTH).double())
        inputs = of_user @ u + of_item @ acf.items[item] + of_watched @ acf.watched[item] + of_looks @ looks
        logits.append(acf.item_logit @ (inputs + acf.item_bias).clamp_min(0))
    alpha = torch.softmax(torch.stack(logits), 0) if history else []
    return u + sum((a * acf.watched[item] for a, item in zip(alpha, history, strict=True)), torch.zeros(DIM).double())


def _acf() -> ACF:
    acf = ACF(ACFConfig(DIM, 5, init_std=1.0, projection_std=1.0), _data(), _generator()).double()
    with torch.no_grad():
        acf.item_bias.normal_(generator=_generator())
        acf.frame_bias.normal_(generator=_generator())
    return acf


def test_acf_scores_equal_the_equations() -> None:
    acf = _acf()
    scores = acf.scorer().item_scores(torch.arange(3))
    for user, history in enumerate(HISTORY):
        expected = acf.items @ _acf_profile(acf, user, history)
        torch.testing.assert_close(scores[user], expected, rtol=0, atol=1e-10)


def test_acf_leaves_a_positive_out_of_the_history_that_predicts_it() -> None:
    acf = _acf()
    without = acf.loss(*BATCH).item() - _acf_penalty(acf)
    differences = []
    for user, positive, negatives in zip(*(part.tolist() for part in BATCH), strict=True):
        profile = _acf_profile(acf, user, [item for item in HISTORY[user] if item != positive])
        differences += [(profile @ (acf.items[positive] - acf.items[negative])).item() for negative in negatives]
    assert without == pytest.approx(_bpr(differences), abs=1e-10)


def test_acf_trains_a_user_whose_whole_history_is_the_positive() -> None:
    acf = _acf()
    profile = acf.users[1]
    loss = acf.loss(torch.tensor([1]), torch.tensor([2]), torch.tensor([[0]]))
    plain = loss.item() - _acf_penalty(acf, (torch.tensor([1]), torch.tensor([2]), torch.tensor([[0]])))
    assert plain == pytest.approx(_bpr([(profile @ (acf.items[2] - acf.items[0])).item()]), abs=1e-10)


def _acf_penalty(acf: ACF, batch: tuple[Tensor, Tensor, Tensor] = BATCH) -> float:
    """What the loss of a copy with the same weights and no penalty lacks."""
    plain = ACF(ACFConfig(DIM, 5, l2=0, attention_l2=0), _data(), _generator()).double()
    plain.load_state_dict(acf.state_dict())
    return acf.loss(*batch).item() - plain.loss(*batch).item()


def test_long_histories_are_sampled() -> None:
    long = JaggedTensor(torch.tensor([0, 50, 53]), torch.cat([torch.arange(50), torch.arange(3)]))
    shortened = bounded(long, 10, _generator())
    assert shortened.lengths.tolist() == [10, 3]
    assert shortened.values[10:].tolist() == [0, 1, 2]
    assert len(shortened.values[:10].unique()) == 10
    assert shortened.values[:10].max() > 9  # not the first ten


@pytest.mark.parametrize("repeats", [1, 5], ids=["fewer rows than embeddings", "more"])
def test_the_bpr_loss_equals_its_equation(repeats: int) -> None:
    bpr = BPR(BPRConfig(DIM, l2=0.1, init_std=1.0), _data(), _generator()).double()
    batch = tuple(part.repeat(repeats, *([1] * (part.ndim - 1))) for part in BATCH)
    differences, penalty = [], 0.0
    for user, positive, negatives in zip(*(part.tolist() for part in batch), strict=True):
        u, v = bpr.users[user], bpr.items[positive]
        differences += [(u @ (v - bpr.items[negative])).item() for negative in negatives]
        penalty += (_squares(u, v) + _squares(*(bpr.items[n] for n in negatives)) / 2) / len(batch[0])
    expected = _bpr(differences) + 0.1 * penalty
    assert bpr.loss(*batch).item() == pytest.approx(expected, abs=1e-10)


def test_the_vpoi_loss_equals_its_equation() -> None:
    config = VPOIConfig(DIM, l2=0.1, init_std=1.0, projection_std=1.0, image_weight=0.7)
    vpoi = VPOI(config, _data(), _generator()).double()
    c, differences, of_images, penalty = _features(vpoi), [], 0.0, 0.0
    for user, positive, negatives in zip(*(part.tolist() for part in BATCH), strict=True):
        u, v = vpoi.users[user], vpoi.items[positive]
        differences += [(u @ (v - vpoi.items[negative])).item() for negative in negatives]
        for sign, item in ((1, positive), (-1, negatives[0])):
            for frame in FRAMES_OF_ITEM[item]:
                logit = sign * (v @ vpoi.projection @ c[frame]).item()
                of_images += math.log1p(math.exp(-logit)) / len(FRAMES_OF_ITEM[item]) / 3
        penalty += 0.1 * (_squares(u, v) + _squares(*(vpoi.items[n] for n in negatives)) / 2) / 3
    penalty += config.projection_l2 * _squares(vpoi.projection)
    expected = _bpr(differences) + 0.7 * of_images + penalty
    assert vpoi.loss(*BATCH).item() == pytest.approx(expected, abs=1e-10)


def test_cdl_scores_are_mean_distances_to_frames_and_its_loss_compares_them() -> None:
    config = CDLConfig(DIM, 5, init_std=1.0, projection_std=1.0)
    cdl = CDL(config, _data(), _generator()).double()
    with torch.no_grad():
        cdl.hidden_bias.normal_(generator=_generator())
        cdl.last_bias.normal_(generator=_generator())
    placed = [cdl.last @ (cdl.hidden @ c + cdl.hidden_bias).clamp_min(0) + cdl.last_bias for c in _features(cdl)]

    def score(user: int, item: int) -> float:
        distances = [_squares(cdl.users[user] - placed[frame]) for frame in FRAMES_OF_ITEM[item]]
        return -sum(distances) / len(distances) if distances else -_squares(cdl.users[user])

    scorer = cdl.scorer()
    for user in range(3):
        items = scorer.item_scores(torch.tensor([user]))[0].tolist()
        assert items == pytest.approx([score(user, item) for item in range(4)], abs=1e-10)
        frames = scorer.frame_scores(torch.full((8,), user), torch.arange(8)).tolist()
        assert frames == pytest.approx([-_squares(cdl.users[user] - place) for place in placed], abs=1e-10)
    rows = list(zip(*(part.tolist() for part in BATCH), strict=True))
    differences = [score(user, i) - score(user, j) for user, i, negatives in rows for j in negatives]
    penalty = cdl.l2 * sum(_squares(cdl.users[user]) for user, _, _ in rows) / 3
    penalty += config.projection_l2 * _squares(cdl.hidden, cdl.last)
    assert cdl.loss(*BATCH).item() == pytest.approx(_bpr(differences) + penalty, abs=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        ACF(ACFConfig(DIM, 5, init_std=1.0, projection_std=1.0), _data(), _generator()),
        VPOI(VPOIConfig(DIM, l2=0.1, init_std=1.0, projection_std=1.0), _data(), _generator()),
        CDL(CDLConfig(DIM, 5, init_std=1.0, projection_std=1.0), _data(), _generator()),
        BPR(BPRConfig(DIM, l2=0.1, init_std=1.0), _data(), _generator()),
    ],
    ids=["acf", "vpoi", "cdl", "bpr"],
)
def test_gradients_equal_finite_differences(model: ACF | BPR | CDL | VPOI) -> None:
    model = model.double()
    names, values = zip(*((name, value.detach().clone()) for name, value in model.named_parameters()), strict=True)

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return self.model.loss(*BATCH)

    def loss(*parameters: Tensor) -> Tensor:
        named = {f"model.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Loss(), named, ())

    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in values), fast_mode=True)
