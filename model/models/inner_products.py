"""Scores of pairs that are inner products, without a copy of the embeddings of every pair.

A batch with n negatives has 1 + n items per positive, many of them more than once. Copying their embeddings takes
longer than all else. On a CPU, scores are computed from the tables themselves, and the gradients are products with a
sparse matrix.
"""

import warnings
from functools import cache
from typing import Any

import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import embedding_bag

from model.models.lookup import lookup
from model.models.static_shapes import for_gpu


def inner_products(u: Tensor, v: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return (B, k) u_aᵀ v_i of each user a with k items. On a CPU, it is fastest if `users` ascend.

    Args:
        u: (M, d).
        v: (N, d).
        users: (B,) int64 below M.
        items: (B, k) int64 below N.
    """
    fits = 0 < items.numel() <= len(u) * len(v)  # torch's sparse matrices hold no more values than places
    if for_gpu(v) or not fits:
        return (lookup(items, v) @ lookup(users, u).unsqueeze(2)).squeeze(2)
    found: Tensor = _InnerProducts.apply(u, v, users, items)
    return found


class _InnerProducts(torch.autograd.Function):
    """The values of X ∘ (U Vᵀ) with a sparse 0-1 matrix X. If their gradients are G, those of U and V are G V and Gᵀ U.

    X is given by where its rows start and by its columns, which need be neither ordered nor distinct.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, users: Tensor, items: Tensor) -> Tensor:
        _use_sparse_matrices()
        ends = torch.bincount(users, minlength=len(u)).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends * items.shape[1]]).int()
        order = None if bool((users[1:] >= users[:-1]).all()) else users.argsort(stable=True)
        columns = (items if order is None else items[order]).flatten().int()
        zeros = u.new_zeros(len(columns))
        wanted = torch.sparse_csr_tensor(starts, columns, zeros, (len(u), len(v)), check_invariants=False)
        values = torch.sparse.sampled_addmm(wanted, u, v.T, beta=0.0).values()
        ctx.save_for_backward(u, v, starts, columns, order)
        scores = values.view(items.shape)
        return scores if order is None else torch.empty_like(scores).index_copy_(0, order, scores)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        u, v, starts, columns, order = ctx.saved_tensors
        weights = (gradients[0] if order is None else gradients[0][order]).flatten()
        of_u = of_v = None
        if ctx.needs_input_grad[0]:
            of_u = _sums(v, starts, columns, weights)
        if ctx.needs_input_grad[1]:
            by_item = csr_array((weights.numpy(), columns.numpy(), starts.numpy()), (len(u), len(v))).tocsc()
            of_v = _sums(u, *(torch.from_numpy(part) for part in (by_item.indptr, by_item.indices, by_item.data)))
        return of_u, of_v, None, None


def _sums(rows: Tensor, starts: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """Return a sparse matrix, given by where its rows start, its columns and its weights, times `rows`."""
    return embedding_bag(columns, rows, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


@cache
def _use_sparse_matrices() -> None:
    """Make the first sparse matrix of this process, for which torch warns that they are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1))
