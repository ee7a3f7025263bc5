"""The interface of all models: how they learn (by the loss of a batch, or by fitting at once), and how they rank."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from dataset.errors import MissingInputError, UsageError
from model.data.jagged import JaggedTensor
from model.data.tensors import Frames, TrainingData
from model.models.static_shapes import are_static


class Scorer(ABC):
    """A frozen model: it computes all that does not depend on the user once, in its constructor.

    Attributes:
        ranks_items: whether it has scores for items; a `FrameOnlyScorer` has none.
    """

    ranks_items: ClassVar[bool] = True

    @abstractmethod
    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores of all items for (B,) int64 `users`."""


class FrameScorer(Scorer):
    """A scorer that also ranks frames: those with "Frame Rec" in the paper's Table 1, and RND."""

    @abstractmethod
    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) scores of (n,) int64 `frames` for as many `users`, pair by pair."""


class FrameOnlyScorer(FrameScorer):
    """A scorer that ranks the frames of an item and no items, so it is left out of every table of items."""

    ranks_items = False

    def item_scores(self, users: Tensor) -> Tensor:
        """Refuse: there are no such scores.

        Raises:
            UsageError: always.
        """
        raise UsageError("this model ranks the key frames of a movie, but no movies; recommend with another model")


class Recommender(nn.Module, ABC):
    """A model. Its constructor takes its config, the `TrainingData` and the random generator for its initial values.

    Attributes:
        needs_features: whether it needs the features of frames.
        needs_places: whether it needs the place of a frame in the site's list.
        learns_from_likes: whether it is given the likes of train pairs: how many each frame has and, if the snapshot
            says so, whose they are.
        needs_liked_pairs: whether it needs to know whose these likes are.
        sees_held_out_likes: whether it is given the site's like counts, which hold the likes of test pairs.
        upper_bound: why its results are an upper bound and no fair competitor's; empty if they are not.
        learns_from_interactions: whether its scores depend on the train interactions.
        ranks_items: whether its scorer ranks items.
        user_parameters: the names of the parameters with one row per user. For people who were not in training they
            are fitted, and the rest stays as it is (`model.training.fold_in`).
        item_parameters: the names of the parameters with one row per item, which are 0 for an item that was not in
            training, if its pictures alone give it a score; None if they do not.
        tried: what `model.tune` tries unless told otherwise, as texts of its option `--try`.
        made_of: its name and config, from which the registry has made it.
        title: for a model of the user's own, its name in the report; the class's name if empty.
        description: the same: a few words on what it ranks by.
        colour: the same: its colour in the charts, such as `#0072b2`; grey if empty.
    """

    needs_features: ClassVar[bool] = False
    needs_places: ClassVar[bool] = False
    learns_from_likes: ClassVar[bool] = False
    needs_liked_pairs: ClassVar[bool] = False
    sees_held_out_likes: ClassVar[bool] = False
    upper_bound: ClassVar[str] = ""
    learns_from_interactions: ClassVar[bool] = True
    ranks_items: ClassVar[bool] = True
    user_parameters: ClassVar[tuple[str, ...]] = ()
    item_parameters: ClassVar[tuple[str, ...] | None] = None
    tried: ClassVar[tuple[str, ...]] = ()
    made_of: tuple[str, Any] = ("", None)
    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    colour: ClassVar[str] = ""

    @classmethod
    def bytes_needed(cls, n_users: int, n_items: int) -> int:
        """Return the memory that the model needs if it is so much that the user must know before training, else 0."""
        return 0

    def replace_users(self, histories: JaggedTensor, generator: Generator) -> None:
        """Put other people in the place of the train users, in all that is kept of users but `user_parameters`.

        A model that reads the interactions of users when it scores keeps `histories` from now on; a model that solves
        for its users solves for these. By default there is nothing to replace.

        Args:
            histories: for each of the people, the items that they have interacted with, on the CPU.
            generator: for random choices.
        """

    @classmethod
    def takes_new_people(cls) -> bool:
        """Return whether the model recommends to people who were not in training."""
        replaces = cls.replace_users is not Recommender.replace_users
        return cls.ranks_items and (bool(cls.user_parameters) or replaces or not cls.learns_from_interactions)

    @property
    def n_weights(self) -> int:
        """How many numbers it has learnt: its parameters, and the decimal numbers that it counted or solved for."""
        parameters = sum(weight.numel() for weight in self.parameters())
        saved = (one for name, one in self.named_buffers(recurse=False) if name not in self._non_persistent_buffers_set)
        return parameters + sum(buffer.numel() for buffer in saved if buffer.is_floating_point())

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return the model as it is now, frozen and without gradients."""


class TrainableRecommender(Recommender):
    """A model that learns from pairs of a positive and a negative item.

    Attributes:
        repeats_steps: whether all steps run the same operations, so that a GPU can record one and replay it with other
            batches (`model.training.steps`).
        wants_ascending_users: whether a batch whose users ascend is faster on a CPU; then training orders each so. The
            loss must not depend on their order.
        batch_factor: how many times as large as others' its batches are by default.
        scores_pairs: whether a score needs work of its own for each pair, so that a softmax is over a sample of each
            user's own, not over items that the batch shares.
        is_sampled: whether a softmax is over a sample of the items. Training sets it.
        reserved: the sizes that a batch's tensors have with static shapes (`model.models.static_shapes`): for
            each name of `batch_sizes` at least the largest value of any batch. Training sets them.
    """

    repeats_steps: ClassVar[bool] = True
    wants_ascending_users: ClassVar[bool] = False
    batch_factor: ClassVar[int] = 1
    scores_pairs: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.is_sampled = False
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
        """Make an epoch's random choices apart from its pairs, such as which edges to leave out; by default none.

        A model keeps no state from one epoch to the next but its parameters and buffers, so that a training continues
        from a checkpoint.
        """

    @abstractmethod
    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch, penalties included, a scalar.

        Args:
            users: (B,) int64.
            positives: (B,) int64 items.
            negatives: (B, n) int64 items: for BPR's loss negatives of each user; for a softmax over a sample, drawn
                uniformly from all items; for one over all items, one such item.
        """


class FittedRecommender(Recommender):
    """A model that learns from all train interactions at once: by counting, or by solving linear systems.

    Its buffers may be empty until `fit`, because their sizes follow from the data. Loaded weights replace them.

    Attributes:
        n_fits: how many times `fit` is called; each call counts as an epoch.
        fits_in_steps: whether `n_fits` may be above 1, so that validation can stop it early.
    """

    n_fits: int = 1
    fits_in_steps: ClassVar[bool] = False

    @abstractmethod
    def fit(self, data: TrainingData) -> float | None:
        """Learn from `data`, or go one step on if `n_fits` is above 1; return the loss, None for a model without."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Load, after taking over the sizes of the saved buffers."""
        for name, buffer in list(self.named_buffers(recurse=False)):
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and saved.shape != buffer.shape and not buffer.numel():
                setattr(self, name, saved.to(buffer.device))  # not a copy: it may be most of the memory
        super()._load_from_state_dict(state_dict, prefix, *arguments)


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
