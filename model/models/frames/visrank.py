"""VisRank: ranks movies and frames by their cosine with the mean picture of the user's movies; nothing is trained.

p_a = mean of c̄_i over the items i of a in train,   r̂_ai = cos(p_a, c̄_i),   r̂_ak = cos(p_a, c_k)

c_k are the scaled features of frame k (`visual.projection.ScaledFeatures`), c̄_i their mean over the frames of item i.
A cosine with the zero vector is 0: of a user without items, and of an item without frames.

Source: Kang et al. 2017 compare with this ranker under this name; features are centred here, because a part that all
pictures share would hide the rest.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from model.data.jagged import JaggedTensor, row_positions
from model.data.tensors import TrainingData
from model.models.recommender import FrameScorer, Recommender, require_features
from model.models.visual.projection import FeatureScaling, ScaledFeatures, mean_by_item

_BLOCK_PAIRS = 1024


@dataclass(frozen=True)
class VisRankConfig:
    """The settings.

    Attributes:
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
    """

    feature_scaling: FeatureScaling = "standard"


class VisRank(Recommender):
    """Cosines of pictures.

    Raises:
        MissingInputError: the data have no frame features.
    """

    item_parameters = ()
    needs_features = True
    history_offsets: Tensor
    history_items: Tensor
    frame_offsets: Tensor

    def __init__(self, config: VisRankConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.features = ScaledFeatures(require_features(data.frames, "visrank"), config.feature_scaling)
        self.register_buffer("history_offsets", data.positives.offsets, persistent=False)
        self.register_buffer("history_items", data.positives.values, persistent=False)
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories."""
        self.history_offsets, self.history_items = histories.offsets, histories.values

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the cosines; the means of all items are computed once."""
        scaled = self.features
        means = (mean_by_item(scaled.features, self.frame_offsets) - scaled.shift) * scaled.inverse_scale  # (N, F)
        means[self.frame_offsets.diff() == 0] = 0
        return _VisRankScorer(scaled, means, normalize(means), self.history_offsets, self.history_items)


@dataclass(frozen=True)
class _VisRankScorer(FrameScorer):
    features: ScaledFeatures
    means: Tensor  # (N, F) c̄
    directions: Tensor  # (N, F) c̄ / ‖c̄‖
    offsets: Tensor  # (M + 1,)
    items: Tensor  # (n,)

    def item_scores(self, users: Tensor) -> Tensor:
        """Return cos(p_a, c̄_i) of all items."""
        return self._profiles(users) @ self.directions.T

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return cos(p_a, c_k) pair by pair."""
        scores = [torch.zeros(0, device=users.device)]
        for of_users, of_frames in zip(*(torch.split(part, _BLOCK_PAIRS) for part in (users, frames)), strict=True):
            distinct, where = torch.unique(of_users, return_inverse=True)
            c = (self.features.features[of_frames].float() - self.features.shift) * self.features.inverse_scale
            scores.append((self._profiles(distinct)[where] * normalize(c)).sum(1))
        return torch.cat(scores)

    def _profiles(self, users: Tensor) -> Tensor:
        """Return (B, F) p_a / ‖p_a‖."""
        positions, owners = row_positions(self.offsets, users)
        starts = torch.searchsorted(owners, torch.arange(len(users), device=users.device))
        return normalize(embedding_bag(self.items[positions], self.means, starts, mode="mean"))
