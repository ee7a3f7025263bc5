"""The objective that pairwise models share: BPR with an L2 penalty. `softmax.py` has the other loss."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, logsigmoid

from model.data.tensors import TrainingData
from model.models.names import Loss
from model.models.static_shapes import for_gpu

_SOFTMAX_L2, _LEAST_L2, _MOST_L2, _MANY_ITEMS = 0.1, 0.01, 0.05, 4000
_FEW = 0.5  # below this share of all rows, the norms of the rows that occur cost less than all
_VISUAL_L2: dict[Loss, float] = {"bpr": 0.04, "softmax": 0.1}


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean over all pairs of −ln σ(r̂_ai − r̂_aj), a scalar.

    Args:
        positive: (B,) scores r̂_ai of the positive items.
        negative: (B, n) scores r̂_aj of the negative items.

    Source: Rendle et al. 2009; Wu et al. 2019, Eq. 3, which prints σ instead of BPR's −ln σ
    (minimising σ would rank the positives last). It is the mean, not the printed sum over all pairs,
    so that the learning rate does not depend on the batch size.
    """
    return bpr_loss_of_margins(positive.unsqueeze(1) - negative)


def bpr_loss_of_margins(margins: Tensor) -> Tensor:
    """Return `bpr_loss` from (B, n) differences r̂_ai − r̂_aj, for models that compute them faster than both scores."""
    return -logsigmoid(margins).mean()


def l2_weight(l2: float | None, loss: Loss, data: TrainingData) -> float:
    """Return `l2`, or without one the weight of the penalty on free embeddings that suits the loss and the data.

    It is 0.1 for a softmax. For BPR's loss it is 4 / n² with n train interactions per user, at least 0.01 and at most
    0.05: 0.01 from 20 on, 0.05 up to 8. Among more than 4,000 items, it is that times 4,000 / N: the more items there
    are to draw from, the easier a drawn negative is, so its gradient vanishes, but the penalty does not.
    A compromise between data with 9 to 100 per user: what is best depends on their noise, too, so tune it. On parts of
    Gowalla, one seed, NDCG@20 on validation: among 14,161 items, 0.109 with 0.004 and 0.101 with 0.01 (here: 0.003);
    among 2,990, 0.140 with 0.0015 to 0.01 and 0.137 with 0.02 (here: 0.019). MovieLens's small set is best at 0.01.
    """
    if l2 is not None:
        return l2
    if loss == "softmax":
        return _SOFTMAX_L2
    per_user = len(data.positives.values) / max(1, data.n_users)
    of_few_items = max(_LEAST_L2, min(_MOST_L2, 4 / max(1.0, per_user) ** 2))
    return of_few_items * min(1.0, _MANY_ITEMS / data.n_items)


def visual_l2_weight(visual_l2: float | None, loss: Loss) -> float:
    """Return `visual_l2`, or without one the weight of the penalty on the visual embeddings of users and items.

    It is on the projected pictures, not on the projection: wᵀ P c does not change when P grows as w shrinks.
    """
    return l2_of_loss(visual_l2, loss, _VISUAL_L2)


def l2_of_loss(l2: float | None, loss: Loss, weights: dict[Loss, float]) -> float:
    """Return `l2`, or without one the weight that a model has for this loss."""
    return weights[loss] if l2 is None else l2


def mean_squared_norm(table: Tensor, rows: Tensor, taken: Tensor | None = None) -> Tensor:
    """Return the mean of ‖table[row]‖² over all `rows`, a scalar: the L2 penalty on the embeddings of a batch.

    Args:
        table: (m, d) embeddings.
        rows: int64 below m, of any shape.
        taken: `table[rows]`, if the caller has it already.

    Source: λ1‖Θ1‖² of Wu et al. 2019, Eq. 3, on the embeddings that occur in the batch, as is usual
    for BPR. So an embedding is penalised each time it occurs.
    """
    if for_gpu(table):
        each = table.new_full((rows.numel(),), 1 / rows.numel())  # equal parts have the same sum in any order
        norm: Tensor = _WeightedSquares.apply(table, table.new_zeros(len(table)).index_add_(0, rows.flatten(), each))
        return norm
    if rows.numel() < _FEW * len(table):
        flat = (embedding(rows, table) if taken is None else taken).flatten()
        return flat.dot(flat) / rows.numel()
    counts = torch.bincount(rows.flatten(), minlength=len(table)).to(table.dtype)  # cheaper: fewer norms
    mean: Tensor = _WeightedSquares.apply(table, counts / rows.numel())
    return mean


def squared_norm(weights: Iterable[Tensor]) -> Tensor:
    """Return Σ ‖W‖² over some weights, a scalar."""
    several = list(weights)
    if several and for_gpu(several[0]):
        norm: Tensor = _SquaredNorm.apply(*several)
        return norm
    return sum((weight.square().sum() for weight in several), torch.zeros(()))


class _WeightedSquares(torch.autograd.Function):
    """Σ_r weights_r ‖table_r‖². Written out, its gradient takes fewer operations."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, weights: Tensor) -> Tensor:
        weighted = table * weights[:, None]
        ctx.save_for_backward(weighted)
        return weighted.flatten().dot(table.flatten())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (weighted,) = ctx.saved_tensors
        return weighted * (2 * gradients[0]), None


class _SquaredNorm(torch.autograd.Function):
    """Σ ‖W‖². Written out, its gradient takes one operation for all weights."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(*weights)
        return torch.stack(torch._foreach_norm(weights)).square().sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch._foreach_mul(ctx.saved_tensors, 2 * gradients[0]))
