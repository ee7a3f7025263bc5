"""Negative items for pairwise training, uniform over the items that a user has not interacted with."""

import torch
from torch import Tensor

from dataset.errors import TooLittleDataError
from model.data.jagged import JaggedTensor

_BLOCK_USERS = 1 << 16


class NegativeSampler:
    """Draws negatives that are never a train positive, without rejection sampling.

    If p_0 < p_1 < … are a user's positives, exactly j − |{k : p_k < j}| of the user's negatives are
    smaller than item j. So the r-th negative is r + |{k : p_k − k ≤ r}|, and a uniform r gives a
    uniform negative. The count is one binary search for the whole batch, because the keys
    user · N + (p_k − k) ascend over all users.

    Negatives are on the device of `positives`. They are drawn on the generator's device.
    """

    def __init__(self, positives: JaggedTensor, n_items: int) -> None:
        lengths, owners = positives.lengths, positives.owners
        if len(full := (lengths >= n_items).nonzero()):
            raise TooLittleDataError(
                f"interactions: {len(full):,} users have interacted with all of the {n_items:,} movies in train, "
                "so no negative is left for them; remove these users or add movies"
            )
        within_row = torch.arange(len(owners), device=owners.device) - positives.offsets[owners]
        self._keys = owners * n_items + positives.values - within_row
        self._offsets = positives.offsets
        self._n_negatives = n_items - lengths
        self._n_items = n_items

    def sample(self, users: Tensor, n_negatives: int, generator: torch.Generator) -> Tensor:
        """Return (B, n_negatives) int64 items, drawn with replacement, for (B,) int64 `users`."""
        shape, draws = (len(users), n_negatives), generator.device
        uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=draws).to(users.device)
        rank = (uniform * self._n_negatives[users, None]).long()
        before = torch.searchsorted(self._keys, users[:, None] * self._n_items + rank, right=True)
        return rank + before - self._offsets[users, None]

    def sample_all(self, users: Tensor, n_negatives: int, generator: torch.Generator) -> Tensor:
        """Return (n, n_negatives) int32 items for the (n,) `users` of a whole epoch.

        This is faster than one `sample` per batch if `users` ascend, because neighbours search the same range.
        """
        parts = torch.split(users, _BLOCK_USERS)
        return torch.cat([self.sample(part, n_negatives, generator).int() for part in parts])
