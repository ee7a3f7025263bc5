"""Sums, means and softmaxes per owner: over the rows of a jagged tensor.

`values` are (n, …), and `owners` are (n,) int64, ascending: the row of each value, as
`model.data.jagged.row_positions` returns them. With a size of its own, that function adds padding, whose
owner is `n_owners`; padding counts nowhere, and gets 0.

On a GPU, and with static shapes (`model.models.static_shapes`), sums are taken owner by owner and never by
atomic additions, so they are the same in every run on the same GPU.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from model.models.static_shapes import are_static


def sum_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) sums of `values` per owner; zero for owners without values."""
    if _by_owner(values):
        sums: Tensor = _SumBy.apply(values, owners, _offsets(owners, n_owners))
        return sums
    return values.new_zeros(n_owners, *values.shape[1:]).index_add(0, owners, values)


def counts_by(owners: Tensor, n_owners: int) -> Tensor:
    """Return the (n_owners,) int64 numbers of values per owner."""
    return _offsets(owners, n_owners).diff() if _by_owner(owners) else torch.bincount(owners, minlength=n_owners)


def mean_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) means of `values` per owner; zero for owners without values."""
    weights = 1 / counts_by(owners, n_owners).clamp_min(1).to(values.dtype)
    return sum_by(owners, values, n_owners) * weights.view(-1, *[1] * (values.dim() - 1))


def softmax_by(owners: Tensor, logits: Tensor, n_owners: int) -> Tensor:
    """Return the (n,) softmax of (n,) `logits` over the entries of the same owner; a logit of −inf gets weight 0."""
    if _by_owner(logits):
        return _softmax_by_owner(owners, logits, n_owners)
    highest = logits.new_full((n_owners,), -torch.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    weights = torch.exp(logits - highest[owners])
    return weights / sum_by(owners, weights, n_owners)[owners]


def spread_by(owners: Tensor, rows: Tensor) -> Tensor:
    """Return (n, …) `rows[owners]`: the value of its owner for each entry."""
    if _by_owner(rows):
        spread: Tensor = _SpreadBy.apply(rows, owners, _offsets(owners, len(rows)))
        return spread
    return embedding(owners, rows) if rows.dim() == 2 else rows[owners]


def spread_through(outer: Tensor, inner: Tensor, rows: Tensor) -> Tensor:
    """Return `rows[outer[inner]]`, the value of its owner's owner for each entry, without an index into padding."""
    return spread_by(inner, spread_by(outer, rows)) if _by_owner(rows) else spread_by(outer[inner], rows)


def _by_owner(values: Tensor) -> bool:
    """Return whether sums are taken owner by owner; a CPU is faster, and as exact, with additions in place."""
    return are_static() or values.device.type == "cuda"


def _softmax_by_owner(owners: Tensor, logits: Tensor, n_owners: int) -> Tensor:
    is_padding = owners >= n_owners
    with torch.no_grad():
        highest = torch.segment_reduce(logits, "max", offsets=_offsets(owners, n_owners), unsafe=True)
        highest = highest.clamp_min(torch.finfo(logits.dtype).min)  # of an owner without entries, or with −inf only
    weights = (logits - _rows_or_zero(highest, owners)).masked_fill(is_padding, -torch.inf).exp()
    total = sum_by(owners, weights, n_owners)
    total = total.masked_fill(total <= 0, 1)
    return weights / spread_by(owners, total).masked_fill(is_padding, 1)


def _offsets(owners: Tensor, n_owners: int) -> Tensor:
    """Return the (n_owners + 1,) positions in `owners` where each owner's entries start; the last is their end."""
    return torch.searchsorted(owners, torch.arange(n_owners + 1, device=owners.device))


def _rows_or_zero(rows: Tensor, owners: Tensor) -> Tensor:
    """Return `rows[owners]`; 0 for padding, whose owner is `len(rows)`."""
    return torch.cat([rows, rows.new_zeros(1, *rows.shape[1:])]).index_select(0, owners)


class _SumBy(torch.autograd.Function):
    """Sums per owner; the gradient of a value is that of its owner's sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, owners: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(owners)
        return torch.segment_reduce(values.contiguous(), "sum", offsets=offsets, unsafe=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _rows_or_zero(gradients[0], *ctx.saved_tensors), None, None


class _SpreadBy(torch.autograd.Function):
    """The value of its owner for each entry; the gradient of a value is the sum over its entries."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, owners: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(offsets)
        return _rows_or_zero(rows, owners)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (offsets,) = ctx.saved_tensors
        return torch.segment_reduce(gradients[0].contiguous(), "sum", offsets=offsets, unsafe=True), None, None
