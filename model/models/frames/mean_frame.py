"""The typical frame: the picture nearest to the mean of its movie's pictures, −‖c_k − c̄_i‖².

c_k are the scaled features of frame k (`visual.projection.ScaledFeatures`), c̄_i their mean over the frames of item i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.jagged import row_positions
from model.data.tensors import TrainingData
from model.models.frames.ranker import FrameRanker
from model.models.recommender import require_features
from model.models.segments import mean_by
from model.models.visual.projection import FeatureScaling, ScaledFeatures

_BLOCK_ITEMS = 64


@dataclass(frozen=True)
class MeanFrameConfig:
    """The settings.

    Attributes:
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
    """

    feature_scaling: FeatureScaling = "standard"


class MeanFrame(FrameRanker):
    """Shows the picture that looks most like the others."""

    needs_features = True

    def score(self, data: TrainingData) -> Tensor:
        """Return −‖c_k − c̄_i‖² of all frames.

        Raises:
            MissingInputError: the data have no frame features.
        """
        scaled = ScaledFeatures(require_features(data.frames, "mean_frame"), self.config.feature_scaling)
        offsets, parts = data.frames.offsets, []
        for items in torch.split(torch.arange(data.n_items), _BLOCK_ITEMS):
            frames, owners = row_positions(offsets, items)
            c = scaled.features[frames].float() * scaled.inverse_scale  # (k, F); the shift cancels
            parts.append(-(c - mean_by(owners, c, len(items))[owners]).square().sum(1))
        return torch.cat(parts)
