"""Where held-out positives are ranked, under each protocol; `expectation` and `metrics` make numbers of it.

- `place_among_all`: a user's held-out positives among all items but those of the splits before
  (`HeldOutItems.known`). This says all there is to say: full ranking is `expected_ranking` of it,
  and the paper's protocol, in expectation, is `expected_ranking(…, n_sampled=1000)`;
- `rank_among_sampled`, the paper's protocol as printed: 1,000 sampled items that the user has not
  rated, repeated 10 times. It is the check of the one above;
- `rank_among_all`: full ranking alone, for small K and fast, as validation needs it;
- `rank_frames`, the paper's for key frames: the liked frames of a held-out pair among all frames
  of that movie.

A user's held-out positives are all candidates; the others, her negatives, are what she has in no
split up to this one. Items are scored in blocks of users (`model.evaluation.blocks`), so memory is bounded.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from model.data.indexed import HeldOutItems, HeldOutLikes, expand
from model.evaluation.blocks import Block, require_finite, score_blocks
from model.evaluation.expectation import Ranks, expected_ranking, order_positives
from model.evaluation.metrics import RankDistribution
from model.models.recommender import FrameScorer, Scorer


@dataclass(frozen=True)
class Placed:
    """Where all positives stand among all candidates.

    Attributes:
        ranks: positives ordered by user and falling score.
        items: (n,) int64, the item of each.
    """

    ranks: Ranks
    items: Tensor


def place_among_all(scorer: Scorer, held_out: HeldOutItems, device: str = "cpu") -> Placed:
    """Return where the positives stand among all items except `held_out.known`."""
    return join_placed([place_block(block) for block in score_blocks(scorer, held_out, device)])


def place_block(block: Block) -> Placed:
    """Return where the positives of a block stand; owners are numbered as in `users_with_positives`."""
    ordered = torch.from_numpy(np.sort(block.negatives().numpy(), axis=1))
    n_negatives = (ordered > -torch.inf).sum(1)
    return _place(block, ordered, n_negatives)


def join_placed(parts: list[Placed]) -> Placed:
    """Join what `place_block` returned for all blocks."""
    items = torch.cat([part.items for part in parts]) if parts else torch.zeros(0, dtype=torch.int64)
    return Placed(_joined([part.ranks for part in parts]), items)


def rank_among_all(scorer: Scorer, held_out: HeldOutItems, k_max: int, device: str = "cpu") -> RankDistribution:
    """Rank the positives among all items except `held_out.known`, up to rank `k_max`.

    Equal to `expected_ranking` of `place_among_all`, without looking for what is below `k_max`.
    """
    parts = [_place_near(block, k_max) for block in score_blocks(scorer, held_out, device)]
    return expected_ranking(_joined(parts), k_max)


class SampledNegatives:
    """Negatives sampled without replacement, anew for each repeat, the same for all positives of a user.

    They depend on the seed, the users and what they have rated, not on the scores: models are
    compared on the same negatives. Where a user has fewer unrated items, all are taken.

    Args:
        n_negatives: negatives sampled a user; the paper's 1,000.
        n_repeats: the paper's 10.
        seed: of all repeats.

    Source: Wu et al. 2019, section 4.1.
    """

    def __init__(self, n_negatives: int, n_repeats: int, seed: int) -> None:
        self._n_negatives = n_negatives
        self._generators = [np.random.default_rng([seed, repeat]) for repeat in range(n_repeats)]
        self._digests = [hashlib.sha256() for _ in range(n_repeats)]

    def place(self, block: Block) -> list[Placed]:
        """Return, for each repeat, where the positives of a block stand among its negatives.

        Blocks must come in order, each once.
        """
        negatives = block.negatives()
        rated = (negatives == -torch.inf).double().numpy() * 2
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda repeat: self._place(repeat, block, negatives, rated), range(self.n_repeats)))

    @property
    def n_repeats(self) -> int:
        """How often negatives are sampled."""
        return len(self._generators)

    @property
    def sha256(self) -> str:
        """The hash of which items, by index, have been sampled for each user so far, in all repeats."""
        return hashlib.sha256(b"".join(digest.digest() for digest in self._digests)).hexdigest()

    def _place(self, repeat: int, block: Block, negatives: Tensor, rated: np.ndarray) -> Placed:
        """Take the items with the smallest of independent uniform keys, which are a uniform sample."""
        keys = self._generators[repeat].random(rated.shape) + rated  # what is rated comes last, from 2
        n = min(self._n_negatives, keys.shape[1])
        largest = np.partition(keys, n - 1, axis=1)[:, n - 1 : n]
        is_sampled = keys <= np.minimum(largest, 1.0)  # (B, N)
        self._digests[repeat].update(np.packbits(is_sampled, axis=1).tobytes())
        counts = is_sampled.sum(1)
        sampled = np.full((len(counts), n), -np.inf, dtype=negatives.numpy().dtype)
        sampled[np.arange(n) < counts[:, None]] = negatives.numpy()[is_sampled]
        sampled.sort(axis=1)
        return _place(block, torch.from_numpy(sampled), torch.from_numpy(counts))


def rank_among_sampled(
    scorer: Scorer, held_out: HeldOutItems, k_max: int, negatives: SampledNegatives, device: str = "cpu"
) -> list[RankDistribution]:
    """Rank the positives among sampled negatives, up to rank `k_max`, for each repeat."""
    repeats: list[list[Placed]] = [[] for _ in range(negatives.n_repeats)]
    for block in score_blocks(scorer, held_out, device):
        for parts, placed in zip(repeats, negatives.place(block), strict=True):
            parts.append(placed)
    return [expected_ranking(join_placed(parts).ranks, k_max) for parts in repeats]


def place_frames(scorer: FrameScorer, likes: HeldOutLikes, device: str = "cpu") -> Placed:
    """Return where the liked frames of each user-item pair stand among all frames of the item; owners are pairs.

    Raises:
        NotFiniteError: a score is NaN or infinite.

    Source: Wu et al. 2019, section 4.1.
    """
    frames, pairs = expand(likes.frame_offsets, likes.items)  # all candidates of all pairs
    scores = scorer.frame_scores(likes.users[pairs].to(device), frames.to(device)).cpu()
    require_finite(scores, likes.users[pairs], frames)
    n_candidates = torch.bincount(pairs, minlength=len(likes.users))
    offsets = torch.cat([n_candidates.new_zeros(1), n_candidates.cumsum(0)])
    owners = likes.liked.owners
    position = offsets[owners] + likes.liked.values - likes.frame_offsets[likes.items[owners]]
    is_negative = torch.ones(len(frames), dtype=torch.bool)
    is_negative[position] = False
    order, before, place, group = order_positives(owners, scores[position])
    owners, liked, liked_scores = owners[order], likes.liked.values[order], scores[position][order]
    compared, like = expand(offsets, owners)  # every like with every candidate of its pair
    above, tied = (
        torch.zeros_like(owners).index_add(0, like, (is_negative[compared] & is_so).long())
        for is_so in (scores[compared] > liked_scores[like], scores[compared] == liked_scores[like])
    )
    n_liked = likes.liked.lengths
    return Placed(Ranks(owners, before, above, tied, place, group, n_liked, n_candidates - n_liked), liked)


def rank_frames(scorer: FrameScorer, likes: HeldOutLikes, k_max: int = 5, device: str = "cpu") -> RankDistribution:
    """Rank the liked frames of each user-item pair among all frames of the item, up to rank `k_max`."""
    return expected_ranking(place_frames(scorer, likes, device).ranks, k_max)


def _place(block: Block, ordered: Tensor, n_negatives: Tensor) -> Placed:
    """Place the positives of a block among the (B, C) ascending scores of negatives, −inf where there are fewer."""
    scores = block.positive_scores()
    counts = torch.bincount(block.rows, minlength=len(ordered))
    column = torch.arange(len(scores)) - (counts.cumsum(0) - counts)[block.rows]
    padded = scores.new_zeros((len(ordered), int(counts.max())))
    padded[block.rows, column] = scores
    below_or_tied = torch.searchsorted(ordered, padded, right=True)[block.rows, column]
    below = torch.searchsorted(ordered, padded)[block.rows, column]
    order, before, place, group = order_positives(block.rows, scores)
    above, tied = (ordered.shape[1] - below_or_tied)[order], (below_or_tied - below)[order]
    owners = block.rows[order] + block.first_owner
    return Placed(Ranks(owners, before, above, tied, place, group, counts, n_negatives), block.items[order])


def _place_near(block: Block, k_max: int) -> Ranks:
    """Place the positives that may be among the top `k_max`."""
    negatives, scores = block.negatives().numpy(), block.positive_scores()
    n_items = negatives.shape[1]
    k = min(k_max, n_items)
    negatives.partition(n_items - k, axis=1)
    top = torch.from_numpy(negatives[:, n_items - k :])
    last = top[:, 0]  # the k-th best negative
    near = (scores >= last[block.rows]).nonzero().squeeze(1)
    order, before, place, group = order_positives(block.rows[near], scores[near])
    rows, score = block.rows[near][order], scores[near][order]
    above, tied = (top[rows] > score[:, None]).sum(1), (top[rows] == score[:, None]).sum(1)
    if (score == last[rows]).any():
        all_tied = torch.from_numpy((negatives == last[:, None].numpy()).sum(1))
        tied = torch.where(score == last[rows], all_tied[rows], tied)
    counts = torch.bincount(block.rows, minlength=len(top))
    n_negatives = n_items - counts - torch.bincount(block.known_rows, minlength=len(top))
    return Ranks(rows + block.first_owner, before, above, tied, place, group, counts, n_negatives)


def _joined(parts: list[Ranks]) -> Ranks:
    """Join the ranks of all blocks."""
    if not parts:
        none = torch.zeros(0, dtype=torch.int64)
        return Ranks(none, none, none, none, none, none, none, none)
    return Ranks(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Ranks)))
