"""Ranks frames that were hidden from training: people's own pictures of held-out pairs, where those are the likes.

Items are scored by the model as it was trained, without these pictures; frames by the same weights with all of them.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from model.data.loading import SnapshotData
from model.models.recommender import FrameScorer, Recommender, Scorer
from model.models.registry import make_model


@dataclass(frozen=True)
class TwoScorers(FrameScorer):
    """A scorer of items, and another of frames."""

    items: Scorer
    frames: FrameScorer

    @property
    def ranks_items(self) -> bool:  # type: ignore[override]
        """Whether the scorer of items has scores."""
        return self.items.ranks_items

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores of all items for (B,) int64 `users`."""
        return self.items.item_scores(users)

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) scores of (n,) int64 `frames` for as many `users`, pair by pair."""
        return self.frames.frame_scores(users, frames)


def scorer_of(model: Recommender, data: SnapshotData) -> Scorer:
    """Return the scorer of a trained model, which ranks frames by the features that `data` shows."""
    scorer, features = model.scorer(), data.shown_features
    if features is None or not model.needs_features or not isinstance(scorer, FrameScorer):
        return scorer
    shown = replace(data.training, frames=replace(data.training.frames, features=features))
    other = make_model(*model.made_of, shown, seed=0)
    other.load_state_dict(model.state_dict())
    of_frames = other.to(next(model.buffers(), features).device).scorer()
    return TwoScorers(scorer, of_frames) if isinstance(of_frames, FrameScorer) else scorer
