"""Frame features on a GPU: a copy is kept there and multiplied; if that is too large, blocks pass through.

The copy is feature − shift, rounded to the type that the matrix units multiply; products are summed in float32.
Nothing here depends on a value on the GPU, so the host never waits for it.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 28  # of features that are copied to the GPU at once
_LEFT_FREE = 0.3  # the part of a GPU's free memory that the kept features leave to everything else
_ALIGNED = 8  # matrix units are fast if the numbers per row are a multiple of this
_SPLITS = 32  # a gradient is the sum of this many products, because one product of few rows leaves a GPU idle


class KeptFeatures:
    """The copy of the features, made when it is first needed."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None
        self._too_large: torch.device | None = None

    def of(self, features: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Return (L, F) `features - shift` in `dtype` on the device of `shift`; None if they do not fit there."""
        kept = self._kept
        if kept is not None and (kept.device, kept.dtype) == (shift.device, dtype):
            return kept
        if self._too_large == shift.device:
            return None
        self._kept = None
        need, free = features.numel() * dtype.itemsize, _free_bytes(shift.device)
        size = f"features: {len(features):,} × {features.shape[1]:,} as {str(dtype).removeprefix('torch.')}"
        if need > (1 - _LEFT_FREE) * free:
            logger.warning(
                "%s need %.1f GiB on %s, where %.1f are free; they pass through in blocks, which is slower",
                size, need / 2**30, shift.device, free / 2**30,
            )  # fmt: skip
            self._too_large = shift.device
            return None
        kept = torch.empty(features.shape, dtype=dtype, device=shift.device)
        for rows, block in _blocks(features, shift, dtype):
            kept[rows] = block
        logger.info("%s are kept on %s: %.1f GiB", size, shift.device, need / 2**30)
        self._kept = kept
        return kept


def project_kept(weight: Tensor, kept: Tensor, frames: Tensor | None) -> Tensor:
    """Return (m, d) `kept[frames] @ weight.T` in the type of (d, F) `weight`; `frames` may be None for all."""
    spare = -len(weight) % _ALIGNED if kept.dtype != weight.dtype else 0
    projected: Tensor = _ProjectKept.apply(pad(weight, (0, 0, 0, spare)) if spare else weight, kept, frames)
    return projected[:, : len(weight)] if spare else projected


def project_streamed(weight: Tensor, features: Tensor, shift: Tensor) -> Tensor:
    """Return (L, d) `(features - shift) @ weight.T`, whose features are copied to the GPU block by block."""
    projected: Tensor = _ProjectStreamed.apply(weight, features, shift)
    return projected


class _ProjectKept(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, kept: Tensor, frames: Tensor | None) -> Tensor:
        rows = kept if frames is None else kept.index_select(0, frames)
        ctx.rows = rows
        return _product(rows, weight.T.to(rows.dtype), weight.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        of_weight = _of_weight(gradients[0].to(ctx.rows.dtype), ctx.rows, gradients[0].dtype)
        return of_weight, None, None


class _ProjectStreamed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, features: Tensor, shift: Tensor) -> Tensor:
        ctx.features, ctx.shift = features, shift
        return torch.cat([block @ weight.T for _, block in _blocks(features, shift, weight.dtype)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        of_weight = gradient.new_zeros(gradient.shape[1], ctx.features.shape[1])
        for rows, block in _blocks(ctx.features, ctx.shift, gradient.dtype):
            of_weight += gradient[rows].T @ block
        return of_weight, None, None


def _blocks(features: Tensor, shift: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows: their slice, and their (rows, F) `features - shift` in `dtype` on the device of `shift`."""
    size = max(1, _BLOCK_BYTES // (features.shape[1] * features.element_size()))
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    for start in range(0, len(features), size):
        block = features[start : start + size].to(shift.device).to(exact)
        yield slice(start, start + size), (block - shift).to(dtype)


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `a @ b` with sums and results in `dtype`."""
    if a.device.type == "cuda" and a.dtype != dtype:
        return torch.mm(a, b, out_dtype=dtype)
    return (a @ b).to(dtype)


def _of_weight(gradient: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (d, F) `gradient.T @ rows` with sums and results in `dtype`, for (k, d) and (k, F)."""
    if rows.device.type != "cuda" or len(rows) < _SPLITS:
        return _product(gradient.T, rows, dtype)
    return _in_parts(gradient, rows, dtype)


def _in_parts(gradient: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the same as the sum of `_SPLITS` products and of one for the rest."""
    each = len(rows) // _SPLITS
    split = each * _SPLITS
    a, b = (part[:split].view(_SPLITS, each, -1) for part in (gradient, rows))
    a = a.transpose(1, 2)
    products = torch.bmm(a, b) if rows.dtype == dtype else torch.bmm(a, b, out_dtype=dtype)
    total: Tensor = products.sum(0)
    return total if split == len(rows) else total + _product(gradient[split:].T, rows[split:], dtype)


def _free_bytes(device: torch.device) -> int:
    """Return how many bytes can be allocated on a device; on a CPU, any number."""
    if device.type != "cuda":
        return 1 << 62
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
