"""The items that users have already, as models like SVD++ read them: bounded, and as a matrix with padding."""

import torch
from torch import Tensor

from model.data.jagged import JaggedTensor


def bounded(positives: JaggedTensor, longest: int, generator: torch.Generator) -> JaggedTensor:
    """Return `positives` with at most `longest` values per row; longer rows are sampled uniformly."""
    keys = torch.rand(len(positives.values), generator=generator, dtype=torch.float64)
    order = torch.argsort(positives.owners + keys)  # shuffled within rows
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - positives.offsets[positives.owners]
    kept = rank < longest
    lengths = positives.lengths.clamp_max(longest)
    return JaggedTensor(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), positives.values[kept])


def padded(rows: JaggedTensor, padding: int) -> Tensor:
    """Return (R, L) int64: the values of each row, then `padding`; L is the length of the longest row, at least 1."""
    lengths = rows.lengths
    table = rows.values.new_full((len(lengths), max(1, int(lengths.max()))), padding)
    places = torch.arange(len(rows.values)) - rows.offsets[rows.owners]
    table[rows.owners, places] = rows.values
    return table
