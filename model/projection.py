"""Linear projections of wide frame features, each frame once, in bounded memory."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

FeatureScaling = Literal["standard", "centre", "none"]
_BLOCK_ROWS = 8192
_BLOCK_ITEMS = 256
_MIN_RELATIVE_STD = 1e-3


class ScaledFeatures(nn.Module):
    """Frame features as the models see them, c = (feature − shift) / scale, of mean squared norm 1.

    The paper leaves the scaling open. It matters: VGG-19's features share a large common part
    (and those of random weights little else), and with a norm of about 64, one step of Adam
    would move a projection further than a whole training should.

    - `standard`: each dimension less its mean, divided by its standard deviation;
    - `centre`: each dimension less its mean;
    - `none`: as they are;

    and then all divided by one number, so that the mean over frames of ‖c‖² is 1. Mean and
    deviation are over all frames of the snapshot; they need no label. They are kept with the
    weights, so that new pictures are scaled alike.

    The features stay as they were stored (float16): the scaling is folded into the projection,
    W c = (W / scale) feature − (W / scale) shift.
    """

    features: Tensor  # (L, F) float16
    shift: Tensor  # (F,)
    inverse_scale: Tensor  # (F,)

    def __init__(self, features: Tensor, scaling: FeatureScaling) -> None:
        super().__init__()
        mean, variance = _moments(features)
        shift = torch.zeros_like(mean) if scaling == "none" else mean
        inverse = torch.ones_like(mean)
        if scaling == "standard":  # a dimension that hardly varies stays small
            deviation = variance.sqrt()
            inverse = 1 / deviation.clamp_min(max(_MIN_RELATIVE_STD * float(deviation.max()), 1e-12))
        squares = variance + (mean - shift).square()
        norm = (squares * inverse.square()).sum().sqrt()
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("shift", shift.float())
        self.register_buffer("inverse_scale", (inverse / norm.clamp_min(1e-12)).float())

    @property
    def width(self) -> int:
        """F."""
        return self.features.shape[1]

    def project(self, weight: Tensor, frames: Tensor) -> Tensor:
        """Return (m, d) rows W c_k for (d, F) `weight` and (m,) int64 `frames`."""
        folded = weight * self.inverse_scale  # (d, F)
        projected: Tensor = _Project.apply(folded, self.features, frames)
        return projected - folded @ self.shift  # (m, d)


class _Project(torch.autograd.Function):
    """`features[frames] @ weight.T`, gathering a block of frames at a time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, features: Tensor, frames: Tensor) -> Tensor:
        ctx.save_for_backward(features, frames)
        projected = weight.new_empty(len(frames), len(weight))
        for start in range(0, len(frames), _BLOCK_ROWS):
            block = features[frames[start : start + _BLOCK_ROWS]].to(weight.dtype)
            projected[start : start + _BLOCK_ROWS] = block @ weight.T
        return projected

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        features, frames = ctx.saved_tensors
        of_weight = gradient.new_zeros(gradient.shape[1], features.shape[1])
        for start in range(0, len(frames), _BLOCK_ROWS):
            block = features[frames[start : start + _BLOCK_ROWS]].to(gradient.dtype)
            of_weight += gradient[start : start + _BLOCK_ROWS].T @ block
        return of_weight, None, None


def mean_by_item(features: Tensor, offsets: Tensor) -> Tensor:
    """Return (N, F) float32 means over the frames of each item; an item without frames gets the mean of the others.

    Args:
        features: (L, F) float16.
        offsets: (N + 1,) int64, the frames of the items (`interactions.Frames`).
    """
    lengths = offsets.diff()
    means = torch.zeros(len(lengths), features.shape[1], device=features.device)
    for items in torch.split(torch.arange(len(lengths), device=features.device), _BLOCK_ITEMS):
        block = features[offsets[items[0]] : offsets[items[-1] + 1]].float()
        means.index_add_(0, torch.repeat_interleave(items, lengths[items]), block)
    means /= lengths[:, None].clamp_min(1)
    means[lengths == 0] = means[lengths > 0].mean(0)
    return means


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return (F,) float64 means and variances over the rows, in two passes over blocks."""
    mean, variance = torch.zeros(2, features.shape[1], dtype=torch.float64, device=features.device)
    for start in range(0, len(features), _BLOCK_ROWS):
        mean += features[start : start + _BLOCK_ROWS].double().sum(0) / len(features)
    for start in range(0, len(features), _BLOCK_ROWS):
        variance += (features[start : start + _BLOCK_ROWS].double() - mean).square().sum(0) / len(features)
    return mean, variance
