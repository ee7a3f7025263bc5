"""Most popular: the same ranking for every user, by number of train interactions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.recommender import Recommender, Scorer


@dataclass(frozen=True)
class PopularConfig:
    """No settings."""


class Popular(Recommender):
    """Ranks items by popularity.

    It does not rank frames, because a frame's number of likes on the site includes the held-out likes.
    """

    counts: Tensor

    def __init__(self, config: PopularConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("counts", torch.bincount(data.positives.values, minlength=data.n_items).float())

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Change nothing: the ranking is the same for everyone."""

    def scorer(self) -> Scorer:
        """Return the counts as scores."""
        return _PopularScorer(self.counts)


@dataclass(frozen=True)
class _PopularScorer(Scorer):
    counts: Tensor  # (N,)

    def item_scores(self, users: Tensor) -> Tensor:
        """Return the same row for every user."""
        return self.counts.expand(len(users), -1)
