"""The position of each held-out positive, as counts of the candidates around it."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class RankCounts:
    """The position of each positive among the negatives and the other positives of its owner.

    An owner is a user (task `item`) or a user-item pair (task `frame`). Positives that are not
    listed rank below any K of interest. The letters are those of `model.evaluation.expectation`.

    Attributes:
        owners: (n,) int64, the owner of each positive.
        positives_before: (n,) int64, a: the owner's other positives that rank above it; equal scores get an order.
        negatives_above: (n,) int64, g: negatives with a higher score.
        negatives_tied: (n,) int64, e: negatives with the same score.
        place: (n,) int64, j: positives with the same score that rank above it.
        group_size: (n,) int64 ≥ 1, p: positives with the same score, this one included.
        n_positives: (n_owners,) int64 ≥ 1.
        n_negatives: (n_owners,) int64, U.
    """

    owners: Tensor
    positives_before: Tensor
    negatives_above: Tensor
    negatives_tied: Tensor
    place: Tensor
    group_size: Tensor
    n_positives: Tensor
    n_negatives: Tensor


def concat_counts(parts: list[RankCounts]) -> RankCounts:
    """Return the rows of all parts, whose owners must already be numbered across all parts."""
    if not parts:
        return RankCounts(*[torch.zeros(0, dtype=torch.int64)] * len(fields(RankCounts)))
    return RankCounts(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(RankCounts)))


def order_positives(owners: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rank positives among the positives of the same owner.

    Args:
        owners: (n,) int64.
        scores: (n,).

    Returns:
        (n,) int64 each: the order by owner, then by descending score; and, in that order,
        `positives_before`, `place` and `group_size` of `RankCounts`.
    """
    order = torch.from_numpy(np.lexsort((-scores.numpy(), owners.numpy())))
    owner, score = owners[order], scores[order]
    position = torch.arange(len(order))
    new_owner = torch.ones(len(order), dtype=torch.bool)
    new_owner[1:] = owner[1:] != owner[:-1]
    new_group = new_owner.clone()
    new_group[1:] |= score[1:] != score[:-1]
    group_number = new_group.cumsum(0) - 1
    positives_before = position - position[new_owner][new_owner.cumsum(0) - 1]
    place = position - position[new_group][group_number]
    return order, positives_before, place, torch.bincount(group_number)[group_number]
