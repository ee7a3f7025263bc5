"""The distinct items of a batch, so that what depends on the item alone is computed once per item."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.models.lookup import lookup
from model.models.static_shapes import are_static

MANY = 0.4  # from this share of all rows on, taking all of them is cheaper than gathering some


@dataclass(frozen=True)
class Distinct:
    """Rows among which every index of a batch is found.

    Attributes:
        rows: (m,) int64. With static shapes, they are either all rows in order, or the batch's own, repeats included.
        which: int64 of the batch's shape, positions in `rows`.
        are_all: whether `rows` are all rows, in order.
    """

    rows: Tensor
    which: Tensor
    are_all: bool = False

    def of_each(self, values: Tensor) -> Tensor:
        """Return (*which.shape, d) values for (m, d) `values` of the rows."""
        if are_static() and not self.are_all:
            return values.view(*self.which.shape, values.shape[1])
        return lookup(self.which, values)

    def taken_from(self, table: Tensor) -> Tensor:
        """Return (m, d) rows of an (n, d) `table`."""
        return table if self.are_all else lookup(self.rows, table)


def distinct(indices: Tensor, n: int, prefers_all: bool = False) -> Distinct:
    """Return the distinct values of `indices`, which are below `n`; with static shapes and `prefers_all`, all rows."""
    if not are_static():
        return Distinct(*torch.unique(indices, return_inverse=True))
    if prefers_all or indices.numel() >= MANY * n:
        return Distinct(torch.arange(n, device=indices.device), indices, are_all=True)
    return Distinct(indices.flatten(), torch.arange(indices.numel(), device=indices.device).view(indices.shape))
