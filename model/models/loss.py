"""The objective that all pairwise models share: BPR with an L2 penalty."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean over all pairs of −ln σ(r̂_ai − r̂_aj), a scalar.

    Args:
        positive: (B,) scores r̂_ai of the positive items.
        negative: (B, n) scores r̂_aj of the negative items.

    Source: Rendle et al. 2009; Wu et al. 2019, Eq. 3, which prints σ where BPR has −ln σ
    (minimising σ would rank the positives last). The mean, not the printed sum over all pairs,
    so that the learning rate does not depend on the batch size.
    """
    return bpr_loss_of_margins(positive.unsqueeze(1) - negative)


def bpr_loss_of_margins(margins: Tensor) -> Tensor:
    """Return the same of (B, n) differences r̂_ai − r̂_aj, where a model has them at less cost than both scores."""
    return -logsigmoid(margins).mean()


def l2_penalty(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return the mean over all pairs of ‖user‖² + ‖positive‖² + ‖negative‖², a scalar.

    Args:
        users: (B, d) embeddings of the users of a batch.
        positives: (B, d) embeddings of their positive items.
        negatives: (B, n, d) embeddings of their negative items.

    Source: λ1‖Θ1‖² of Wu et al. 2019, Eq. 3, on the embeddings that occur in the batch, as BPR
    is trained in practice; an embedding is thus penalised as often as it occurs.
    """
    of_positives = users.square().sum() + positives.square().sum()
    return (of_positives + negatives.square().sum() / negatives.shape[1]) / len(users)


def squared_norms(table: Tensor, rows: Tensor, taken: Tensor) -> Tensor:
    """Return Σ ‖table[row]‖² over `rows`, a scalar: from the rows taken, or from counts where those are fewer.

    Args:
        table: (m, d) embeddings.
        rows: (k,) int64 below m.
        taken: (k, d), `table[rows]`.
    """
    if len(rows) < len(table):
        flat = taken.flatten()
        return flat.dot(flat)
    return torch.bincount(rows, minlength=len(table)).to(table.dtype) @ table.square().sum(1)


def items_penalty(norms: Tensor, where: Tensor) -> Tensor:
    """Return the items' part of `l2_penalty`, a scalar, from a batch's distinct items alone.

    Args:
        norms: (m,) squared norms ‖item‖² of the distinct items.
        where: (B, 1 + n) int64 below m, which of them each pair has; the positive first.
    """
    of_positives = torch.bincount(where[:, 0], minlength=len(norms)).to(norms.dtype)
    of_negatives = torch.bincount(where[:, 1:].flatten(), minlength=len(norms)).to(norms.dtype)
    return (of_positives + of_negatives / (where.shape[1] - 1)) @ norms / len(where)
