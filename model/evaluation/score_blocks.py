"""Scores of all items, in blocks of users; a score that is not finite raises an error."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from dataset.errors import TrainingError
from model.data.jagged import row_positions
from model.data.tensors import HeldOutItems
from model.evaluation.threads import in_threads
from model.models.recommender import Scorer

Found = TypeVar("Found")

_BLOCK_SCORES = {"cpu": 1 << 20, "cuda": 1 << 26}  # on a CPU 4 MiB, which stay in a core's cache


class NotFiniteError(TrainingError):
    """A scorer returned NaN or infinity.

    Attributes:
        user: the index of the first such user.
        candidate: the index of that user's first such item or frame.
        kind: "item" or "frame".
    """

    def __init__(self, user: int, candidate: int, kind: str, value: float, n: int) -> None:
        self.user, self.candidate, self.kind, self.value, self.n = user, candidate, kind, value, n
        super().__init__(self.message("the model", f"number {user}", f"number {candidate}"))

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the error picklable, because runs send their errors between processes."""
        return type(self), (self.user, self.candidate, self.kind, self.value, self.n)

    def message(self, model: str, user: str, candidate: str) -> str:
        """Return the error message with these names of the model, the user and the item or frame."""
        return (
            f"scores: {model} gives user {user} and {self.kind} {candidate} the score {self.value}"
            + (f" ({self.n - 1:,} more scores are not finite)" if self.n > 1 else "")
            + ", which cannot be ranked; train again with a lower learning_rate"
        )


@dataclass(frozen=True)
class ScoreBlock:
    """The scores of some users, where the scorer computed them. `rows` and `known_rows` are row numbers of `scores`.

    Attributes:
        first_owner: the position of the first of these users in `users_with_positives`.
        scores: (B, N) float.
        rows: (n,) int64, ascending: the row of each positive.
        items: (n,) int64, the positives.
        known_rows: (m,) int64, the row of each item that is not a candidate.
        known_items: (m,) int64.
    """

    first_owner: int
    scores: Tensor
    rows: Tensor
    items: Tensor
    known_rows: Tensor
    known_items: Tensor

    def candidates(self) -> Tensor:
        """Return a copy of the (B, N) scores with −inf for items that are not candidates."""
        scores = self.scores.clone(memory_format=torch.contiguous_format)
        return _without(scores, self.known_rows, self.known_items)

    def negatives(self) -> Tensor:
        """Return a copy of the (B, N) scores with −inf for items that are not negatives."""
        return _without(self.candidates(), self.rows, self.items)

    def on_cpu(self) -> "ScoreBlock":
        """Return the same block on the CPU."""
        return ScoreBlock(
            self.first_owner,
            *(part.cpu() for part in (self.scores, self.rows, self.items, self.known_rows, self.known_items)),
        )

    def positive_scores(self) -> Tensor:
        """Return (n,) scores of the positives."""
        return self.scores[self.rows, self.items]


def users_with_positives(held_out: HeldOutItems) -> Tensor:
    """Return the (n,) users who have a held-out positive; `RankCounts.owners` are positions in this tensor."""
    return held_out.positives.lengths.nonzero().squeeze(1)


def score_blocks(scorer: Scorer, held_out: HeldOutItems, device: str = "cpu") -> Iterator[ScoreBlock]:
    """Score all items for the users with positives, block by block.

    Raises:
        NotFiniteError: a score is NaN or infinite.
    """
    return map_blocks(lambda block: block, scorer, held_out, device)


def map_blocks(
    work: Callable[[ScoreBlock], Found], scorer: Scorer, held_out: HeldOutItems, device: str = "cpu"
) -> Iterator[Found]:
    """Yield `work(block)` for each block of `score_blocks`, in order. On a CPU, several threads share the blocks.

    Raises:
        NotFiniteError: a score is NaN or infinite.
    """
    users = users_with_positives(held_out)
    if not len(users):
        return
    n_items = scorer.item_scores(users[:1].to(device)).shape[1]
    size = max(1, _BLOCK_SCORES[device] // n_items)

    def scored(first_owner: int) -> Found:
        return work(_score_block(scorer, held_out, users[first_owner : first_owner + size], first_owner, device))

    starts = range(0, len(users), size)
    if device == "cpu":
        yield from in_threads(scored, starts, len(starts))
    else:
        yield from map(scored, starts)


def _score_block(scorer: Scorer, held_out: HeldOutItems, users: Tensor, first_owner: int, device: str) -> ScoreBlock:
    scores = scorer.item_scores(users.to(device))
    require_finite(scores, users)
    positions, rows = row_positions(held_out.positives.offsets, users)
    known, known_rows = row_positions(held_out.known.offsets, users)
    indices = (rows, held_out.positives.values[positions], known_rows, held_out.known.values[known])
    return ScoreBlock(first_owner, scores, *(part.to(device) for part in indices))


def require_finite(scores: Tensor, users: Tensor, frames: Tensor | None = None) -> None:
    """Check that (B, N) scores of items, or (n,) scores of frames, can be ranked.

    Raises:
        NotFiniteError: a score is NaN or infinite; the error describes the first one.
    """
    if not scores.numel() or torch.isfinite(torch.stack(torch.aminmax(scores))).all():
        return
    broken = (~torch.isfinite(scores)).nonzero()
    first = broken[0].tolist()
    user = int(users[first[0]])
    candidate = int(frames[first[0]]) if frames is not None else first[1]
    kind = "item" if frames is None else "frame"
    raise NotFiniteError(user, candidate, kind, float(scores[tuple(first)]), len(broken))


def _without(scores: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """Set (rows, items) to −inf in place. One flat index is several times faster than two."""
    scores.view(-1).index_fill_(0, rows * scores.shape[1] + items, -torch.inf)
    return scores
