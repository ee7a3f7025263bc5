"""Properties of the recommended lists that need no held-out data: coverage, concentration, popularity.

A user's list is the top K of all items except the known ones. If several items share the K-th
score, each of them is in the list with the same probability (places left / items that share the
score), independently between users. All values are expectations over these ties.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class TopItems(NamedTuple):
    """The best items of B users: (B, N) scores of all, and (B, K + 1) scores and items of the best, on the CPU."""

    candidates: Tensor
    values: Tensor
    items: Tensor


class RecommendedLists:
    """Accumulates the recommended lists, block by block.

    Args:
        ks: the list lengths K.
        popularity: (N,) int64, the number of train interactions of each item.
    """

    def __init__(self, ks: tuple[int, ...], popularity: Tensor) -> None:
        self.ks = ks
        self._popularity = popularity.double()
        n_items = len(popularity)
        self._exposure = torch.zeros(len(ks), n_items, dtype=torch.float64)
        self._log_missing = torch.zeros(len(ks), n_items, dtype=torch.float64)
        self._user_popularity: list[Tensor] = []

    def top(self, candidates: Tensor) -> TopItems:
        """Return what `add` needs of (B, N) scores, −inf for items that are not candidates."""
        top = torch.topk(candidates, min(max(self.ks) + 1, candidates.shape[1]), dim=1)
        return TopItems(candidates, top.values.cpu(), top.indices.cpu())

    def add(self, top: TopItems) -> None:
        """Add the lists of some users."""
        means = [self._add_lists(number, *top) for number in range(len(self.ks))]
        self._user_popularity.append(torch.stack(means, 1))

    def _add_lists(self, number: int, candidates: Tensor, values: Tensor, items: Tensor) -> Tensor:
        """Add the lists of one length; return (B,) the mean popularity of each."""
        k = self.ks[number]
        edge, is_shared = _edge(values, k)
        sure = values[:, :k] > torch.where(is_shared, edge, -torch.inf)[:, None]  # listed, however ties are ordered
        sure_items = items[:, :k][sure]
        self._exposure[number].index_add_(0, sure_items, torch.ones(len(sure_items), dtype=torch.float64))
        self._log_missing[number, sure_items] = -torch.inf
        popularity = (self._popularity[items[:, :k]] * sure).sum(1)
        length = sure.sum(1).double()
        shared = is_shared.nonzero().squeeze(1)
        if len(shared):
            at_edge = (candidates[shared.to(candidates.device)].cpu() == edge[shared, None]).double()
            share = (k - length[shared]) / at_edge.sum(1)  # below 1: there are more items than places
            self._exposure[number] += share @ at_edge
            self._log_missing[number] += torch.log1p(-share) @ at_edge
            popularity[shared] += share * (at_edge @ self._popularity)
            length[shared] = k
        return popularity / length.clamp_min(1)

    def average_popularity(self, k: int) -> Tensor:
        """Return (n_users,) mean number of train interactions of the items of each list.

        Its mean over users is the average recommendation popularity, ARP@K.

        Source: Yin et al. 2012, section 5.2.
        """
        return torch.cat(self._user_popularity)[:, self.ks.index(k)]

    def coverage(self, k: int) -> float:
        """Return the expected share of all items that are in at least one list.

        Source: Ge et al. 2010 (catalogue coverage).
        """
        return float(-torch.expm1(self._log_missing[self.ks.index(k)]).mean())

    def gini(self, k: int) -> float:
        """Return the Gini index of how often each item is recommended: 0 if equally often, near 1 if always the same.

        Σ_i (2 i − N − 1) x_(i) / (N Σ_i x_i) over all N items, where x_(1) ≤ x_(2) ≤ … are the items' expected
        numbers of lists.
        """
        exposure = self._exposure[self.ks.index(k)].sort().values
        n = len(exposure)
        weights = 2 * torch.arange(1, n + 1, dtype=torch.float64) - n - 1
        return float((weights @ exposure / (n * exposure.sum())).clamp_min(0))


def _edge(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the (B,) k-th highest scores, and whether more items share that score than there are places left."""
    width = min(k, values.shape[1])
    edge = values[:, width - 1]
    if values.shape[1] == width:
        return edge, torch.zeros(len(values), dtype=torch.bool)
    return edge, (values[:, width] == edge) & (edge > -torch.inf)
