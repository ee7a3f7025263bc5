import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from dataset.errors import MissingInputError, UsageError
from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, TrainingData
from model.models.visual import jifr_scorer
from model.models.visual.jifr import JIFR, JIFRConfig
from model.models.visual.projection import FeatureScaling, ScaledFeatures

FRAMES_OF_ITEM = [[0, 1, 2], [], [3], [4, 5, 6, 7]]
USERS, WIDTH, DIM = 3, 6, 4
CONFIGS = [
    JIFRConfig(
        DIM, DIM, visual_attention=visual, rating_attention=rating, reduced_dim=3,
        visual_attention_width=5, rating_attention_width=7, init_std=1.0, projection_std=1.0, feature_scaling=scaling,
    )
    for visual, rating, scaling in [*product(["att", "avg"], ["att", "avg"], ["standard"]), ("att", "att", "none")]
]  # fmt: skip


def _data() -> TrainingData:
    features = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(7)).half()
    positives = JaggedTensor(torch.tensor([0, 1, 2, 4]), torch.tensor([0, 1, 2, 3]))
    return TrainingData(positives, len(FRAMES_OF_ITEM), Frames(torch.tensor([0, 3, 3, 4, 8]), features))


def _jifr(config: JIFRConfig) -> JIFR:
    return JIFR(config, _data(), torch.Generator().manual_seed(0)).double()


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _network(weights: list[list[float]], last: list[float], inputs: list[float]) -> float:
    """w × f(W [inputs]) with f = ReLU, of Eq. 6 and Eq. 9."""
    return sum(w * max(0.0, _dot(row, inputs)) for w, row in zip(last, weights, strict=True))


class Reference:
    """Eq. 1, 2 and 4 to 10 number by number; only the parameters are those of `JIFR`."""

    def __init__(self, jifr: JIFR) -> None:
        self.config = jifr.config
        self.parameters = {name: value.tolist() for name, value in jifr.named_parameters()}
        features, shift = jifr.features.features.tolist(), jifr.features.shift.tolist()
        inverse_scale = jifr.features.inverse_scale.tolist()
        self.c = [[(x - s) * i for x, s, i in zip(frame, shift, inverse_scale, strict=True)] for frame in features]

    def project(self, frame: int) -> list[float]:
        return [_dot(row, self.c[frame]) for row in self.parameters["projection"]]

    def alpha(self, item: int) -> list[float]:
        frames, p = FRAMES_OF_ITEM[item], self.parameters
        if self.config.visual_attention == "avg":
            return [1 / len(frames) for _ in frames]
        reduced = [[_dot(row, self.c[frame]) for row in p["reduction"]] for frame in frames]
        v = p["item_collaborative"][item]
        powers = [math.exp(_network(p["frame_hidden"], p["frame_logit"], v + r)) for r in reduced]
        return [power / sum(powers) for power in powers]

    def x(self, item: int) -> list[float]:
        total = [0.0] * DIM
        for alpha, frame in zip(self.alpha(item), FRAMES_OF_ITEM[item], strict=True):
            total = [t + alpha * y for t, y in zip(total, self.project(frame), strict=True)]
        return total

    def beta(self, user: int, item: int) -> float:
        p = self.parameters
        habit = p["user_collaborative"][user] + p["item_collaborative"][item]
        looks = p["user_visual"][user] + self.x(item)
        of_habit, of_looks = (
            math.exp(_network(p["rating_hidden"], p["rating_logit"], inputs)) for inputs in (habit, looks)
        )
        return of_habit / (of_habit + of_looks)

    def score(self, user: int, item: int) -> float:
        p = self.parameters
        habit = _dot(p["user_collaborative"][user], p["item_collaborative"][item])
        looks = _dot(p["user_visual"][user], self.x(item))
        if self.config.rating_attention == "avg":
            return habit + looks
        beta = self.beta(user, item)
        return beta * habit + (1 - beta) * looks


@pytest.mark.parametrize("config", CONFIGS)
def test_scores_and_attention_equal_the_equations_number_by_number(config: JIFRConfig) -> None:
    jifr = _jifr(config)
    reference = Reference(jifr)
    scores = jifr.score(torch.arange(USERS), torch.arange(4).expand(USERS, -1))
    frames, owners, alpha = jifr.visual_attention(torch.arange(4))
    assert frames.tolist() == list(range(8))
    assert owners.tolist() == [0, 0, 0, 2, 3, 3, 3, 3]
    expected = [weight for item in range(4) for weight in reference.alpha(item)]
    assert alpha.tolist() == pytest.approx(expected, abs=1e-10)
    for user, item in product(range(USERS), range(4)):
        assert scores[user, item].item() == pytest.approx(reference.score(user, item), abs=1e-10)
    beta = jifr.rating_attention(torch.arange(USERS), torch.arange(4).expand(USERS, -1))
    for user, item in product(range(USERS), range(4)):
        expected = reference.beta(user, item) if config.rating_attention == "att" else 0.5
        assert beta[user, item].item() == pytest.approx(expected, abs=1e-10)
    for user, frame in product(range(USERS), range(8)):
        expected = _dot(reference.parameters["user_visual"][user], reference.project(frame))
        got = jifr.score_frames(torch.tensor([user]), torch.tensor([frame])).item()
        assert got == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("as_on", ["cpu", "cuda"])
def test_the_fast_scorer_gives_the_scores_of_the_equations(config: JIFRConfig, seed: int, as_on: str) -> None:
    """Random models over 40 items with 0 to 6 frames each, in float32 as they are trained."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(7, (40,), generator=generator).cumsum(0)])
    frames = Frames(offsets, torch.randn(int(offsets[-1]), WIDTH, generator=generator).half())
    users = torch.arange(20)
    data = TrainingData(group_by_row(users, users, 20), 40, frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jifr_scorer, "_TILE_ITEMS", 7)
        patch.setattr(jifr_scorer, "_TILE_USERS", 3)
        patch.setattr(jifr_scorer, "_GPU_NUMBERS", 3 * 40 * 2 * config.rating_attention_width)  # three users at once
        if as_on == "cuda":
            patch.setattr(jifr_scorer.JIFRScorer, "_by_tile", jifr_scorer.JIFRScorer._by_users)
        for jifr, tolerance in ((JIFR(config, data, generator), 1e-5), (JIFR(config, data, generator).double(), 1e-12)):
            scorer = jifr.scorer()
            with torch.no_grad():
                expected = jifr.score(users, torch.arange(40).expand(20, -1))
                torch.testing.assert_close(scorer.item_scores(users), expected, rtol=tolerance, atol=tolerance)
                some = torch.randint(len(frames.features), (20,), generator=generator)
                expected = jifr.score_frames(users, some)
                torch.testing.assert_close(scorer.frame_scores(users, some), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("visual_l2", "projection_l2"), [(0.0, 0.2), (0.3, 0.0)])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_loss_equals_eq_3_with_minus_ln_sigma_and_the_penalties(
    config: JIFRConfig, visual_l2: float, projection_l2: float
) -> None:
    config = replace(config, l2=0.1, visual_l2=visual_l2, projection_l2=projection_l2)
    jifr = _jifr(config)
    reference = Reference(jifr)
    users, positives, negatives = [2, 0, 0], [3, 2, 0], [[1, 1, 0], [3, 1, 1], [1, 3, 2]]
    expected, p = 0.0, reference.parameters
    for user, positive, others in zip(users, positives, negatives, strict=True):
        for negative in others:
            difference = reference.score(user, positive) - reference.score(user, negative)
            expected += -math.log(1 / (1 + math.exp(-difference))) / 9
            pair = (positive, negative)
            vectors = [p["user_collaborative"][user], *(p["item_collaborative"][item] for item in pair)]
            visual = [p["user_visual"][user], *(reference.x(item) for item in pair if visual_l2)]
            expected += 0.1 * sum(_dot(vector, vector) for vector in vectors) / 9
            expected += (visual_l2 or 0.1) * sum(_dot(vector, vector) for vector in visual) / 9
    for name in ("frame_hidden", "frame_logit", "rating_hidden", "rating_logit"):
        if name in p:
            expected += config.attention_l2 * torch.tensor(p[name]).double().square().sum().item()
    expected += config.projection_l2 * torch.tensor(p["projection"]).double().square().sum().item()
    loss = jifr.loss(torch.tensor(users), torch.tensor(positives), torch.tensor(negatives))
    assert loss.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_equal_finite_differences(config: JIFRConfig) -> None:
    jifr = _jifr(config)
    names, values = zip(*((name, value.detach().clone()) for name, value in jifr.named_parameters()), strict=True)
    batch = (torch.tensor([2, 0]), torch.tensor([3, 2]), torch.tensor([[1, 0], [3, 1]]))

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            _Loss(jifr), {f"jifr.{n}": p for n, p in zip(names, parameters, strict=True)}, batch
        )

    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in values), fast_mode=True)


class _Loss(torch.nn.Module):
    def __init__(self, jifr: JIFR) -> None:
        super().__init__()
        self.jifr = jifr

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        return self.jifr.loss(*batch)


def test_a_movie_without_frames_has_a_zero_visual_embedding_and_attention_sums_to_one() -> None:
    jifr = _jifr(CONFIGS[0])
    assert jifr.item_visual(torch.tensor([1])).eq(0).all()
    _, owners, alpha = jifr.visual_attention(torch.arange(4))
    sums = torch.zeros(4, dtype=torch.float64).index_add(0, owners, alpha)
    torch.testing.assert_close(sums, torch.tensor([1.0, 0, 1, 1], dtype=torch.float64))


def test_scaled_features_have_mean_zero_and_mean_squared_norm_one() -> None:
    jifr = _jifr(CONFIGS[0])
    c = jifr.features.project(torch.eye(WIDTH, dtype=torch.float64), torch.arange(8))
    torch.testing.assert_close(c.mean(0), torch.zeros(WIDTH, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(c.square().sum(1).mean().item(), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scaling", ["standard", "centre", "none"])
def test_features_are_scaled_as_configured(scaling: FeatureScaling) -> None:
    jifr = _jifr(replace(CONFIGS[0], feature_scaling=scaling))
    same = ScaledFeatures(jifr.features.features, scaling)
    assert torch.equal(jifr.features.shift.float(), same.shift)
    assert torch.equal(jifr.features.inverse_scale.float(), same.inverse_scale)


def test_initial_values_come_from_the_generator_with_the_documented_spread() -> None:
    config = JIFRConfig(
        64, 64, reduced_dim=200, visual_attention_width=400, rating_attention_width=400, projection_std=0.2
    )
    first, again, other = (JIFR(config, _data(), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    stds = {
        "user_collaborative": config.init_std,
        "item_collaborative": config.init_std,
        "user_visual": config.init_std,
        "projection": config.projection_std,
        "reduction": config.projection_std,
        "frame_hidden": (64 + 200) ** -0.5,
        "frame_logit": 400**-0.5,
        "rating_hidden": (64 + 64) ** -0.5,
        "rating_logit": 400**-0.5,
    }
    assert dict(first.named_parameters()).keys() == stds.keys()
    for name, values in first.named_parameters():
        assert values.std().item() == pytest.approx(stds[name], rel=0.15)
        assert torch.equal(values, again.get_parameter(name))
        assert not torch.equal(values, other.get_parameter(name))


def test_only_learnt_parameters_and_the_scaling_are_saved() -> None:
    saved = _jifr(CONFIGS[0]).state_dict().keys()
    learnt = dict(_jifr(CONFIGS[0]).named_parameters()).keys()
    assert saved - learnt == {"features.shift", "features.inverse_scale"}


def test_missing_features_are_refused_and_the_message_names_a_model_that_needs_none() -> None:
    data = _data()
    with pytest.raises(MissingInputError, match=r"^jifr: .*--model bpr"):
        JIFR(CONFIGS[0], replace(data, frames=replace(data.frames, features=None)), torch.Generator())


def test_rating_attention_with_unequal_dimensions_is_refused() -> None:
    with pytest.raises(UsageError, match="collaborative_dim = visual_dim"):
        _jifr(replace(CONFIGS[0], visual_dim=5))
