"""The interface of all models: a loss for training and a scorer for ranking."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from dataset.errors import MissingInputError
from model.data.tensors import Frames
from model.models.static_shapes import are_static


class Scorer(ABC):
    """A frozen model: it computes all that does not depend on the user once, in its constructor."""

    @abstractmethod
    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores of all items for (B,) int64 `users`."""


class FrameScorer(Scorer):
    """A scorer that also ranks frames: those with "Frame Rec" in the paper's Table 1, and RND."""

    @abstractmethod
    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) scores of (n,) int64 `frames` for as many `users`, pair by pair."""


class Recommender(nn.Module, ABC):
    """A model. Its constructor takes its config, the `TrainingData` and the random generator for its initial values."""

    needs_features: ClassVar[bool] = False

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return the model as it is now, frozen and without gradients."""


class TrainableRecommender(Recommender):
    """A model that learns from pairs of a positive and a negative item.

    Attributes:
        repeats_steps: whether all steps do the same to other batches, so that a GPU can record one and replay it
            (`model.training.steps`).
        reserved: the sizes that a batch's tensors have with static shapes (`model.models.static_shapes`): for
            each name of `batch_sizes` at least the largest value of any batch. Training sets them.
    """

    repeats_steps: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.reserved: dict[str, int] = {}

    def reserved_size(self, name: str) -> int | None:
        """Return the size that is reserved for `name`; None without static shapes: exactly what the batch needs."""
        return self.reserved.get(name) if are_static() else None

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return, by name, the sizes of tensors that depend on which users and items a batch has.

        Args:
            users: (…, B) int64, one batch or several.
            positives: (…, B) int64 items.
            negatives: (…, B, n) int64 items.

        Returns:
            (…) int64 each.
        """
        return {}

    def begin_epoch(self, generator: Generator) -> None:
        """Draw what an epoch draws apart from its pairs, such as the edges that it leaves out; by default nothing.

        A model keeps no state from one epoch to the next but its parameters and buffers, so that a training continues
        from a checkpoint.
        """

    @abstractmethod
    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch, penalties included, a scalar.

        Args:
            users: (B,) int64.
            positives: (B,) int64 items.
            negatives: (B, n) int64 items.
        """


@dataclass(frozen=True)
class EmbeddingScorer(Scorer):
    """Scores that are inner products.

    Attributes:
        users: (M, d) float.
        items: (N, d) float.
    """

    users: Tensor
    items: Tensor

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores u_aᵀ v_i of all items for (B,) int64 `users`."""
        return self.users[users] @ self.items.T


@dataclass(frozen=True)
class ItemAndFrameVectors(FrameScorer):
    """Scores that are inner products of a user's vector with those of items and of frames.

    Attributes:
        users: (M, d).
        items: (N, d).
        frames: (L, d).
    """

    users: Tensor
    items: Tensor
    frames: Tensor

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) inner products."""
        return self.users[users] @ self.items.T

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) inner products."""
        return (self.users[users] * self.frames[frames]).sum(1)


Config = Any  # the settings of a model: a frozen dataclass in the module of the model


def require_features(frames: Frames, model_name: str) -> Tensor:
    """Return the (L, F) features of frames.

    Raises:
        MissingInputError: the snapshot has no features.
    """
    if frames.features is None:
        raise MissingInputError(
            f"{model_name}: the snapshot has no frame features; run `python -m features extract` and publish again, "
            "or train --model bpr, which needs none"
        )
    return frames.features
