"""The items that positives are compared with: a user's negatives for BPR's loss, or any items for a softmax."""

import torch
from torch import Tensor

from dataset.errors import TooLittleDataError
from model.data.jagged import JaggedTensor
from model.models.recommender import TrainableRecommender
from model.training.config import TrainingConfig

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


class UniformSampler:
    """Draws items uniformly from all `n_items`, whatever a user has interacted with, as a sampled softmax needs."""

    def __init__(self, n_items: int) -> None:
        self._n_items = n_items

    def sample_all(self, users: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Return (len(users), n) int32 items on the device of `users`."""
        shape = (len(users), n)
        drawn = torch.randint(self._n_items, shape, generator=generator, device=generator.device, dtype=torch.int32)
        return drawn.to(users.device)


class Comparisons:
    """Draws what a model's loss compares the positives of an epoch with.

    A softmax is over all items if there are at most `n_candidates`, or if a sample would have as many. Then a positive
    still gets one item, as VPOI's pictures need. Else the items that are drawn for the positives of a batch are the
    candidates of the whole batch, so each positive gets its share; a model that scores pair by pair has `n_negatives`
    for each positive instead.
    """

    def __init__(
        self,
        learner: TrainableRecommender,
        loss: str,
        positives: JaggedTensor,
        n_items: int,
        training: TrainingConfig,
        batch_size: int,
    ) -> None:
        self._n = training.n_negatives
        self._sampler: NegativeSampler | UniformSampler
        if loss == "bpr":
            self._sampler = NegativeSampler(positives, n_items)
            return
        self._sampler = UniformSampler(n_items)
        learner.is_sampled = learner.scores_pairs
        if not learner.scores_pairs:
            learner.is_sampled = n_items > max(training.n_candidates, batch_size)
            self._n = -(-training.n_candidates // batch_size) if learner.is_sampled else 1

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Return (n, k) int32 items for the (n,) `users` of an epoch, which ascend."""
        return self._sampler.sample_all(users, self._n, generator)
