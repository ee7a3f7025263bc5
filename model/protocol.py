"""Where held-out positives are ranked, under each protocol; `metrics` makes numbers of it.

- `rank_among_sampled`, the paper's: a user's held-out positives among 1,000 sampled items that
  she has not rated, repeated 10 times (in a small catalogue, among all that she has not rated);
- `rank_among_all`: among all items but those of the splits before;
- `rank_frames`, the paper's for key frames: the liked frames of a held-out pair among all frames
  of that movie.

Items are scored in blocks of users, so memory is bounded by `_BLOCK_SCORES` numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dataset.errors import TrainingError
from model.interactions import HeldOutItems, HeldOutLikes, expand
from model.metrics import Ranks, rank_within_rows
from model.recommender import FrameScorer, Scorer

_BLOCK_SCORES = 1 << 23


@dataclass(frozen=True)
class _Block:
    """Some users with their scores; positives are numbered by row of `scores`.

    Attributes:
        users: (B,) int64.
        scores: (B, N).
        rows: (n,) int64, the row of each positive.
        items: (n,) int64, the positives.
    """

    users: Tensor
    scores: Tensor
    rows: Tensor
    items: Tensor


def users_with_positives(held_out: HeldOutItems) -> Tensor:
    """Return the (n,) users who have a held-out positive; `Ranks.owners` number these."""
    return held_out.positives.lengths.nonzero().squeeze(1)


def rank_among_all(scorer: Scorer, held_out: HeldOutItems, k_max: int, device: str = "cpu") -> Ranks:
    """Rank the positives among all items except `held_out.known`; see `rank_within_rows` for `k_max`.

    A user's other held-out positives are candidates too.
    """
    ranked = []
    for block in _score_blocks(scorer, held_out, device):
        known = held_out.known.mask(block.users, block.scores.shape[1])
        candidates = block.scores.masked_fill(known, -torch.inf)
        ranked.append(rank_within_rows(candidates, block.rows, block.scores[block.rows, block.items], k_max))
    return _joined(held_out, ranked)


def rank_among_sampled(
    scorer: Scorer,
    held_out: HeldOutItems,
    k_max: int,
    generator: torch.Generator,
    n_negatives: int = 1000,
    n_repeats: int = 10,
    device: str = "cpu",
) -> list[Ranks]:
    """Rank the positives among `n_negatives` sampled items, anew for each repeat.

    Negatives are drawn without replacement from the items that a user has in no split up to
    this one, the same for all of her positives; they depend on `generator` alone, so models can
    be compared pair by pair. Where fewer are left, all are taken.

    Source: Wu et al. 2019, section 4.1.
    """
    ranked: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(n_repeats)]
    for block in _score_blocks(scorer, held_out, device):
        n_items = block.scores.shape[1]
        rated = held_out.known.mask(block.users, n_items)
        rated[block.rows, block.items] = True
        positive_scores = block.scores[block.rows, block.items]
        padded = _padded(positive_scores, block.rows, len(block.users))  # (B, most positives of a user)
        for repeat in ranked:
            sampled, is_negative = _sample_unrated(rated, n_negatives, generator)  # (B, n_negatives) both
            negative_scores = block.scores.gather(1, sampled).masked_fill(~is_negative, -torch.inf)
            candidates = torch.cat([negative_scores, padded], 1)
            repeat.append(rank_within_rows(candidates, block.rows, positive_scores, k_max))
    return [_joined(held_out, repeat) for repeat in ranked]


def rank_frames(scorer: FrameScorer, likes: HeldOutLikes, device: str = "cpu") -> Ranks:
    """Rank the liked frames of each user-item pair among all frames of the item; owners are pairs.

    Source: Wu et al. 2019, section 4.1.
    """
    frames, pairs = expand(likes.frame_offsets, likes.items)  # all candidates of all pairs
    scores = scorer.frame_scores(likes.users[pairs].to(device), frames.to(device)).cpu()
    _require_finite(scores, "a frame")
    owners = likes.liked.owners
    candidate_offsets = torch.cat(
        [torch.zeros(1, dtype=torch.int64), torch.bincount(pairs, minlength=len(likes.users))]
    )
    candidate_offsets = candidate_offsets.cumsum(0)
    position = candidate_offsets[owners] + likes.liked.values - likes.frame_offsets[likes.items[owners]]
    compared, like = expand(candidate_offsets, owners)  # every like with every candidate of its pair
    liked_scores = scores[position]
    above = torch.zeros_like(owners).index_add(0, like, (scores[compared] > liked_scores[like]).long())
    tied = torch.zeros_like(owners).index_add(0, like, (scores[compared] == liked_scores[like]).long())
    return Ranks(owners, above, tied, likes.liked.lengths)


def _score_blocks(scorer: Scorer, held_out: HeldOutItems, device: str) -> Iterator[_Block]:
    """Score all items for the users with positives, block by block."""
    users = users_with_positives(held_out)
    if not len(users):
        return
    n_items = scorer.item_scores(users[:1].to(device)).shape[1]
    for part in torch.split(users, max(1, _BLOCK_SCORES // n_items)):
        scores = scorer.item_scores(part.to(device)).cpu()
        _require_finite(scores, "an item")
        positions, rows = expand(held_out.positives.offsets, part)
        yield _Block(part, scores, rows, held_out.positives.values[positions])


def _sample_unrated(rated: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return (B, n) items without replacement, and whether each is unrated (False where too few are left).

    The n smallest of independent uniform keys are a uniform sample.
    """
    keys = torch.rand(rated.shape, generator=generator).masked_fill_(rated, 2.0)
    smallest = torch.topk(keys, min(n, rated.shape[1]), dim=1, largest=False, sorted=False)
    return smallest.indices, smallest.values < 2.0


def _padded(values: Tensor, rows: Tensor, n_rows: int) -> Tensor:
    """Return (n_rows, longest) with the values of each row from the left, −inf behind."""
    counts = torch.bincount(rows, minlength=n_rows)
    column = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
    padded = values.new_full((n_rows, int(counts.max())), -torch.inf)
    padded[rows, column] = values
    return padded


def _joined(held_out: HeldOutItems, ranked: list[tuple[Tensor, Tensor]]) -> Ranks:
    users = users_with_positives(held_out)
    n_positives = held_out.positives.lengths[users]
    above = torch.cat([above for above, _ in ranked]) if ranked else torch.zeros(0, dtype=torch.int64)
    tied = torch.cat([tied for _, tied in ranked]) if ranked else torch.zeros(0, dtype=torch.int64)
    return Ranks(torch.repeat_interleave(n_positives), above, tied, n_positives)


def _require_finite(scores: Tensor, what: str) -> None:
    """Refuse scores that cannot be ranked.

    Raises:
        TrainingError: with the number of scores that are not finite.
    """
    broken = int((~torch.isfinite(scores)).sum())
    if broken:
        raise TrainingError(
            f"scores: {broken:,} of {scores.numel():,} scores of {what} are not finite, so they cannot be ranked; "
            "train again with a lower learning_rate"
        )
