"""Sums, means and softmaxes per owner: over the rows of a jagged tensor.

`values` are (n, …), and `owners` are (n,) int64, ascending: the row of each value, as
`model.data.jagged.row_positions` returns them. If that function is given a size, it adds padding, whose owner
is `n_owners`; padding counts nowhere, and gets 0.

On a GPU, and with static shapes (`model.models.static_shapes`), sums are taken owner by owner and never by
atomic additions, so they are the same in every run on the same GPU.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding
from torch.utils.weak import WeakIdKeyDictionary

from model.models.static_shapes import for_gpu

_known_offsets = WeakIdKeyDictionary()  # by `owners`, which are never changed in place


def sum_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) sums of `values` per owner; zero for owners without values."""
    if for_gpu(values):
        sums: Tensor = _SumBy.apply(values, _offsets(owners, n_owners))
        return sums
    return values.new_zeros(n_owners, *values.shape[1:]).index_add(0, owners, values)


def counts_by(owners: Tensor, n_owners: int) -> Tensor:
    """Return the (n_owners,) int64 numbers of values per owner."""
    return _offsets(owners, n_owners).diff() if for_gpu(owners) else torch.bincount(owners, minlength=n_owners)


def mean_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) means of `values` per owner; zero for owners without values."""
    weights = 1 / counts_by(owners, n_owners).clamp_min(1).to(values.dtype)
    return sum_by(owners, values, n_owners) * weights.view(-1, *[1] * (values.dim() - 1))


def softmax_by(owners: Tensor, logits: Tensor, n_owners: int) -> Tensor:
    """Return the (n,) softmax of (n,) `logits` over the entries of the same owner; a logit of −inf gets weight 0."""
    if for_gpu(logits):
        softmax: Tensor = _SoftmaxBy.apply(logits, _offsets(owners, n_owners))
        return softmax
    highest = logits.new_full((n_owners,), -torch.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    weights = torch.exp(logits - highest[owners])
    return weights / sum_by(owners, weights, n_owners)[owners]


def spread_by(owners: Tensor, rows: Tensor) -> Tensor:
    """Return (n, …) `rows[owners]`: the value of its owner for each entry."""
    if for_gpu(rows):
        spread: Tensor = _SpreadBy.apply(rows, _offsets(owners, len(rows)), len(owners))
        return spread
    return embedding(owners, rows) if rows.dim() == 2 else rows[owners]


def spread_through(outer: Tensor, inner: Tensor, rows: Tensor) -> Tensor:
    """Return `rows[outer[inner]]`, the value of its owner's owner for each entry, without an index into padding."""
    return spread_by(inner, spread_by(outer, rows)) if for_gpu(rows) else spread_by(outer[inner], rows)


def _offsets(owners: Tensor, n_owners: int) -> Tensor:
    """Return the (n_owners + 1,) positions in `owners` where each owner's entries start; the last is their end."""
    known: Tensor | None = _known_offsets.get(owners)  # type: ignore[no-untyped-call]
    if known is None or len(known) != n_owners + 1:
        known = torch.searchsorted(owners, torch.arange(n_owners + 1, device=owners.device))
        _known_offsets[owners] = known
    return known


def _sum(values: Tensor, offsets: Tensor, kind: str = "sum") -> Tensor:
    """Return the sums of `values` between the offsets. Columns are summed in parallel, so a vector is made one."""
    if values.dim() == 1:
        return _sum(values[:, None], offsets, kind)[:, 0]
    return torch.segment_reduce(values.contiguous(), kind, offsets=offsets, unsafe=True)


def _spread(rows: Tensor, offsets: Tensor, n: int) -> Tensor:
    """Return (n, …): each of `rows` repeated between its offsets, 0 after the last. Gathering short rows is slower."""
    if rows.dim() == 1:
        return _spread(rows[:, None], offsets, n)[:, 0]
    rows = rows.contiguous()
    spread: Tensor = torch.ops.aten._segment_reduce_backward(
        rows, rows, rows.new_empty(n, *rows.shape[1:]), "sum", offsets=offsets
    )
    return spread


class _SumBy(torch.autograd.Function):
    """Sums per owner; the gradient of a value is that of its owner's sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(offsets)
        ctx.n = len(values)
        return _sum(values, offsets)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (offsets,) = ctx.saved_tensors
        return _spread(gradients[0], offsets, ctx.n), None


class _SpreadBy(torch.autograd.Function):
    """The value of its owner for each entry; the gradient of a value is the sum over its entries."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, offsets: Tensor, n: int) -> Tensor:
        ctx.save_for_backward(offsets)
        return _spread(rows, offsets, n)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _sum(gradients[0], *ctx.saved_tensors), None, None


class _SoftmaxBy(torch.autograd.Function):
    """The softmax per owner, 0 for padding."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, offsets: Tensor) -> Tensor:
        highest = _sum(logits, offsets, "max").clamp_min_(torch.finfo(logits.dtype).min)  # also if all are −inf
        weights = (logits - _spread(highest, offsets, len(logits))).clamp_max_(0).exp_()
        total = _sum(weights, offsets)
        softmax = weights * _spread(total.reciprocal().masked_fill_(total == 0, 0), offsets, len(logits))
        ctx.save_for_backward(softmax, offsets)
        return softmax

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        softmax, offsets = ctx.saved_tensors
        weighted = softmax * gradients[0]
        return weighted - softmax * _spread(_sum(weighted, offsets), offsets, len(softmax)), None
