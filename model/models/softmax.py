"""The softmax loss, over all items or over a sample of them, in bounded memory.

    L = −1/B Σ_(a,i) ln ( exp r̂_ai / Z_a ),    Z_a = Σ_j exp r̂_aj

over the positives (a, i) of a batch. A large catalogue is sampled: with S items drawn uniformly for the whole batch, h
of which are i itself,

    Z_a ≈ exp r̂_ai + (N − 1) / (S − h) Σ_{drawn j ≠ i} exp r̂_aj,

whose expectation is Z_a. Without the factor, which corrects for the probability of a draw, the loss would be that of
a catalogue of S items.

Source: SSM (Wu et al. 2022, "On the effectiveness of sampled softmax loss for item recommendation"), here with uniform
draws.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from model.models.distinct import Distinct, distinct
from model.models.lookup import lookup

_BLOCK_NUMBERS = 1 << 22  # scores at a time on a CPU: 16 MiB
_GPU_NUMBERS = 1 << 26


@dataclass(frozen=True)
class Candidates:
    """The items that the softmax of a batch is over.

    Attributes:
        positives: (B,) int64.
        drawn: (S,) int64 items, the same for the whole batch; None for all items.
        items: the distinct items whose vectors are needed; `which` has the places of the positives, then of the drawn.
        n_items: N.
    """

    positives: Tensor
    drawn: Tensor | None
    items: Distinct
    n_items: int


def candidates(positives: Tensor, negatives: Tensor, n_items: int, is_sampled: bool) -> Candidates:
    """Return all `n_items` as candidates, or the (B, n) `negatives` of all positives, if `is_sampled`."""
    if not is_sampled:
        every = torch.arange(n_items, device=positives.device)
        return Candidates(positives, None, Distinct(every, positives, are_all=True), n_items)
    drawn = negatives.flatten()
    return Candidates(positives, drawn, distinct(torch.cat([positives, drawn]), n_items), n_items)


def softmax_loss(users: Tensor, items: Tensor, among: Candidates) -> Tensor:
    """Return the loss of scores that are inner products, a scalar.

    Args:
        users: (B, D) vectors of the users of the positives.
        items: (m, D) vectors of `among.items.rows`.
        among: the positives and their candidates.
    """
    positives, drawn = among.positives, among.drawn
    if drawn is None:
        own = (users * lookup(positives, items)).sum(1)
        of_all: Tensor = _SoftmaxLoss.apply(users, own, items, None, None, among.n_items)
        return of_all
    vectors = among.items.of_each(items)
    own = (users * vectors[: len(positives)]).sum(1)
    of_sample: Tensor = _SoftmaxLoss.apply(users, own, vectors[len(positives) :], positives, drawn, among.n_items)
    return of_sample


def softmax_loss_of_pairs(scores: Tensor, positives: Tensor, negatives: Tensor, n_items: int) -> Tensor:
    """Return the loss of a model that scores pair by pair: each user has a sample of its own, a scalar.

    Args:
        scores: (B, 1 + n) of the positive and of the negatives.
        positives: (B,) int64 items.
        negatives: (B, n) int64 items, drawn uniformly from all.
        n_items: N.
    """
    is_positive = negatives == positives[:, None]
    others = scores[:, 1:].masked_fill(is_positive, torch.finfo(scores.dtype).min)
    n_drawn = (~is_positive).sum(1).clamp_min(1)
    rest = torch.logsumexp(others, 1) + _log_share(n_items, n_drawn.to(scores.dtype))
    return softplus(rest - scores[:, 0]).mean()


def _log_share(n_items: int, n_drawn: Tensor) -> Tensor:
    """Return ln((N − 1) / n): how many items each drawn one stands for."""
    return (max(1, n_items - 1) / n_drawn).log()


class _SoftmaxLoss(torch.autograd.Function):
    """The mean loss, a block of users at a time. The gradients are computed at once, while a block's scores are there.

    Args of `forward`: (B, D) users, (B,) scores of the positives, (S, D) items, and for a sample the (B,) positives and
    the (S,) drawn items; N.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        own: Tensor,
        items: Tensor,
        positives: Tensor | None,
        drawn: Tensor | None,
        n_items: int,
    ) -> Tensor:
        of_users, of_own, of_items = torch.empty_like(users), torch.full_like(own, -1.0), torch.zeros_like(items)
        losses = torch.empty_like(own)
        numbers = _BLOCK_NUMBERS if users.device.type == "cpu" else _GPU_NUMBERS
        step = max(1, numbers // max(1, len(items)))
        for start in range(0, len(users), step):
            rows = slice(start, start + step)
            scores = users[rows] @ items.T  # (b, S)
            share = None
            if positives is not None and drawn is not None:
                is_positive = drawn == positives[rows, None]
                scores.masked_fill_(is_positive, torch.finfo(scores.dtype).min)
                n_drawn = (len(drawn) - is_positive.sum(1)).clamp_min_(1)
                share = _log_share(n_items, n_drawn.to(scores.dtype))
            highest = scores.amax(1, keepdim=True)
            weights = scores.sub_(highest).exp_()
            total = weights.sum(1, keepdim=True)
            rest = (highest + total.log())[:, 0]  # ln Σ exp
            scale = 1 / total
            if share is None:
                losses[rows] = rest - own[rows]
            else:
                margin = rest + share - own[rows]
                losses[rows] = softplus(margin)
                missed = torch.sigmoid(margin)
                of_own[rows] = -missed
                scale *= missed[:, None]
            weights *= scale
            of_users[rows] = weights @ items
            of_items.addmm_(weights.T, users[rows])
        ctx.save_for_backward(of_users, of_own, of_items)
        return losses.mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_users, of_own, of_items = ctx.saved_tensors
        each = gradients[0] / len(of_users)
        return each * of_users, each * of_own, each * of_items, None, None, None
