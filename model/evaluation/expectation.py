"""The exact expectation of a ranking over ties and sampled negatives, in closed form.

Chance enters a ranking in two ways: items with equal scores may come in any order, and the
paper's protocol ranks the positives among sampled negatives. Neither needs simulation.

**Ties.** Let equal scores come in random order, every order equally likely. Of p positives and e
negatives with one score, the j-th of the positives (j = 0, …, p − 1, in that order) has J
negatives of its score before it, and J is negative hypergeometric:

    P(J = m) = C(m + j, j) · C(e − m + p − 1 − j, p − 1 − j) / C(e + p, p)

(choose places for the positives before and after it). So each positive has a fixed number a of
positives before it and x = g + J negatives, of which g have a higher score. Its rank among all
candidates is a + x + 1.

**Sampling.** n negatives are sampled without replacement from the user's U negatives (items that the
user has not rated). The order of all U can be fixed before sampling, so of the x negatives before a
positive the sample contains H, and H is hypergeometric:

    P(H = h | x) = C(x, h) · C(U − x, n − h) / C(U, n)

(choose h from the x before it, the others from those behind it). All positives are candidates, so
the rank is a + H + 1. If U ≤ n, all negatives are taken, and H = x. A metric's expectation over
infinitely many repeats of the protocol is the sum over ranks of its gain times

    P(rank = r) = Σ_m P(J = m) · P(H = r − 1 − a | g + m)

The cost of the sum over m is bounded, because users with the same U share P(H | x). If no negative
scores below the tie (for example with a constant scorer), then G of the sampled negatives are among
the g, and the other n − G are tied. So H = G + J, and

    P(H = h) = C(n − h + p − 1 − j, p − 1 − j) · Σ_G P(G | g) / C(n − G + p, p) · C(h − G + j, j)

HR@K and NDCG@K are sums over positives, so this is enough: expectations add up, whether or not
the positives' ranks depend on each other (they do). MRR and MAP are sums over positives too,
because a is fixed: the best positive is the one with a = 0, and Precision at the rank r of a
positive is (a + 1) / r.

Sources: Krichene & Rendle 2020, section 4 (the rank under sampling, there with replacement);
McSherry & Najork 2008 (ties by expectation).
"""

import numpy as np
import torch
from torch import Tensor

from model.data.jagged import row_positions
from model.evaluation.metrics import RankDistribution
from model.evaluation.rank_counts import RankCounts

_CHUNK = 1 << 15  # rows of probabilities per step, so that (rows, K) stays small
_DENSE = 1 << 20  # probabilities of m in a dense table
_NEGLIGIBLE = 42.0  # −ln of the largest probability that is ignored, 1e-18


def expected_ranking(ranks: RankCounts, k_max: int, n_sampled: int | None = None) -> RankDistribution:
    """Return the expectation at the ranks 1, …, `k_max`; the module docstring derives it.

    Args:
        ranks: the positions of the positives; those ranked far after `k_max` may be missing if `n_sampled` is None.
        k_max: the largest K of interest.
        n_sampled: n, sampled negatives per user; None for all negatives.
    """
    sums = _Sums(len(ranks.n_positives), k_max)
    log_factorial = _log_factorial(ranks, k_max)
    tied = (ranks.negatives_tied > 0).nonzero().squeeze(1)
    untied = (ranks.negatives_tied == 0).nonzero().squeeze(1)
    if n_sampled is None:
        sums.add(ranks, untied, ranks.negatives_above[untied, None], torch.ones(len(untied), 1, dtype=torch.float64))
        for part in torch.split(tied, _CHUNK):
            reach = k_max - ranks.positives_before[part] - ranks.negatives_above[part]
            rows, m, weights = _tie_order(*_tie(ranks, part), reach, log_factorial)
            sums.add(ranks, part[rows], ranks.negatives_above[part[rows], None] + m[:, None], weights[:, None])
    else:
        _add_sampled(sums, ranks, untied, tied, n_sampled, log_factorial)
    return RankDistribution(*sums.results(), ranks.n_positives)


class _Sums:
    """Accumulates the three sums of a `RankDistribution` over positives."""

    def __init__(self, n_owners: int, k_max: int) -> None:
        self.k_max = k_max
        self._shape = (n_owners, k_max)
        self._sums = torch.zeros(3, n_owners * k_max, dtype=torch.float64)

    def add(self, ranks: RankCounts, which: Tensor, negatives: Tensor, probabilities: Tensor) -> None:
        """Add (n, w) probabilities that (n, w) `negatives` come before the positives `which`."""
        before, owners = ranks.positives_before[which, None], ranks.owners[which, None]
        column = before + negatives  # rank − 1
        inside = (column < self.k_max) & (probabilities > 0)
        slot, weights = (owners * self.k_max + column)[inside], probabilities[inside]
        a = before.expand_as(column)[inside]
        for total, part in zip(self._sums, (weights, weights * (a + 1), weights * (a == 0)), strict=True):
            total.index_add_(0, slot, part)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        hits, found, first = (total.view(self._shape) for total in self._sums)
        return hits, found, first


def _add_sampled(
    sums: _Sums, ranks: RankCounts, untied: Tensor, tied: Tensor, n_sampled: int, log_factorial: Tensor
) -> None:
    h = torch.arange(sums.k_max)[None, :]
    u = ranks.n_negatives[ranks.owners]
    reach = _reach(u, n_sampled, sums.k_max)
    is_near = (ranks.negatives_above < reach) & (ranks.positives_before < sums.k_max)
    untied, tied = untied[is_near[untied]], tied[is_near[tied]]
    for part in torch.split(untied, _CHUNK):
        probabilities = _hypergeometric(ranks.negatives_above[part], u[part], n_sampled, h, log_factorial)
        sums.add(ranks, part, h.expand_as(probabilities), probabilities)
    # Ties cost more, so all positives with the same counts are computed together.
    counts = torch.stack([u, ranks.negatives_above, *_tie(ranks, torch.arange(len(u)))], 1)[tied]
    alike, which = _distinct(counts)
    mixed = torch.zeros(len(alike), sums.k_max, dtype=torch.float64)
    is_last = alike[:, 1] + alike[:, 2] == alike[:, 0]  # no negative scores below the tie
    for part in torch.split(is_last.nonzero().squeeze(1), _CHUNK):
        mixed[part] = _tied_last(alike[part], n_sampled, h, log_factorial)
    between = (~is_last).nonzero().squeeze(1)
    for same_u in torch.split(between, torch.unique_consecutive(alike[between, 0], return_counts=True)[1].tolist()):
        mixed[same_u] = _tied_between(alike[same_u], n_sampled, h, log_factorial)
    for part in torch.split(torch.arange(len(tied)), _CHUNK):
        probabilities = mixed[which[part]]
        sums.add(ranks, tied[part], h.expand_as(probabilities), probabilities)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sorted distinct rows, and the position of each row among them. `torch.unique(dim=0)` is far slower."""
    order = torch.from_numpy(np.lexsort(rows.T.flip(0).numpy()))
    ordered = rows[order]
    is_new = torch.ones(len(rows), dtype=torch.bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    which = torch.empty_like(order)
    which[order] = is_new.cumsum(0) - 1
    return ordered[is_new], which


def _tied_last(alike: Tensor, n_sampled: int, h: Tensor, log_factorial: Tensor) -> Tensor:
    """Return (n, K) P(H = h) for (n, 5) U, g, e, j, p with g + e = U."""
    u, above, _, place, group = alike.T
    n = u.clamp_max(n_sampled)[:, None]
    j, p, rest = place[:, None], group[:, None], (group - 1 - place)[:, None]
    possible = h <= n
    of_all = _log_choose(log_factorial, n + p, p)  # keeps the factors within the range of a double
    behind = torch.where(
        possible, torch.exp(_log_choose(log_factorial, (n - h).clamp_min(0) + rest, rest) - of_all), 0.0
    )
    of_above = _hypergeometric(above, u, n_sampled, h, log_factorial)  # P(G = h)
    of_above = of_above * torch.exp(of_all - _log_choose(log_factorial, (n - h).clamp_min(0) + p, p))
    before = torch.exp(_log_choose(log_factorial, h + j, j))
    total = torch.zeros_like(before)
    for g in of_above.any(0).nonzero().squeeze(1).tolist():
        total[:, g:] += of_above[:, g : g + 1] * before[:, : before.shape[1] - g]
    return behind * total


def _tied_between(alike: Tensor, n_sampled: int, h: Tensor, log_factorial: Tensor) -> Tensor:
    """Return (n, K) P(H = h) for (n, 5) U, g, e, j, p with the same U: Σ_m P(J = m) P(H = h | g + m)."""
    reach = int(_reach(alike[:1, 0], n_sampled, h.shape[1]).minimum(alike[:1, 0] + 1))
    x = torch.arange(reach)
    given_x = _hypergeometric(x, alike[0, 0].expand(reach), n_sampled, h, log_factorial)
    parts = []
    for part in torch.split(alike, max(1, _DENSE // reach)):
        _, above, tied, place, group = part.T
        rows, m, weights = _tie_order(tied, place, group, reach - above, log_factorial)
        of_x = torch.zeros(len(part), reach, dtype=torch.float64)
        of_x[rows, above[rows] + m] = weights
        parts.append(of_x @ given_x)
    return torch.cat(parts)


def _reach(u: Tensor, n_sampled: int, k_max: int) -> Tensor:
    """Return (n,) int64: with this many negatives before it, a positive is in the top K with probability < 1e-18.

    By Chernoff's bound, which holds for the hypergeometric too (Hoeffding 1963), P(H ≤ K) ≤
    exp(−(μ − K)² / 2μ) with μ = x n / U. If all negatives are taken, it is K.
    """
    c = _NEGLIGIBLE
    mean = k_max + c + (c * c + 2 * c * k_max) ** 0.5
    return torch.where(u <= n_sampled, torch.full_like(u, k_max), (mean * u / n_sampled).ceil().long())


def _hypergeometric(x: Tensor, u: Tensor, n_sampled: int, h: Tensor, log_factorial: Tensor) -> Tensor:
    """Return (n, K) P(H = h | x): of the x negatives before the positive, among `u`, h are sampled.

    Args:
        x: (n,) int64.
        u: (n,) int64.
        n_sampled: sampled negatives; all of them if there are fewer.
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


def _tie(ranks: RankCounts, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return ranks.negatives_tied[which], ranks.place[which], ranks.group_size[which]


def _tie_order(
    tied: Tensor, place: Tensor, group: Tensor, reach: Tensor, log_factorial: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all m < `reach` with P(J = m), for n positives: (w,) rows, (w,) m and (w,) float64 probabilities."""
    sizes = torch.minimum(tied + 1, reach.clamp_min(0))
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    positions, rows = row_positions(offsets, torch.arange(len(tied)))
    m = positions - offsets[rows]
    e, j, p = tied[rows], place[rows], group[rows]
    before, behind = _log_choose(log_factorial, m + j, j), _log_choose(log_factorial, e - m + p - 1 - j, p - 1 - j)
    return rows, m, torch.exp(before + behind - _log_choose(log_factorial, e + p, p))


def _log_factorial(ranks: RankCounts, k_max: int) -> Tensor:
    """Return a table of ln 0!, ln 1!, … up to the largest that is needed."""
    largest = int((ranks.n_negatives + ranks.n_positives).max()) if len(ranks.n_positives) else 0
    return torch.lgamma(torch.arange(1.0, largest + k_max + 2, dtype=torch.float64))


def _log_choose(log_factorial: Tensor, n: Tensor, k: Tensor) -> Tensor:
    return log_factorial[n] - log_factorial[k] - log_factorial[n - k]
