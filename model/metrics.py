"""Ranking metrics per user, exact under ties.

A metric is a sum over the positives of a gain that depends on the positive's rank alone. So all
a metric needs of a positive is the number of candidates above it and the number that tie with
it. Ties are broken by expectation: a positive that ties with t − 1 others gets the mean gain over
the t ranks they share, so a scorer that gives every item the same score gets exactly what a
random ranking gets on average, whatever the order of the items.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Where the positives of each user are ranked.

    Attributes:
        owners: (n,) int64, the user (or user-item pair) of each positive.
        above: (n,) int64, candidates with a higher score.
        tied: (n,) int64 ≥ 1, candidates with the same score, the positive included.
        n_positives: (n_owners,) int64 ≥ 1.
    """

    owners: Tensor
    above: Tensor
    tied: Tensor
    n_positives: Tensor


def hit_ratio(ranks: Ranks, k: int) -> Tensor:
    """Return (n_owners,) HR@K = |positives in the top K| / min(|positives|, K).

    The field has several "hit ratios": whether there is any hit at all, hits / |positives|
    (here `recall`), and this one. The paper does not define its own; this is the one of its
    authors' published code for DiffNet (Wu et al., SIGIR 2019; `Evaluate.getHrNdcgProc`). The
    three agree for users with one positive; this one and recall agree for all with at most K.
    """
    return _total(ranks, torch.ones(k, dtype=torch.float64)) / ranks.n_positives.clamp_max(k)


def recall(ranks: Ranks, k: int) -> Tensor:
    """Return (n_owners,) Recall@K = |positives in the top K| / |positives|."""
    return _total(ranks, torch.ones(k, dtype=torch.float64)) / ranks.n_positives


def ndcg(ranks: Ranks, k: int) -> Tensor:
    """Return (n_owners,) NDCG@K = DCG@K / IDCG@K with DCG@K = Σ_{positives of rank r ≤ K} 1 / log2(r + 1).

    IDCG@K is the DCG@K of a ranking with all positives on top, Σ_{r ≤ min(|positives|, K)} 1 / log2(r + 1).
    """
    discounts = 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    ideal = discounts.cumsum(0)[ranks.n_positives.clamp_max(k) - 1]
    return _total(ranks, discounts) / ideal


METRICS: dict[str, Callable[[Ranks, int], Tensor]] = {"hr": hit_ratio, "ndcg": ndcg, "recall": recall}


def rank_within_rows(scores: Tensor, rows: Tensor, positive_scores: Tensor, k_max: int) -> tuple[Tensor, Tensor]:
    """Return how many candidates of its row are above each positive, and how many tie with it.

    Both are exact where fewer than `k_max` candidates are above; elsewhere `above` is `k_max`, `tied`
    is 1, and no metric at K ≤ `k_max` can tell the difference.

    Args:
        scores: (R, C), −inf where a column is no candidate.
        rows: (n,) int64, the row of each positive.
        positive_scores: (n,), finite, each of them also among the row's candidates.
        k_max: the largest K of interest.
    """
    top = torch.topk(scores, min(k_max, scores.shape[1]), dim=1).values
    above = (top[rows] > positive_scores[:, None]).sum(1)
    tied = torch.ones_like(above)
    near = (above < k_max).nonzero().squeeze(1)
    tied[near] = (scores[rows[near]] == positive_scores[near, None]).sum(1)
    return above, tied


def _total(ranks: Ranks, gains: Tensor) -> Tensor:
    """Return (n_owners,) sums over positives of the expected gain; rank r ≤ K gains `gains[r − 1]`."""
    k = len(gains)
    up_to = torch.cat([gains.new_zeros(1), gains.cumsum(0)])
    first, last = ranks.above.clamp_max(k), (ranks.above + ranks.tied).clamp_max(k)
    expected = (up_to[last] - up_to[first]) / ranks.tied
    return gains.new_zeros(len(ranks.n_positives)).index_add(0, ranks.owners, expected)
