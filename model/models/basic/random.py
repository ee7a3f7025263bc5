"""The random baseline, RND: a random score for every item and every frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.tensors import TrainingData
from model.models.recommender import FrameScorer, Recommender


@dataclass(frozen=True)
class RandomConfig:
    """No settings."""


class Random(Recommender):
    """Ranks at random but reproducibly: a score depends only on the seed, the user and the item or frame."""

    learns_from_interactions = False
    key: Tensor  # (2,) int64
    n_items: Tensor  # () int64

    def __init__(self, config: RandomConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("key", torch.randint(2**62, (2,), generator=generator))
        self.register_buffer("n_items", torch.tensor(data.n_items))

    def scorer(self) -> FrameScorer:
        """Return the seeded scores."""
        return _RandomScorer(int(self.key[0]), int(self.key[1]), int(self.n_items))


@dataclass(frozen=True)
class _RandomScorer(FrameScorer):
    item_key: int
    frame_key: int
    n_items: int

    def item_scores(self, users: Tensor) -> Tensor:
        """Return uniform scores between 0 and 1."""
        items = torch.arange(self.n_items, device=users.device)
        return _uniform(self.item_key, users[:, None], items[None, :])

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return uniform scores between 0 and 1."""
        return _uniform(self.frame_key, users, frames)


def _uniform(key: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Return float64 numbers in [0, 1), a hash of the key, the row and the column."""
    mixed = _mix(_mix(rows + key) + columns)
    return (mixed & (2**53 - 1)).double() / 2**53


def _mix(x: Tensor) -> Tensor:
    """Scramble int64 numbers, wrapping on overflow: the finaliser of SplitMix64 (Steele et al. 2014)."""
    x = x * -7046029254386353131  # 0x9E3779B97F4A7C15
    x = (x ^ _shift_right(x, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    x = (x ^ _shift_right(x, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return x ^ _shift_right(x, 31)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Shift right as unsigned numbers, filling with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
