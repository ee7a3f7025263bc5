"""A graph of similar items: for each item its k nearest neighbours by the cosine of their vectors, with weights."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

_BLOCK_NUMBERS = 1 << 24  # cosines at a time: 64 MiB


@dataclass(frozen=True)
class ItemGraph:
    """A sparse (N, N) matrix with the same number of entries in each row.

    Attributes:
        neighbours: (N, k) int64: the columns of a row's entries; a column that occurs twice counts twice.
        weights: (N, k) float: the entries.
    """

    neighbours: Tensor
    weights: Tensor

    def propagate(self, items: Tensor, n_layers: int) -> Tensor:
        """Return the matrix's power `n_layers` times (N, d) `items`."""
        for _ in range(n_layers):
            items = (self.weights.unsqueeze(2) * embedding(self.neighbours, items)).sum(1)
        return items

    def detach(self) -> "ItemGraph":
        """Return the graph without gradients."""
        return ItemGraph(self.neighbours, self.weights.detach())


def mixed(graphs: list[ItemGraph], shares: list[Tensor | float]) -> ItemGraph:
    """Return Σ share · graph."""
    weights = [share * graph.weights for share, graph in zip(shares, graphs, strict=True)]
    return ItemGraph(torch.cat([graph.neighbours for graph in graphs], 1), torch.cat(weights, 1))


@torch.no_grad()
def nearest(vectors: Tensor, known: Tensor, k: int) -> Tensor:
    """Return (N, k) int64: each item's k nearest items by cosine, itself included, the nearest first.

    An item without a vector has only itself as a neighbour, k times, and is no other item's neighbour. If fewer than
    k items have a vector, the last neighbours repeat.

    Args:
        vectors: (N, F) float.
        known: (n,) int64, the items that have a vector.
        k: number of neighbours.
    """
    neighbours = torch.arange(len(vectors), device=vectors.device)[:, None].repeat(1, k)
    if not len(known):
        return neighbours
    unit = normalize(vectors[known].float(), dim=1)
    rows_at_once = max(1, _BLOCK_NUMBERS // len(known))
    for items, rows in zip(torch.split(known, rows_at_once), torch.split(unit, rows_at_once), strict=True):
        found = torch.topk(rows @ unit.T, min(k, len(known)), dim=1).indices
        found = torch.cat([found, found[:, -1:].expand(-1, k - found.shape[1])], 1)
        neighbours[items] = known[found]
    return neighbours


def cosines(vectors: Tensor, neighbours: Tensor) -> Tensor:
    """Return (N, k) cosines of (N, F) `vectors` and the vectors of their (N, k) `neighbours`, with gradients."""
    unit = normalize(vectors, dim=1)
    columns = [(unit * embedding(column, unit)).sum(1) for column in neighbours.T]  # one (N, F) at a time
    return torch.stack(columns, 1)


def symmetric(neighbours: Tensor, similarities: Tensor) -> ItemGraph:
    """Return D^(−1/2) S D^(−1/2) for (N, k) `similarities` S and the diagonal D of their row sums."""
    scale = similarities.sum(1).clamp_min(1e-12).rsqrt()  # (N,)
    return ItemGraph(neighbours, scale[:, None] * similarities * scale[neighbours])
