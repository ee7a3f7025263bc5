"""Sums, means and softmaxes per owner: over the rows of a jagged tensor.

`values` are (n, …), and `owners` are (n,) int64 below `n_owners`: the row of each value, as
`model.data.jagged.row_positions` returns them.
"""

import torch
from torch import Tensor


def sum_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) sums of `values` per owner; zero for owners without values."""
    return values.new_zeros(n_owners, *values.shape[1:]).index_add(0, owners, values)


def mean_by(owners: Tensor, values: Tensor, n_owners: int) -> Tensor:
    """Return (n_owners, …) means of `values` per owner; zero for owners without values."""
    weights = 1 / torch.bincount(owners, minlength=n_owners).clamp_min(1).to(values.dtype)
    return sum_by(owners, values, n_owners) * weights.view(-1, *[1] * (values.dim() - 1))


def softmax_by(owners: Tensor, logits: Tensor, n_owners: int) -> Tensor:
    """Return the (n,) softmax of (n,) `logits` over the entries of the same owner."""
    highest = logits.new_full((n_owners,), -torch.inf).scatter_reduce(0, owners, logits.detach(), "amax")
    weights = torch.exp(logits - highest[owners])
    return weights / sum_by(owners, weights, n_owners)[owners]
