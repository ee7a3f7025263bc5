"""Rows of different lengths stored in one tensor."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class JaggedTensor:
    """Rows of different lengths: row r is `values[offsets[r]:offsets[r + 1]]`, in ascending order.

    Attributes:
        offsets: (R + 1,) int64.
        values: (n,) int64.
    """

    offsets: Tensor
    values: Tensor

    @property
    def lengths(self) -> Tensor:
        """(R,) int64."""
        return self.offsets.diff()

    @property
    def owners(self) -> Tensor:
        """(n,) int64: the row that each value belongs to."""
        return torch.repeat_interleave(self.lengths)

    def to(self, device: str | torch.device) -> "JaggedTensor":
        """Return the same rows on a device."""
        return JaggedTensor(self.offsets.to(device), self.values.to(device))

    def mask(self, rows: Tensor, width: int) -> Tensor:
        """Return (m, width) bool: whether each of the values 0, …, `width` − 1 is in each of the (m,) `rows`."""
        positions, owners = row_positions(self.offsets, rows)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        mask[owners, self.values[positions]] = True
        return mask


def row_positions(offsets: Tensor, rows: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the positions of all values of `rows`, row after row, and which of `rows` owns each of them.

    Args:
        offsets: (R + 1,) int64.
        rows: (m,) int64, in any order; rows may be empty or repeat.
        size: n, at least the number of values; the rest is padding, with position 0 and owner m. So the shape does
            not depend on values (`model.models.static_shapes`). None for exactly as many as there are.

    Returns:
        (n,) int64 positions between 0 and `offsets[-1]`, and (n,) int64 owners: positions in `rows`, ascending.
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    ends = lengths.cumsum(0)
    if size is not None:
        place = torch.arange(size, device=offsets.device)
        owners = torch.searchsorted(ends, place, right=True)
        positions = place + (starts + lengths - ends)[owners.clamp_max(len(rows) - 1)]
        return positions.masked_fill(owners >= len(rows), 0), owners
    owners = torch.repeat_interleave(lengths)
    before = ends - lengths
    positions = torch.arange(len(owners), device=offsets.device) + (starts - before)[owners]
    return positions, owners


def group_by_row(rows: Tensor, values: Tensor, n_rows: int) -> JaggedTensor:
    """Return (n,) `values` grouped by their (n,) `rows`, in ascending order within a row."""
    order = torch.argsort(values, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    offsets = torch.zeros(n_rows + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(rows, minlength=n_rows).cumsum(0)
    return JaggedTensor(offsets, values[order])
