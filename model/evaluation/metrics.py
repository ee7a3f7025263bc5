"""Ranking metrics per user (or user-item pair), with their definitions.

For one user, let P be the held-out positives, and let rel(r) be 1 if the item at rank r is one of
them, else 0. Ranks start at 1. Every metric is cut off at K: ranks greater than K do not count.

    HR@K         Σ_{r ≤ K} rel(r) / min(|P|, K)
    Recall@K     Σ_{r ≤ K} rel(r) / |P|
    Precision@K  Σ_{r ≤ K} rel(r) / K
    NDCG@K       Σ_{r ≤ K} rel(r) / log2(r + 1)  /  Σ_{r ≤ min(|P|, K)} 1 / log2(r + 1)
    MRR@K        1 / rank of the best-ranked positive, 0 if that rank is greater than K
    MAP@K        Σ_{r ≤ K} rel(r) · Precision@r / min(|P|, K)

A metric takes a `RankDistribution` instead of one ranking: the expectation over rankings that
differ only by chance (ties, sampled negatives). All six metrics are linear in it, so their values
are exact expectations (see `model.evaluation.expectation`). All return float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RankDistribution:
    """The expectation at each rank 1, …, `k_max` (column r − 1), for n owners: users, or user-item pairs.

    Attributes:
        hits: (n, k_max) float64, E[rel(r)].
        found: (n, k_max) float64, E[rel(r) · the number of positives at rank r or better].
        first: (n, k_max) float64, the probability that the best-ranked positive is at rank r.
        n_positives: (n,) int64 ≥ 1, |P|.
    """

    hits: Tensor
    found: Tensor
    first: Tensor
    n_positives: Tensor


def hit_ratio(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) HR@K = positives in the top K / min(|P|, K).

    The literature has several "hit ratios": whether there is any hit at all, hits / |P| (here
    `recall`), and this one. The paper does not define its own. This one is from its authors'
    published code for DiffNet (Wu et al., SIGIR 2019; `Evaluate.getHrNdcgProc`). All three agree
    for users with one positive; this one and recall agree for users with at most K positives.
    """
    return ranking.hits[:, :k].sum(1) / ranking.n_positives.clamp_max(k)


def recall(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) Recall@K = positives in the top K / |P|."""
    return ranking.hits[:, :k].sum(1) / ranking.n_positives


def precision(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) Precision@K = positives in the top K / K, even if there are fewer than K candidates."""
    return ranking.hits[:, :k].sum(1) / k


def ndcg(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) NDCG@K = DCG@K / IDCG@K, DCG@K = Σ_{r ≤ K} rel(r) / log2(r + 1).

    IDCG@K is the DCG@K of a ranking with all positives on top.

    Source: Järvelin & Kekäläinen 2002, with binary relevance.
    """
    discounts = 1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))
    ideal = discounts.cumsum(0)[ranking.n_positives.clamp_max(k) - 1]
    return ranking.hits[:, :k] @ discounts[: ranking.hits.shape[1]] / ideal


def reciprocal_rank(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) 1 / rank of the best-ranked positive, 0 if that rank is greater than K. Its mean is MRR@K."""
    return ranking.first[:, :k] @ _inverse_ranks(k, ranking)


def average_precision(ranking: RankDistribution, k: int) -> Tensor:
    """Return (n,) AP@K = Σ_{r ≤ K} rel(r) · Precision@r / min(|P|, K); its mean is MAP@K.

    Other definitions divide by |P|, or by the positives found in the top K. All agree if K is the
    number of candidates.
    """
    return ranking.found[:, :k] @ _inverse_ranks(k, ranking) / ranking.n_positives.clamp_max(k)


METRICS: dict[str, Callable[[RankDistribution, int], Tensor]] = {
    "hr": hit_ratio,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": reciprocal_rank,
    "map": average_precision,
}


def _inverse_ranks(k: int, ranking: RankDistribution) -> Tensor:
    return 1 / torch.arange(1, min(k, ranking.hits.shape[1]) + 1, dtype=torch.float64)
