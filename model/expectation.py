"""From where positives stand among the negatives to what is expected at each rank, in closed form.

Chance enters a ranking in two ways: items with equal scores may come in any order, and the
paper's protocol ranks the positives among negatives that are sampled. Neither needs simulating.

**Ties.** Let equal scores come in random order, each order as likely. Of p positives and e
negatives with one score, the j-th of the positives (j = 0, …, p − 1, in that order) has J
negatives of its score before it, and J is negative hypergeometric:

    P(J = m) = C(m + j, j) · C(e − m + p − 1 − j, p − 1 − j) / C(e + p, p)

(choose places for the positives before and after it). So each positive has a sure number a of
positives before it and x = g + J negatives, g of them with a higher score. Its rank among all
candidates is a + x + 1.

**Sampling.** Of U negatives, n are sampled without replacement, and U is the number of items that
the user has not rated, all of her positives left out. The order of all U can be thought fixed
before sampling, so of the x negatives before a positive the sample contains H, hypergeometric:

    P(H = h | x) = C(x, h) · C(U − x, n − h) / C(U, n)

(choose h from the x before it, the rest from those behind). All positives are candidates, so the
rank is a + H + 1. Where U ≤ n all negatives are taken, and H = x. A metric's expectation over
infinitely many repetitions of the protocol is the sum over ranks of its gain times

    P(rank = r) = Σ_m P(J = m) · P(H = r − 1 − a | g + m)

HR@K and NDCG@K are sums over positives, so nothing more is needed: expectations add up, whether
or not the positives' ranks depend on each other (they do). MRR and MAP are sums over positives
too, because a is sure: the best positive is the one with a = 0, and Precision at the rank r of
a positive is (a + 1) / r.

Sources: Krichene & Rendle 2020, section 4 (the rank under sampling, there with replacement);
McSherry & Najork 2008 (ties by expectation).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.interactions import expand
from model.metrics import RankDistribution

_CHUNK = 1 << 15  # rows of probabilities made at once, so that (rows, K) stays small
_NEGLIGIBLE = 42.0  # −ln of the probabilities left out: below 1e-18


@dataclass(frozen=True)
class Ranks:
    """Where each positive stands among the negatives and the other positives of its owner.

    Positives that are not listed are below any rank of interest.

    Attributes:
        owners: (n,) int64, the user (or user-item pair) of each positive.
        before: (n,) int64, a: positives of the owner that come before it, where equal scores have been put in order.
        above: (n,) int64, g: negatives with a higher score.
        tied: (n,) int64, e: negatives with the same score.
        place: (n,) int64, j: positives with the same score that come before it.
        group: (n,) int64 ≥ 1, p: positives with the same score, itself included.
        n_positives: (n_owners,) int64 ≥ 1.
        n_negatives: (n_owners,) int64, U.
    """

    owners: Tensor
    before: Tensor
    above: Tensor
    tied: Tensor
    place: Tensor
    group: Tensor
    n_positives: Tensor
    n_negatives: Tensor


def order_positives(owners: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `Ranks` says of positives among positives.

    Args:
        owners: (n,) int64.
        scores: (n,).

    Returns:
        (n,) int64 each: the order by owner, then falling score; and in that order `before`, `place` and `group`.
    """
    order = torch.from_numpy(np.lexsort((-scores.numpy(), owners.numpy())))
    owner, score = owners[order], scores[order]
    position = torch.arange(len(order))
    new_owner = torch.ones(len(order), dtype=torch.bool)
    new_owner[1:] = owner[1:] != owner[:-1]
    new_group = new_owner.clone()
    new_group[1:] |= score[1:] != score[:-1]
    group_number = new_group.cumsum(0) - 1
    before = position - position[new_owner][new_owner.cumsum(0) - 1]
    place = position - position[new_group][group_number]
    return order, before, place, torch.bincount(group_number)[group_number]


def expected_ranking(ranks: Ranks, k_max: int, n_sampled: int | None = None) -> RankDistribution:
    """Return what is expected at the ranks 1, …, `k_max`; the module says how and why.

    Args:
        ranks: exact wherever `above` is small enough to matter (for sampled negatives, everywhere).
        k_max: the largest K of interest.
        n_sampled: n, negatives sampled a user; None ranks among all.
    """
    sums = _Sums(len(ranks.n_positives), k_max)
    loose = (ranks.tied > 0).nonzero().squeeze(1)
    firm = (ranks.tied == 0).nonzero().squeeze(1)
    if n_sampled is None:
        sums.add(ranks, firm, ranks.above[firm, None], torch.ones(len(firm), 1, dtype=torch.float64))
        for part in torch.split(loose, _CHUNK):
            rows, m, weights = _tie_order(*_tie(ranks, part), k_max - ranks.before[part] - ranks.above[part])
            sums.add(ranks, part[rows], ranks.above[part[rows], None] + m[:, None], weights[:, None])
    else:
        _add_sampled(sums, ranks, firm, loose, n_sampled)
    return RankDistribution(*sums.results(), ranks.n_positives)


class _Sums:
    """Adds up the three sums of a `RankDistribution` over positives."""

    def __init__(self, n_owners: int, k_max: int) -> None:
        self.k_max = k_max
        self._shape = (n_owners, k_max)
        self._sums = torch.zeros(3, n_owners * k_max, dtype=torch.float64)

    def add(self, ranks: Ranks, which: Tensor, negatives: Tensor, probabilities: Tensor) -> None:
        """Add (n, w) probabilities that (n, w) `negatives` come before the positives `which`."""
        before, owners = ranks.before[which, None], ranks.owners[which, None]
        column = before + negatives  # rank − 1
        inside = (column < self.k_max) & (probabilities > 0)
        slot, weights = (owners * self.k_max + column)[inside], probabilities[inside]
        a = before.expand_as(column)[inside]
        for total, part in zip(self._sums, (weights, weights * (a + 1), weights * (a == 0)), strict=True):
            total.index_add_(0, slot, part)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        hits, found, first = (total.view(self._shape) for total in self._sums)
        return hits, found, first


def _add_sampled(sums: _Sums, ranks: Ranks, firm: Tensor, loose: Tensor, n_sampled: int) -> None:
    log_factorial = torch.lgamma(torch.arange(1.0, int(ranks.n_negatives.max()) + sums.k_max + 2, dtype=torch.float64))
    h = torch.arange(sums.k_max)[None, :]
    u = ranks.n_negatives[ranks.owners]
    firm = firm[ranks.above[firm] < _reach(u[firm], n_sampled, sums.k_max)]
    for part in torch.split(firm, _CHUNK):
        probabilities = _hypergeometric(ranks.above[part], u[part], n_sampled, h, log_factorial)
        sums.add(ranks, part, h.expand_as(probabilities), probabilities)
    # Ties cost a sum over m each; users with the same counts share it.
    counts = torch.stack([u, ranks.above, *_tie(ranks, torch.arange(len(u)))], 1)[loose]
    alike, which = torch.unique(counts, dim=0, return_inverse=True) if len(loose) else (counts, loose)
    reach = _reach(alike[:, 0], n_sampled, sums.k_max) - alike[:, 1]
    mixed = torch.zeros(len(alike), sums.k_max, dtype=torch.float64)
    longest = int(torch.minimum(reach, alike[:, 2] + 1).clamp_min(1).max()) if len(alike) else 1
    for block in torch.split(torch.arange(len(alike)), max(1, _CHUNK // longest)):
        u_alike, above, tied, place, group = alike[block].T
        rows, m, weights = _tie_order(tied, place, group, reach[block])
        given_x = _hypergeometric(above[rows] + m, u_alike[rows], n_sampled, h, log_factorial)
        mixed.index_add_(0, block[rows], weights[:, None] * given_x)
    for part in torch.split(torch.arange(len(loose)), _CHUNK):
        probabilities = mixed[which[part]]
        sums.add(ranks, loose[part], h.expand_as(probabilities), probabilities)


def _reach(u: Tensor, n_sampled: int, k_max: int) -> Tensor:
    """Return (n,) int64: with so many negatives before it, a positive gets into the top K with probability < 1e-18.

    By Chernoff's bound, which holds for the hypergeometric too (Hoeffding 1963), P(H ≤ K) ≤
    exp(−(μ − K)² / 2μ) with μ = x n / U. Where all are taken it is K.
    """
    c = _NEGLIGIBLE
    mean = k_max + c + (c * c + 2 * c * k_max) ** 0.5
    return torch.where(u <= n_sampled, torch.full_like(u, k_max), (mean * u / n_sampled).ceil().long())


def _hypergeometric(x: Tensor, u: Tensor, n_sampled: int, h: Tensor, log_factorial: Tensor) -> Tensor:
    """Return (n, K) P(H = h | x): of `u` negatives, x of them before the positive, h are among those sampled.

    Args:
        x: (n,) int64.
        u: (n,) int64.
        n_sampled: all are taken where there are not so many.
        h: (1, K) int64.
        log_factorial: (max u + K + 1,) float64.
    """
    n = u.clamp_max(n_sampled)
    rest_before, rest_behind = x[:, None] - h, (u - x - n)[:, None] + h  # not sampled
    possible = (rest_before >= 0) & (rest_behind >= 0) & (h <= n[:, None])
    once = log_factorial[x] + log_factorial[u - x] + log_factorial[n] + log_factorial[u - n] - log_factorial[u]
    each = (
        log_factorial[h]
        + log_factorial[(n[:, None] - h).clamp_min(0)]
        + log_factorial[rest_before.clamp_min(0)]
        + log_factorial[rest_behind.clamp_min(0)]
    )
    return torch.where(possible, torch.exp(once[:, None] - each), 0.0)


def _tie(ranks: Ranks, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return ranks.tied[which], ranks.place[which], ranks.group[which]


def _tie_order(tied: Tensor, place: Tensor, group: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return all m < `reach` with P(J = m), for n positives: (w,) rows, (w,) m and (w,) float64 probabilities."""
    sizes = torch.minimum(tied + 1, reach.clamp_min(0))
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    positions, rows = expand(offsets, torch.arange(len(tied)))
    m = positions - offsets[rows]
    e, j, p = tied[rows], place[rows], group[rows]
    log_probability = _log_choose(m + j, j) + _log_choose(e - m + p - 1 - j, p - 1 - j) - _log_choose(e + p, p)
    return rows, m, torch.exp(log_probability)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
