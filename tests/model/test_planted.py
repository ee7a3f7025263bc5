"""JIFR on invented data with a known truth: 3 of 10 frames show a movie's theme; users choose by theme and habit."""

from dataclasses import dataclass, replace

import torch

from model.data.jagged import JaggedTensor, group_by_row
from model.data.tensors import Frames, HeldOutItems, HeldOutLikes, TrainingData
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.registry import default_config
from model.models.visual.jifr import JIFR
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

USERS, MOVIES, FRAMES, THEMED, THEMES, WIDTH, PER_USER = 300, 150, 10, 3, 8, 32, 14
PAPER = {"collaborative_dim": 32, "visual_dim": 32, "l2": 1e-3, "visual_l2": 0.0, "projection_l2": 1e-4}
TRAINING = TrainingConfig(epochs=40, learning_rate=5e-3, patience=5)


@dataclass(frozen=True)
class World:
    data: TrainingData
    validation: HeldOutItems
    test: HeldOutItems
    is_themed: torch.Tensor  # (L,) bool
    likes: HeldOutLikes  # the themed frames of test pairs whose theme the user loves
    looks: torch.Tensor  # (M,) float, the weight of looks for each user


def make_world(seed: int, mixture: tuple[float, float] = (0.15, 0.85)) -> World:
    """Return a world where every frame shows a theme, but only the 3 marked ones show that of their movie.

    Looks have one of the two weights in `mixture` for a user; habit has the rest. All features share
    a large common part, like those of a convolutional network.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    theme = torch.randint(THEMES, (MOVIES,), generator=generator)
    axes = torch.linalg.qr(normal(WIDTH, THEMES + 2))[0].T * 2 * WIDTH**0.5
    is_themed = (torch.rand(MOVIES, FRAMES, generator=generator).argsort(1) < THEMED).flatten()
    shown = torch.randint(THEMES, (MOVIES * FRAMES,), generator=generator)
    shown[is_themed] = theme.repeat_interleave(FRAMES)[is_themed]
    marker = torch.where(is_themed, THEMES, THEMES + 1)
    features = axes[shown] + axes[marker] + normal(MOVIES * FRAMES, WIDTH) + 3 * normal(WIDTH)

    loved = torch.rand(USERS, THEMES, generator=generator).argsort(1) < 2
    looks = torch.where(torch.rand(USERS, 1, generator=generator) < 0.5, *mixture)
    habit = normal(USERS, 4) @ normal(MOVIES, 4).T
    gumbel = -torch.log(-torch.log(torch.rand(USERS, MOVIES, generator=generator)))
    taste = 4 * looks * loved[:, theme] + (1 - looks) * habit + gumbel
    chosen = torch.topk(taste, PER_USER).indices
    chosen = chosen.gather(1, torch.rand(USERS, PER_USER, generator=generator).argsort(1))

    def part(start: int, stop: int) -> JaggedTensor:
        owners = torch.arange(USERS).repeat_interleave(stop - start)
        return group_by_row(owners, chosen[:, start:stop].flatten(), USERS)

    frames = Frames(torch.arange(MOVIES + 1) * FRAMES, features.half())
    train, validation, test = part(0, 9), part(9, 10), part(10, PER_USER)
    return World(
        TrainingData(train, MOVIES, frames),
        HeldOutItems(validation, train),
        HeldOutItems(test, part(0, 10)),
        is_themed,
        _likes(chosen[:, 10:], loved, theme, is_themed),
        looks.squeeze(1),
    )


def _likes(test: torch.Tensor, loved: torch.Tensor, theme: torch.Tensor, is_themed: torch.Tensor) -> HeldOutLikes:
    users, places = loved.gather(1, theme[test]).nonzero(as_tuple=True)
    items = test[users, places]
    pairs, places = is_themed.view(MOVIES, FRAMES)[items].nonzero(as_tuple=True)
    liked = group_by_row(pairs, items[pairs] * FRAMES + places, len(items))
    return HeldOutLikes(users, items, liked, torch.arange(MOVIES + 1) * FRAMES)


def _trained(attention: str, world: World, seed: int) -> tuple[JIFR, float]:
    config = replace(default_config("jifr"), visual_attention=attention, rating_attention=attention, **PAPER)
    model = Trainer(world.data, world.validation, "jifr", config, TRAINING, seed).run().model
    assert isinstance(model, JIFR)
    return model, ndcg(full_ranking(model.scorer(), world.test, 15), 15).mean().item()


def test_attention_finds_the_themed_frames_and_beats_averaging_by_ten_percent() -> None:
    with_attention, without = [], []
    for seed in range(3):
        world = make_world(seed)
        jifr, value = _trained("att", world, seed)
        with_attention.append(value)
        without.append(_trained("avg", world, seed)[1])
        frames, _, alpha = jifr.visual_attention(torch.arange(MOVIES))
        assert alpha[world.is_themed[frames]].sum() / MOVIES >= 0.9
        looks = 1 - jifr.rating_attention(torch.arange(USERS), torch.arange(MOVIES).expand(USERS, -1))
        assert 0.05 < looks.mean() < 0.95  # neither half of Eq. 8 has starved the other
    assert sum(with_attention) >= 1.1 * sum(without)
