"""Linear projections of wide frame features in bounded memory.

Visual models spend most of their time here, so precision is chosen here: if the device multiplies
bfloat16 natively (AVX-512 BF16, AMX, recent GPUs), factors are bfloat16 and sums are float32;
otherwise both are float32. float64 weights stay float64.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from model.models.static_shapes import are_static
from model.models.visual.kept_features import KeptFeatures, project_kept, project_streamed

FeatureScaling = Literal["standard", "centre", "none"]
_BLOCK_NUMBERS = 1 << 21  # numbers per block, which fits in a CPU's cache
_ONE_BLOCK_NUMBERS = 1 << 23  # a batch up to this size is one block, which the backward pass reuses: 16 MiB
_BLOCK_ITEMS = 256
_KEPT_BYTES = 1 << 28  # up to this size, a shifted copy is kept
_LIMITS_BELOW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
_MIN_RELATIVE_STD = 1e-3
_MIN_RELATIVE_VARIANCE = 1e-20  # of equal features: the rounding of their mean


class ScaledFeatures(nn.Module):
    """Frame features as the models see them: c = (feature − shift) / scale, with mean squared norm 1.

    The paper leaves the scaling open, but it matters. VGG-19's features share a large common part
    (with random weights, nearly everything is common), and their norm is about 64, so that one step
    of Adam would move a projection further than a whole training should.

    - `standard`: each dimension minus its mean, divided by its standard deviation;
    - `centre`: each dimension minus its mean;
    - `none`: unchanged.

    Then all numbers are divided by one constant, so that the mean of ‖c‖² over frames is 1. If all frames have the
    same feature, only its rounding would be left, so c is 0 (unless the scaling is `none`). Means
    and deviations are over all frames of the snapshot; they use no labels. They are saved with the
    weights, so that new pictures are scaled in the same way.

    The features stay on the CPU, in the type that they are stored in (they may be a mapped file). The scaling is
    folded into the projection: W c = (W / scale) feature − (W / scale) shift. A GPU keeps a copy of
    feature − shift in the type that it multiplies; if its memory is too small, they pass through in blocks.
    """

    features: Tensor  # (L, F) float16 or float32, not a buffer: it does not move with the module
    shift: Tensor  # (F,)
    inverse_scale: Tensor  # (F,)

    def __init__(self, features: Tensor, scaling: FeatureScaling) -> None:
        super().__init__()
        mean, variance = _moments(features)
        shift = torch.zeros_like(mean) if scaling == "none" else mean
        inverse = torch.ones_like(mean)
        if scaling == "standard":  # do not amplify a dimension that hardly varies
            deviation = variance.sqrt()
            inverse = 1 / deviation.clamp_min(max(_MIN_RELATIVE_STD * float(deviation.max()), 1e-12))
        squares = variance + (mean - shift).square()
        norm = (squares * inverse.square()).sum().sqrt()
        self.features = features
        self.register_buffer("shift", shift.float())
        varies = scaling == "none" or bool(variance.sum() > _MIN_RELATIVE_VARIANCE * mean.square().sum())
        self.register_buffer("inverse_scale", (varies * inverse / norm.clamp_min(1e-12)).float())
        self._shifted_copy: Tensor | None = None
        self._block_memory: Tensor | None = None
        self._kept = KeptFeatures()

    @property
    def width(self) -> int:
        """F."""
        return self.features.shape[1]

    @property
    def n_frames(self) -> int:
        """L."""
        return len(self.features)

    def fits(self) -> bool:
        """Return whether the GPU that this module is on keeps the features; if not, they pass through in blocks."""
        return self._kept.of(self.features, self.shift, _multiplied_type(self.shift)) is not None

    def project(self, weight: Tensor, frames: Tensor | None) -> Tensor:
        """Return (m, d) rows W c_k for (d, F) `weight` and (m,) int64 `frames`; None for all frames in order."""
        folded = weight * self.inverse_scale  # (d, F)
        projected: Tensor
        if weight.device.type == "cuda" or are_static():
            kept = self._kept.of(self.features, self.shift, _multiplied_type(weight))
            if kept is not None:
                return project_kept(folded, kept, frames)
            projected = project_streamed(folded, self.features, self.shift)
            return projected if frames is None else embedding(frames, projected)
        if frames is None:
            frames = torch.arange(self.n_frames)
        dtype = _multiplied_type(weight)
        is_kept = weight.dtype == torch.float32 and self.features.numel() * dtype.itemsize <= _KEPT_BYTES
        if is_kept or dtype == torch.bfloat16:
            source = (self._shifted(dtype), None) if is_kept else (self.features, self.shift)
            projected = _Project.apply(folded, *source, frames, self._block_memory_for(source[0]))
            return projected
        projected = _Project.apply(folded, self.features, None, frames, self._block_memory_for(self.features))
        return projected - folded @ self.shift  # (m, d)

    def _shifted(self, dtype: torch.dtype) -> Tensor:
        """Return (L, F) `features - shift` in the type that is multiplied, computed once instead of in every batch."""
        if self._shifted_copy is None or self._shifted_copy.dtype != dtype:
            blocks = torch.split(self.features, _block_rows(self.features))
            self._shifted_copy = torch.cat([(block.float() - self.shift).to(dtype) for block in blocks])
        return self._shifted_copy

    def _load_from_state_dict(self, *arguments: Any) -> None:
        """Load, and drop the shifted features if the loaded shift differs."""
        before = self.shift.clone()
        super()._load_from_state_dict(*arguments)
        if not torch.equal(before, self.shift):
            self._shifted_copy, self._kept = None, KeptFeatures()

    def _block_memory_for(self, features: Tensor) -> Tensor:
        """Return a buffer for a block of features. It is reused, because fresh memory costs more than filling it."""
        kept = self._block_memory
        if kept is None or kept.dtype != features.dtype:
            rows = max(_block_rows(features), _ONE_BLOCK_NUMBERS // features.shape[1])
            kept = self._block_memory = features.new_empty(min(rows, len(features)), features.shape[1])
        return kept


class FixedProjection(ScaledFeatures):
    """Features that are projected by weights which do not change, so all frames are projected once for each weight.

    Args:
        features: the features.
    """

    def __init__(self, features: ScaledFeatures) -> None:
        nn.Module.__init__(self)
        self.features = features.features
        self.register_buffer("shift", features.shift)
        self.register_buffer("inverse_scale", features.inverse_scale)
        self._project, self._weight, self._projected = features.project, torch.zeros(0), torch.zeros(0)

    @torch.no_grad()
    def project(self, weight: Tensor, frames: Tensor | None) -> Tensor:
        """Return (m, d) rows W c_k for (d, F) `weight` and (m,) int64 `frames`; None for all frames in order."""
        if not torch.equal(weight, self._weight):
            self._weight, self._projected = weight.clone(), self._project(weight, None)
        return self._projected if frames is None else embedding(frames, self._projected)


@cache
def multiplies_bfloat16(device_type: str) -> bool:
    """Return whether a "cpu" or "cuda" device multiplies bfloat16 matrices natively."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()  # of oneDNN, which multiplies
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")) and limit not in _LIMITS_BELOW


def _multiplied_type(weight: Tensor) -> torch.dtype:
    """Return the type that the features are multiplied in: bfloat16 for float32 weights, where that is native."""
    is_rounded = weight.dtype == torch.float32 and multiplies_bfloat16(weight.device.type)
    return torch.bfloat16 if is_rounded else weight.dtype


class _Project(torch.autograd.Function):
    """`features[frames] @ weight.T`, a block of frames at a time, forward and backward.

    With a (F,) `shift` it is `(features[frames] - shift) @ weight.T` in bfloat16. The shift is
    subtracted before rounding; otherwise the rounding error would be that of the large part that
    all frames share. bfloat16 and float32 features are multiplied as they are. `buffer` is overwritten; the
    backward pass of a one-block batch reuses it, unless another batch has overwritten it.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, features: Tensor, shift: Tensor | None, frames: Tensor, buffer: Tensor
    ) -> Tensor:
        ctx.save_for_backward(features, shift, frames)
        projected = weight.new_empty(len(frames), len(weight))
        last = None
        for rows, block in _blocks(features, shift, frames, weight.dtype, buffer):
            projected[rows] = _multiply(block, weight.to(block.dtype))
            last = rows, block
        ctx.buffer, ctx.last, ctx.version = buffer, last, buffer._version
        return projected

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        features, shift, frames = ctx.saved_tensors
        is_reusable = 0 < len(frames) <= len(ctx.buffer) and ctx.buffer._version == ctx.version
        blocks = [ctx.last] if is_reusable else _blocks(features, shift, frames, gradient.dtype, ctx.buffer)
        of_weight = gradient.new_zeros(gradient.shape[1], features.shape[1])
        for rows, block in blocks:
            of_weight += gradient[rows].T.to(block.dtype) @ block
        return of_weight, None, None, None, None


def _multiply(block: Tensor, weight: Tensor) -> Tensor:
    """Return (rows, d) `block @ weight.T`, computed in the order that is faster for this d."""
    return block @ weight.T if len(weight) % 16 == 0 else (weight @ block.T).T


def _blocks(
    features: Tensor, shift: Tensor | None, frames: Tensor, dtype: torch.dtype, buffer: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks: their slice of `frames`, and their (rows, F) features in `dtype` or bfloat16.

    A block may be in `buffer`, which the next block overwrites. In a large batch, the frames of most
    blocks are consecutive, and such blocks need no gathering.
    """
    size = len(buffer) if len(frames) <= len(buffer) else _block_rows(features)
    for start in range(0, len(frames), size):
        chosen = frames[start : start + size]
        first, last = int(chosen[0]), int(chosen[-1])
        is_run = last - first + 1 == len(chosen) and bool((chosen.diff() == 1).all())
        gathered = None if is_run else torch.index_select(features, 0, chosen, out=buffer[: len(chosen)])
        block = features[first : last + 1] if gathered is None else gathered
        if shift is not None:
            block = (block.to(dtype) - shift).bfloat16()
        yield slice(start, start + size), block if block.dtype == torch.bfloat16 else block.to(dtype)


def mean_by_item(features: Tensor, offsets: Tensor) -> Tensor:
    """Return (N, F) float32 means over the frames of each item; items without frames get the mean of the others.

    Args:
        features: (L, F) float16 or float32.
        offsets: (N + 1,) int64, the frames of the items (`Frames.offsets`).
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
    blocks = torch.split(features, _block_rows(features))
    for block in blocks:
        mean += block.double().sum(0) / len(features)
    for block in blocks:
        variance += (block.double() - mean).square().sum(0) / len(features)
    return mean, variance


def _block_rows(features: Tensor) -> int:
    return max(1, _BLOCK_NUMBERS // features.shape[1])
