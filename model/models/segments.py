"""Sums, means and softmaxes over rows of different lengths: (n, …) values, and whose each is.

`owners` are (n,) int64 numbers below `n_owners`, as `jagged.row_positions` returns them.
"""

import torch
from torch import Tensor


def sum_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) sums of the (n, …) `values` of each owner, zero for an owner of none."""
    return values.new_zeros(n_owners, *values.shape[1:]).index_add(0, owners, values)


def mean_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) means of the (n, …) `values` of each owner, zero for an owner of none."""
    weights = 1 / torch.bincount(owners, minlength=n_owners).clamp_min(1).to(values.dtype)
    return sum_by(owners, values, n_owners) * weights.view(-1, *[1] * (values.dim() - 1))


def softmax_by(owners: Tensor, logits: Tensor, n_owners: int) -> Tensor:
    """Return the softmax of (n,) `logits` over the entries of the same owner."""
    highest = logits.new_full((n_owners,), -torch.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    weights = torch.exp(logits - highest[owners])
    return weights / sum_by(owners, weights, n_owners)[owners]
