"""Sparse matrices for models that count and compare: SciPy builds them, and torch multiplies them row by row.

r̂ = left · right, where one of the two is the train interactions X (1 where a user has an item, else 0) and
the other the weights that the model has learnt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from model.data.jagged import JaggedTensor, row_positions
from model.data.tensors import TrainingData
from model.models.recommender import Config, FittedRecommender, Scorer

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.integer[Any]]
Csr = Any
"""A `scipy.sparse.csr_array`; SciPy has no types."""

_BLOCK_PRODUCTS = 1 << 24  # terms of sums in a block; each sum becomes an entry of 12 bytes


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix: row r has `values[n]` in column `columns[n]`, for n from `offsets[r]` to `offsets[r + 1] - 1`.

    Attributes:
        offsets: (R + 1,) int64.
        columns: (n,) int64.
        values: (n,) float32; None if all are 1.
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor | None = None


@dataclass(frozen=True)
class SparseProductScorer(Scorer):
    """Scores that are the rows of a product of two sparse matrices.

    Attributes:
        left: (M, R).
        right: (R, N).
        n_items: N.
    """

    left: SparseRows
    right: SparseRows
    n_items: int

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores Σ_r left_ar right_rj of all items for (B,) int64 `users`."""
        first, owners = row_positions(self.left.offsets, users)
        second, terms = row_positions(self.right.offsets, self.left.columns[first])
        products = torch.ones(len(second), device=users.device)
        if self.right.values is not None:
            products = self.right.values[second]
        if self.left.values is not None:
            products = products * self.left.values[first][terms]
        cells = owners[terms] * self.n_items + self.right.columns[second]
        return products.new_zeros(len(users) * self.n_items).index_add_(0, cells, products).view(len(users), -1)


class SparseRecommender(FittedRecommender):
    """A model whose weights are a sparse matrix; subclasses compute it in `weights`."""

    history_offsets: Tensor
    history_items: Tensor
    weight_offsets: Tensor
    weight_columns: Tensor
    weight_values: Tensor

    def __init__(self, config: Config, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = data.n_items
        self.register_buffer("history_offsets", data.positives.offsets, persistent=False)
        self.register_buffer("history_items", data.positives.values, persistent=False)
        self.register_buffer("weight_offsets", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("weight_columns", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("weight_values", torch.zeros(0))

    def keep(self, weights: Csr) -> None:
        """Make `weights` the model's."""
        device = self.history_offsets.device
        self.weight_offsets = torch.from_numpy(weights.indptr.astype(np.int64)).to(device)
        self.weight_columns = torch.from_numpy(weights.indices.astype(np.int64)).to(device)
        self.weight_values = torch.from_numpy(weights.data.astype(np.float32)).to(device)

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories."""
        self.history_offsets, self.history_items = histories.offsets, histories.values

    @property
    def history(self) -> SparseRows:
        """X, (M, N)."""
        return SparseRows(self.history_offsets, self.history_items)

    @property
    def learnt(self) -> SparseRows:
        """The weights."""
        return SparseRows(self.weight_offsets, self.weight_columns, self.weight_values)

    def scorer(self) -> Scorer:
        """Return r̂ = X W, for weights (N, N) from an item of the user to another."""
        return SparseProductScorer(self.history, self.learnt, self.n_items)


def interaction_matrix(data: TrainingData) -> Csr:
    """Return X, (M, N) float64: 1 for every train interaction."""
    return matrix_of(data.positives, data.n_items)


def matrix_of(rows: JaggedTensor, width: int) -> Csr:
    """Return (R, width) float64: 1 in the columns that the R rows name."""
    offsets, columns = rows.offsets.cpu().numpy(), rows.values.cpu().numpy()
    return sparse.csr_array((np.ones(len(columns)), columns, offsets), shape=(len(offsets) - 1, width))


def cosine(counts: Floats, shrink: float = 0.0) -> Callable[[Indices, Indices, Floats], Floats]:
    """Return a function of rows r, columns c and n_rc: n_rc / (√(n_r n_c) + shrink), for `counts` n."""
    return lambda rows, columns, both: both / (np.sqrt(counts[rows] * counts[columns]) + shrink)


def strongest_products(
    left: Csr, right: Csr, k: int, weigh: Callable[[Indices, Indices, Floats], Floats], has_diagonal: bool = False
) -> Csr:
    """Return the k largest positive entries of each row of `weigh(left · right)`, by default without the diagonal.

    Of equal entries, those in the first columns are kept. The product is computed in blocks of rows, so that memory is
    bounded.

    Args:
        left: (n, m).
        right: (m, n).
        k: entries per row; fewer if fewer are positive.
        weigh: maps the rows, columns and values of all entries of a block to new values.
        has_diagonal: whether the diagonal counts, as it does if rows and columns are of different things.
    """
    parts = []
    for start, end in _blocks(left, right):
        product = left[start:end] @ right
        product.sort_indices()
        rows = np.repeat(np.arange(start, end), np.diff(product.indptr))
        values = weigh(rows, product.indices, product.data)
        if not has_diagonal:
            values[rows == product.indices] = 0
        parts.append(_strongest(rows - start, product.indices, values, k, product.shape))
    return sparse.vstack(parts, format="csr")


def _strongest(rows: Indices, columns: Indices, values: Floats, k: int, shape: tuple[int, int]) -> Csr:
    """Return the k largest positive values of each row; `rows` ascend, and so do the columns of a row."""
    is_positive = values > 0
    rows, columns, values = rows[is_positive], columns[is_positive], values[is_positive]
    order = np.lexsort((-values, rows))
    first = np.searchsorted(rows, np.arange(shape[0]))
    kept = order[np.arange(len(rows)) - first[rows] < k]
    return sparse.csr_array((values[kept], (rows[kept], columns[kept])), shape=shape)


def _blocks(left: Csr, right: Csr) -> Iterator[tuple[int, int]]:
    """Yield the first and last row (excluded) of each block: at least one row, at most `_BLOCK_PRODUCTS` terms."""
    terms = (left != 0).astype(np.int64) @ np.diff(right.indptr).astype(np.int64)
    number = np.cumsum(terms) // _BLOCK_PRODUCTS
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    yield from zip(starts, [*starts[1:], len(number)], strict=True)
