"""What rankers of key frames share: scores of frames that are the same for every user, and none for items."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.tensors import TrainingData
from model.models.recommender import Config, FrameOnlyScorer, Recommender


class FrameRanker(Recommender):
    """A model that ranks the frames of an item in the same order for everyone, and no items."""

    ranks_items = False
    learns_from_interactions = False
    scores: Tensor

    def __init__(self, config: Config, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("scores", self.score(data), persistent=False)

    @abstractmethod
    def score(self, data: TrainingData) -> Tensor:
        """Return (L,) scores of all frames; equal scores share their ranks."""

    def scorer(self) -> FrameOnlyScorer:
        """Return the scores."""
        return _FrameRankerScorer(self.scores)


@dataclass(frozen=True)
class _FrameRankerScorer(FrameOnlyScorer):
    scores: Tensor  # (L,)

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return the scores of (n,) `frames`."""
        return self.scores[frames]


def earlier_is_higher(places: Tensor) -> Tensor:
    """Return (L,) scores that fall with the place; unknown places (−1) are tied after all known ones."""
    return -torch.where(places < 0, places.max() + 1, places).double()
