"""What the recommended lists are like, whatever the users chose: coverage, concentration, popularity.

A user's list is the top K of all items but the known ones. Where the K-th score is shared, each of
the items that share it is in the list with the same probability (the places left / the items that
share them), independently between users; all values are expectations over that.
"""

import torch
from torch import Tensor


class RecommendedLists:
    """Collects what is recommended, block by block.

    Args:
        ks: the lengths of lists.
        popularity: (N,) int64, the number of train interactions of each item.
    """

    def __init__(self, ks: tuple[int, ...], popularity: Tensor) -> None:
        self.ks = ks
        self._popularity = popularity.double()
        n_items = len(popularity)
        self._exposure = torch.zeros(len(ks), n_items, dtype=torch.float64)
        self._log_missing = torch.zeros(len(ks), n_items, dtype=torch.float64)
        self._user_popularity: list[Tensor] = []

    def add(self, candidates: Tensor) -> None:
        """Add the lists of (B, N) scores, −inf where an item is no candidate."""
        n_items = candidates.shape[1]
        top = torch.topk(candidates, min(max(self.ks) + 1, n_items), dim=1)
        means = torch.zeros(len(candidates), len(self.ks), dtype=torch.float64)
        for number, k in enumerate(self.ks):
            rows, items, probabilities = _list_of(candidates, top.values, top.indices, k)
            self._exposure[number].index_add_(0, items, probabilities)
            self._log_missing[number].index_add_(0, items, torch.log1p(-probabilities))
            totals = torch.zeros(2, len(candidates), dtype=torch.float64)
            totals[0].index_add_(0, rows, probabilities * self._popularity[items])
            totals[1].index_add_(0, rows, probabilities)
            means[:, number] = totals[0] / totals[1].clamp_min(1)
        self._user_popularity.append(means)

    def average_popularity(self, k: int) -> Tensor:
        """Return (n_users,) mean number of train interactions of the items of each list.

        Its mean over users is the average recommendation popularity, ARP@K.

        Source: Yin et al. 2012, section 5.2.
        """
        return torch.cat(self._user_popularity)[:, self.ks.index(k)]

    def coverage(self, k: int) -> float:
        """Return the share of all items that are in at least one list, in expectation.

        Source: Ge et al. 2010 (catalogue coverage).
        """
        return float(-torch.expm1(self._log_missing[self.ks.index(k)]).mean())

    def gini(self, k: int) -> float:
        """Return the Gini index of how often each item is recommended: 0 all alike, towards 1 always the same.

        Σ_i (2 i − N − 1) x_(i) / (N Σ_i x_i) over all N items, x_(1) ≤ x_(2) ≤ … the expected numbers
        of lists with the item.
        """
        exposure = self._exposure[self.ks.index(k)].sort().values
        n = len(exposure)
        weights = 2 * torch.arange(1, n + 1, dtype=torch.float64) - n - 1
        return float((weights @ exposure / (n * exposure.sum())).clamp_min(0))


def _list_of(candidates: Tensor, values: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return (m,) rows, items and probabilities of all that may be in the top k of a row."""
    width = min(k, values.shape[1])
    edge = values[:, width - 1]
    is_shared = torch.zeros(len(values), dtype=torch.bool)
    if values.shape[1] > width:
        is_shared = (values[:, width] == edge) & (edge > -torch.inf)
    sure = values[:, :width] > torch.where(is_shared, edge, -torch.inf)[:, None]
    rows, column = sure.nonzero(as_tuple=True)
    items = indices[rows, column]
    shared_rows = is_shared.nonzero().squeeze(1)
    part, shared_items = (candidates[shared_rows] == edge[shared_rows, None]).nonzero(as_tuple=True)
    places = (k - sure.sum(1)[shared_rows]).double()
    share = (places / torch.bincount(part, minlength=len(shared_rows)))[part]
    ones = torch.ones(len(rows), dtype=torch.float64)
    return torch.cat([rows, shared_rows[part]]), torch.cat([items, shared_items]), torch.cat([ones, share])
