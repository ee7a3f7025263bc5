"""SLIM: a sparse linear model from items to items, with weights that are not negative.

    minimise ½‖x_j − Σ_i x_i w_ij‖² + ½ λ₂ ‖w_j‖² + λ₁ Σ_i w_ij  over w_ij ≥ 0 with w_jj = 0,  for every item j
    r̂_aj = Σ_{i ∈ I_a} w_ij

x_j is the column of item j: 1 for every user who has it. Only the k items most similar to j (by the cosine) may have a
weight w_ij: this is fsSLIM, the feature selection of the same paper. With k = N − 1 it is SLIM itself.

Coordinate descent needs only XᵀX: with g_ij = x_iᵀ x_j, one step sets
w_ij ← max(0, g_ij − Σ_{l ≠ i} g_il w_lj − λ₁) / (g_ii + λ₂). It runs for many items j side by side.

Source: Ning & Karypis 2011; Friedman et al. 2010 for coordinate descent.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from model.data.memory import require_memory
from model.data.tensors import TrainingData
from model.models.sparse import Csr, Indices, SparseRecommender, cosine, interaction_matrix, strongest_products

_BLOCK_NUMBERS = 1 << 23
_BYTES_PER_PRODUCT = 20  # a float64, a float32 and an index, until the float64 is dropped
_MOST_SWEEPS = 100
_TOLERANCE = 1e-4  # the largest change of a weight in the last sweep


@dataclass(frozen=True)
class SLIMConfig:
    """The settings.

    Attributes:
        l1: λ₁; more of it makes more weights zero.
        l2: λ₂.
        neighbours: k.
    """

    l1: float = 0.1
    l2: float = 100.0
    neighbours: int = 100


class SLIM(SparseRecommender):
    """A few weights for each item."""

    tried = ("l1=0.1,1", "l2=20,50,100,200", "neighbours=50,100,200")

    def fit(self, data: TrainingData) -> float:
        """Compute the weights; return the loss per train interaction.

        Raises:
            TrainingError: XᵀX does not fit into the memory.
        """
        x = interaction_matrix(data)
        n = x.sum(0)
        by_item = x.T.tocsr()
        nearest = strongest_products(by_item, x, self.config.neighbours, cosine(n))
        n_products = min(data.n_items**2, int((x.sum(1) ** 2).sum()))
        require_memory(_BYTES_PER_PRODUCT * n_products, "slim: XᵀX", "train itemknn, which never keeps it whole")
        gram, config = sparse.csr_matrix(by_item @ x, dtype=np.float32), self.config
        gram.sort_indices()
        found, losses = [], 0.0
        step = max(1, _BLOCK_NUMBERS // config.neighbours**2)
        for start in range(0, data.n_items, step):
            items = np.arange(start, min(start + step, data.n_items))
            candidates, is_one = _candidates(nearest, items)
            g = _entries(gram, candidates[:, :, None], candidates[:, None, :])  # (B, k, k)
            g *= is_one[:, :, None] & is_one[:, None, :]
            target = _entries(gram, candidates, items[:, None]) * is_one  # (B, k)
            weights = self._solve(torch.from_numpy(g), torch.from_numpy(target))
            losses += n[items].sum() / 2 + float(_objectives(weights, g, target, config).sum())
            b, place = weights.nonzero()
            found.append((weights[b, place], candidates[b, place], items[b]))
        values, rows, columns = (np.concatenate(part) for part in zip(*found, strict=True))
        self.keep(sparse.csr_array((values, (rows, columns)), shape=gram.shape))
        return losses / len(data.positives.values)

    def _solve(self, gram: Tensor, target: Tensor) -> npt.NDArray[np.float32]:
        device = self.history_offsets.device
        weights = coordinate_descent(gram.to(device), target.to(device), self.config.l1, self.config.l2)
        return weights.cpu().numpy()


def _candidates(nearest: Csr, items: Indices) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Return (B, k) items that may have a weight for each of (B,) items, and which of them are real; others are 0."""
    starts, counts = nearest.indptr[items], nearest.indptr[items + 1] - nearest.indptr[items]
    places = np.arange(max(1, counts.max(initial=0)))
    is_one = places < counts[:, None]
    positions = np.where(is_one, starts[:, None] + places, 0)
    candidates = nearest.indices[positions] if nearest.nnz else np.zeros_like(positions)
    return np.where(is_one, candidates, 0), is_one


def _entries(matrix: Csr, rows: Indices, columns: Indices) -> npt.NDArray[np.float32]:
    """Return `matrix[rows, columns]` as a dense array; the two are broadcast."""
    cells = [part.ravel() for part in np.broadcast_arrays(rows, columns)]
    entries = np.zeros(np.broadcast_shapes(rows.shape, columns.shape), dtype=np.float32)
    entries.ravel()[:] = np.asarray(matrix[cells[0], cells[1]]).ravel()
    return entries


def _objectives(
    weights: npt.NDArray[np.float32], gram: npt.NDArray[np.float32], target: npt.NDArray[np.float32], config: SLIMConfig
) -> npt.NDArray[np.float32]:
    """Return the (B,) losses without their constant, ½‖x_j‖²."""
    quadratic = np.einsum("bi,bij,bj->b", weights, gram, weights) + config.l2 * (weights**2).sum(1)
    losses: npt.NDArray[np.float32] = quadratic / 2 - (weights * target).sum(1) + config.l1 * weights.sum(1)
    return losses


def coordinate_descent(gram: Tensor, target: Tensor, l1: float, l2: float) -> Tensor:
    """Return (B, k) weights ≥ 0 that minimise ½ wᵀ G w − gᵀ w + ½ λ₂ ‖w‖² + λ₁ Σ w, for B problems side by side.

    Args:
        gram: (B, k, k) G.
        target: (B, k) g.
        l1: λ₁.
        l2: λ₂.
    """
    weights, rest = torch.zeros_like(target), target.clone()  # rest: g − G w
    scale = (gram.diagonal(dim1=1, dim2=2) + l2).clamp_min(torch.finfo(gram.dtype).tiny)  # (B, k)
    own = gram.diagonal(dim1=1, dim2=2)
    by_coordinate = gram.transpose(0, 1).contiguous()  # (k, B, k)
    for _ in range(_MOST_SWEEPS):
        largest = gram.new_zeros(())
        for i in range(target.shape[1]):
            new = ((rest[:, i] + own[:, i] * weights[:, i] - l1) / scale[:, i]).clamp_min_(0)  # (B,)
            change = new - weights[:, i]
            weights[:, i] = new
            rest.addcmul_(by_coordinate[i], change[:, None], value=-1)
            largest = torch.maximum(largest, change.abs().max())
        if float(largest) < _TOLERANCE:
            break
    return weights
