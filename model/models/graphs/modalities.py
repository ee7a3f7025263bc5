"""What is known of the items, one vector per item and modality, and linear maps of it that models learn."""

from typing import cast

import torch
from torch import Tensor, nn

from model.data.tensors import ItemFeatures, TrainingData
from model.models.distinct import distinct
from model.models.recommender import require_features
from model.models.visual.projection import FeatureScaling, ScaledFeatures, mean_by_item

PICTURES = "image"
_BLOCK_FRAMES = 4096


def item_vectors(data: TrainingData, model_name: str) -> dict[str, ItemFeatures]:
    """Return the vectors of all modalities by name; the pictures' are the means over an item's frames.

    An item without a vector gets the mean of the others.

    Raises:
        MissingInputError: the data have no frame features.
    """
    offsets = data.frames.offsets
    pictures = mean_by_item(require_features(data.frames, model_name), offsets)
    others = {name: _filled(modality) for name, modality in data.modalities.items()}
    return {PICTURES: ItemFeatures(pictures, offsets.diff() > 0), **others}


def _filled(modality: ItemFeatures) -> ItemFeatures:
    known = modality.is_known
    vectors = modality.vectors.float()
    mean = vectors[known].mean(0) if known.any() else vectors.new_zeros(vectors.shape[1])
    return ItemFeatures(torch.where(known[:, None], vectors, mean), known)


class Projection(nn.Module):
    """W c_i + b for the items of one modality; c_i are its scaled vectors (`ScaledFeatures`).

    Args:
        modality: the vectors.
        dim: d, the size of the result.
        scaling: how vectors are scaled first.
        generator: for W, which starts uniform as in Glorot & Bengio 2010; b starts at 0.
    """

    def __init__(self, modality: ItemFeatures, dim: int, scaling: FeatureScaling, generator: torch.Generator) -> None:
        super().__init__()
        self.features = ScaledFeatures(modality.vectors, scaling)
        bound = (6 / (dim + self.features.width)) ** 0.5
        self.weight = nn.Parameter((2 * torch.rand(dim, self.features.width, generator=generator) - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, items: Tensor) -> Tensor:
        """Return (…, d) for int64 `items` of any shape."""
        found = distinct(items, self.features.n_frames)
        rows = None if found.are_all else found.rows
        return found.of_each(self.features.project(self.weight, rows) + self.bias)

    def every(self) -> Tensor:
        """Return (N, d) for all items."""
        return self.features.project(self.weight, None) + self.bias

    @torch.no_grad()
    def of_others(self, vectors: Tensor) -> Tensor:
        """Return (m, d) for (m, F) other vectors of the same modality, such as those of single frames."""
        folded, shift = self.weight * self.features.inverse_scale, self.features.shift
        blocks = (block.to(folded.device, folded.dtype) for block in torch.split(vectors, _BLOCK_FRAMES))
        return torch.cat([(block - shift) @ folded.T for block in blocks]) + self.bias


class Projections(nn.ModuleDict):
    """A `Projection` per modality, by name."""

    def __init__(
        self, modalities: dict[str, ItemFeatures], dim: int, scaling: FeatureScaling, generator: torch.Generator
    ) -> None:
        super().__init__({name: Projection(each, dim, scaling, generator) for name, each in modalities.items()})

    def by_name(self) -> dict[str, Projection]:
        """Return the projections; `nn.ModuleDict` does not know their type."""
        return cast("dict[str, Projection]", dict(self.items()))
