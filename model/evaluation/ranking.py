"""Rankings of held-out positives under each protocol. `expectation` and `metrics` turn them into numbers.

- `rank_positives`: a user's held-out positives among all items except those of earlier splits
  (`HeldOutItems.known`). Every other item ranking follows from it: full ranking is
  `expected_ranking` of it, and the paper's protocol, in exact expectation, is
  `expected_ranking(…, n_sampled=1000)`.
- `SampledNegatives`: the paper's protocol as printed: 1,000 sampled items that the user has not
  rated, repeated 10 times. It verifies the exact expectation.
- `full_ranking`: full ranking only, for small K and fast, for validation during training.
- `rank_liked_frames`: the paper's protocol for key frames, the liked frames of a held-out
  user-item pair among all frames of that item.

All held-out positives of a user are candidates. The other candidates, the user's negatives, are
the items that the user has neither in this split nor in an earlier one. Items are scored in blocks of users
(`model.evaluation.score_blocks`), so memory is bounded.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.data.jagged import row_positions
from model.data.tensors import HeldOutItems, HeldOutLikes
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import RankDistribution
from model.evaluation.rank_counts import RankCounts, concat_counts, order_positives
from model.evaluation.score_blocks import ScoreBlock, map_blocks, require_finite
from model.evaluation.threads import in_threads
from model.models.recommender import FrameScorer, Scorer

_COMPARED = 1 << 26  # scores that are compared at once on a GPU


@dataclass(frozen=True)
class RankedPositives:
    """The positions of all positives among their candidates, ordered by owner and descending score.

    Attributes:
        counts: the positions.
        candidates: (n,) int64, the item or frame that each positive is.
    """

    counts: RankCounts
    candidates: Tensor


def rank_positives(scorer: Scorer, held_out: HeldOutItems, device: str = "cpu") -> RankedPositives:
    """Rank the positives among all items except `held_out.known`."""
    return concat_ranked(list(map_blocks(rank_block, scorer, held_out, device)))


def rank_block(block: ScoreBlock) -> RankedPositives:
    """Rank the positives of a block among all negatives; owners are positions in `users_with_positives`."""
    if block.scores.device.type != "cpu":
        return _rank_by_counting(block)
    ascending = block.negatives()
    ascending.numpy().sort(axis=1)
    return _rank_among(block, ascending, (ascending > -torch.inf).sum(1))


def concat_ranked(parts: list[RankedPositives]) -> RankedPositives:
    """Join the rankings of all blocks."""
    candidates = torch.cat([part.candidates for part in parts]) if parts else torch.zeros(0, dtype=torch.int64)
    return RankedPositives(concat_counts([part.counts for part in parts]), candidates)


def full_ranking(scorer: Scorer, held_out: HeldOutItems, k_max: int, device: str = "cpu") -> RankDistribution:
    """Rank the positives among all items except `held_out.known`, down to rank `k_max`.

    Equal to `expected_ranking` of `rank_positives`, but faster: it skips positives that cannot be in the
    top `k_max`.
    """
    parts = list(map_blocks(lambda block: _rank_top(block, k_max), scorer, held_out, device))
    return expected_ranking(concat_counts(parts), k_max)


class SampledNegatives:
    """Negatives sampled without replacement, independently per repeat; all positives of a user share them.

    They depend on the seed, the users and their rated items, but not on the scores, so all models
    are compared on the same negatives. If a user has fewer unrated items than `n_negatives`, all of
    them are taken.

    Args:
        n_negatives: sampled negatives per user; the paper's 1,000.
        n_repeats: number of repeats; the paper's 10.
        seed: each repeat has a generator of its own, made from this seed and its number.

    Source: Wu et al. 2019, section 4.1.
    """

    def __init__(self, n_negatives: int, n_repeats: int, seed: int) -> None:
        self._n_negatives = n_negatives
        self._generators = [np.random.default_rng([seed, repeat]) for repeat in range(n_repeats)]
        self._digests = [hashlib.sha256() for _ in range(n_repeats)]

    @property
    def n_repeats(self) -> int:
        """The number of repeats."""
        return len(self._generators)

    @property
    def sha256(self) -> str:
        """The hash of the item indices that have been sampled for each user so far, in all repeats."""
        return hashlib.sha256(b"".join(digest.digest() for digest in self._digests)).hexdigest()

    def rank_block(self, block: ScoreBlock) -> list[RankedPositives]:
        """Rank, for each repeat, the positives of a block among sampled negatives.

        Call it once for every block, in order.
        """
        if not self.n_repeats:
            return []
        block = block.on_cpu()
        negatives = block.negatives()
        rated = (negatives == -torch.inf).double().numpy() * 2
        repeats = range(self.n_repeats)
        return list(in_threads(lambda repeat: self._rank(repeat, block, negatives, rated), repeats, len(repeats)))

    def _rank(self, repeat: int, block: ScoreBlock, negatives: Tensor, rated: np.ndarray) -> RankedPositives:
        """Give each item a random key and take those with the smallest keys, which is a uniform sample."""
        keys = self._generators[repeat].random(rated.shape) + rated  # rated items have keys from 2 on and come last
        n = min(self._n_negatives, keys.shape[1])
        largest = np.partition(keys, n - 1, axis=1)[:, n - 1 : n]
        is_sampled = keys <= np.minimum(largest, 1.0)  # (B, N)
        self._digests[repeat].update(np.packbits(is_sampled, axis=1).tobytes())
        counts = is_sampled.sum(1)
        ascending = np.full((len(counts), n), -np.inf, dtype=negatives.numpy().dtype)
        ascending[np.arange(n) < counts[:, None]] = negatives.numpy()[is_sampled]
        ascending.sort(axis=1)
        return _rank_among(block, torch.from_numpy(ascending), torch.from_numpy(counts))


def rank_liked_frames(scorer: FrameScorer, likes: HeldOutLikes, device: str = "cpu") -> RankedPositives:
    """Rank the liked frames of each user-item pair among all frames of the item; owners are pairs.

    The frames that are nearly equal to a liked one are one candidate with it, which has the highest of their scores.
    So a model that prefers a copy of a liked frame is right.

    Raises:
        NotFiniteError: a score is NaN or infinite.

    Source: Wu et al. 2019, section 4.1.
    """
    frames, pairs = row_positions(likes.frame_offsets, likes.items)  # all candidates of all pairs
    scores = scorer.frame_scores(likes.users[pairs].to(device), frames.to(device)).cpu()
    require_finite(scores, likes.users[pairs], frames)
    n_candidates = torch.bincount(pairs, minlength=len(likes.users))
    offsets = torch.cat([n_candidates.new_zeros(1), n_candidates.cumsum(0)])
    owners = likes.liked.owners
    liked_by, is_negative = nearest_likes(likes, frames, pairs)
    best = scores.new_zeros(len(owners)).scatter_reduce(
        0, liked_by[~is_negative], scores[~is_negative], "amax", include_self=False
    )
    order, before, place, group_size = order_positives(owners, best)
    owners, liked, liked_scores = owners[order], likes.liked.values[order], best[order]
    compared, like = row_positions(offsets, owners)  # every like with every candidate of its pair
    above, tied = (
        torch.zeros_like(owners).index_add(0, like, (is_negative[compared] & is_so).long())
        for is_so in (scores[compared] > liked_scores[like], scores[compared] == liked_scores[like])
    )
    n_negatives = torch.bincount(pairs[is_negative], minlength=len(likes.users))
    counts = RankCounts(owners, before, above, tied, place, group_size, likes.liked.lengths, n_negatives)
    return RankedPositives(counts, liked)


def nearest_likes(likes: HeldOutLikes, frames: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each candidate the like of its pair that it is, or is nearly equal to, and whether there is none.

    Args:
        likes: the likes.
        frames: (n,) int64, the candidates.
        pairs: (n,) int64, their pairs.

    Returns:
        (n,) int64 positions in `likes.liked.values`, and (n,) bool; a position without such a like means nothing.
    """
    n_groups = 1 + int(likes.frame_offsets[-1])
    candidates, liked = frames, likes.liked.values
    if likes.groups is not None:
        candidates, liked = likes.groups[frames], likes.groups[liked]
    keys, order = (likes.liked.owners * n_groups + liked).sort()
    wanted = pairs * n_groups + candidates
    found = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
    return order[found], keys[found] != wanted


def _rank_among(block: ScoreBlock, ascending: Tensor, n_negatives: Tensor) -> RankedPositives:
    """Rank the positives of a block among (B, C) ascending scores of negatives, padded at the front with −inf."""
    scores = block.positive_scores()
    counts = torch.bincount(block.rows, minlength=len(ascending))
    column = torch.arange(len(scores)) - (counts.cumsum(0) - counts)[block.rows]
    padded = scores.new_zeros((len(ascending), int(counts.max())))
    padded[block.rows, column] = scores
    below_or_tied = torch.searchsorted(ascending, padded, right=True)[block.rows, column]
    below = torch.searchsorted(ascending, padded)[block.rows, column]
    order, before, place, group_size = order_positives(block.rows, scores)
    above, tied = (ascending.shape[1] - below_or_tied)[order], (below_or_tied - below)[order]
    owners = block.rows[order] + block.first_owner
    ranks = RankCounts(owners, before, above, tied, place, group_size, counts, n_negatives)
    return RankedPositives(ranks, block.items[order])


def _rank_by_counting(block: ScoreBlock) -> RankedPositives:
    """Rank the positives of a block by comparing each with every negative: on a GPU this is cheaper than sorting."""
    negatives, scores = block.negatives(), block.positive_scores()
    above, tied = torch.zeros_like(block.rows), torch.zeros_like(block.rows)
    for part in torch.split(torch.arange(len(scores), device=scores.device), max(1, _COMPARED // negatives.shape[1])):
        others, score = negatives[block.rows[part]], scores[part, None]
        above[part], tied[part] = (others > score).sum(1), (others == score).sum(1)
    order, before, place, group_size = order_positives(block.rows.cpu(), scores.cpu())
    n_users, n_items = negatives.shape
    counts, known = (torch.bincount(rows.cpu(), minlength=n_users) for rows in (block.rows, block.known_rows))
    owners = block.rows.cpu()[order] + block.first_owner
    ranks = RankCounts(
        owners, before, above.cpu()[order], tied.cpu()[order], place, group_size, counts, n_items - counts - known
    )
    return RankedPositives(ranks, block.items.cpu()[order])


def _rank_top(block: ScoreBlock, k_max: int) -> RankCounts:
    """Rank the positives that may be in the top `k_max`."""
    if block.scores.device.type != "cpu":
        return _rank_by_counting(block).counts
    negatives, scores = block.negatives().numpy(), block.positive_scores()
    n_items = negatives.shape[1]
    k = min(k_max, n_items)
    negatives.partition(n_items - k, axis=1)
    top = torch.from_numpy(negatives[:, n_items - k :])
    last = top[:, 0]  # the k-th best negative
    near = (scores >= last[block.rows]).nonzero().squeeze(1)
    order, before, place, group_size = order_positives(block.rows[near], scores[near])
    rows, score = block.rows[near][order], scores[near][order]
    above, tied = (top[rows] > score[:, None]).sum(1), (top[rows] == score[:, None]).sum(1)
    if (score == last[rows]).any():
        all_tied = torch.from_numpy((negatives == last[:, None].numpy()).sum(1))
        tied = torch.where(score == last[rows], all_tied[rows], tied)
    counts = torch.bincount(block.rows, minlength=len(top))
    n_negatives = n_items - counts - torch.bincount(block.known_rows, minlength=len(top))
    return RankCounts(rows + block.first_owner, before, above, tied, place, group_size, counts, n_negatives)
