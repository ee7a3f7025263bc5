import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from dataset.errors import MissingInputError
from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models.visual.vbpr import VBPR, VBPRConfig

FRAMES_OF_ITEM = [[0, 1, 2], [], [3], [4, 5, 6, 7]]
USERS, WIDTH = 3, 6
CONFIG = VBPRConfig(dim=4, visual_dim=3, l2=0.01, projection_l2=0.02, init_std=1.0, projection_std=1.0)


def _data() -> TrainingData:
    features = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(7)).half()
    positives = JaggedTensor(torch.tensor([0, 1, 2, 4]), torch.tensor([0, 1, 2, 3]))
    return TrainingData(positives, len(FRAMES_OF_ITEM), Frames(torch.tensor([0, 3, 3, 4, 8]), features))


def _vbpr() -> VBPR:
    generator = torch.Generator().manual_seed(0)
    vbpr = VBPR(CONFIG, _data(), generator).double()
    vbpr.items.data[:, -1].normal_(generator=generator)  # the biases, which start at 0
    vbpr.visual.data[0].normal_(generator=generator)
    return vbpr


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


class Reference:
    """Eq. 4 number by number; only the parameters and the scaling of the features are those of `VBPR`."""

    def __init__(self, vbpr: VBPR) -> None:
        self.p = {name: value.tolist() for name, value in vbpr.named_parameters()}
        features = _data().frames.features
        assert features is not None
        means = [features[frames].double().mean(0) for frames in FRAMES_OF_ITEM if frames]
        means.insert(1, torch.stack(means).mean(0))  # the item without frames
        scale = vbpr.features.inverse_scale
        self.f = [((mean - vbpr.features.shift) * scale).tolist() for mean in means]

    def score(self, user: int, item: int) -> float:
        p, f = self.p, self.f[item]
        visual_bias, *projection = p["visual"]
        (*of_item, item_bias), of_user = p["items"][item], p["users"][user]
        gamma, theta = of_user[:4], of_user[4:]
        looks = [_dot(row, f) for row in projection]
        return item_bias + _dot(gamma, of_item) + _dot(theta, looks) + _dot(visual_bias, f)


def test_scores_equal_eq_4_number_by_number() -> None:
    vbpr = _vbpr()
    reference, scores = Reference(vbpr), vbpr.scorer().item_scores(torch.arange(USERS))
    for user, item in product(range(USERS), range(4)):
        assert scores[user, item].item() == pytest.approx(reference.score(user, item), abs=1e-6)  # features are rounded


@pytest.mark.parametrize("visual_l2", [0.0, 0.3])
def test_the_loss_is_bpr_with_penalties_on_all_parameters_and_on_projected_pictures(visual_l2: float) -> None:
    vbpr = _vbpr()
    vbpr.visual_l2 = visual_l2
    reference = Reference(vbpr)
    scores, p = vbpr.scorer().item_scores(torch.arange(USERS)).tolist(), reference.p
    users, positives, negatives = [2, 0, 0], [3, 2, 0], [[1, 1, 0], [3, 1, 1], [1, 3, 2]]
    expected = 0.0
    for user, positive, others in zip(users, positives, negatives, strict=True):
        for negative in others:
            expected += math.log1p(math.exp(scores[user][negative] - scores[user][positive])) / 9
            vectors = [p["users"][user][:4], p["items"][positive], p["items"][negative]]
            visual = [p["users"][user][4:]]
            if visual_l2:
                visual += [[_dot(row, reference.f[item]) for row in p["visual"]] for item in (positive, negative)]
            expected += 0.01 * sum(_dot(vector, vector) for vector in vectors) / 9
            expected += (visual_l2 or 0.01) * sum(_dot(vector, vector) for vector in visual) / 9
    of_projection = sum(_dot(row, row) for row in p["visual"])
    loss = vbpr.loss(torch.tensor(users), torch.tensor(positives), torch.tensor(negatives))
    assert loss.item() == pytest.approx(expected + CONFIG.projection_l2 * of_projection, abs=1e-6)


def test_gradients_equal_finite_differences() -> None:
    vbpr = _vbpr()
    names, values = zip(*((name, value.detach().clone()) for name, value in vbpr.named_parameters()), strict=True)
    batch = (torch.tensor([2, 0]), torch.tensor([3, 2]), torch.tensor([[1, 0], [3, 1]]))

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            _Loss(vbpr), {f"vbpr.{n}": p for n, p in zip(names, parameters, strict=True)}, batch
        )

    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in values), fast_mode=True)


class _Loss(torch.nn.Module):
    def __init__(self, vbpr: VBPR) -> None:
        super().__init__()
        self.vbpr = vbpr

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        return self.vbpr.loss(*batch)


def test_missing_features_are_refused_and_the_message_names_a_model_that_needs_none() -> None:
    data = _data()
    with pytest.raises(MissingInputError, match="--model bpr"):
        VBPR(CONFIG, replace(data, frames=replace(data.frames, features=None)), torch.Generator())
