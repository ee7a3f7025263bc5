"""Recommendations: the top movies of each user, with the key frame of each movie."""

from collections.abc import Sequence

import polars as pl
import torch
from torch import Tensor

from dataset.errors import UsageError
from dataset.progress import stage
from dataset.tables import validate
from model.data.jagged import JaggedTensor, row_positions
from model.data.tables import Ids
from model.data.tensors import TrainingData
from model.models.recommender import FrameScorer, Scorer
from model.schema import Recommendation

_BLOCK_USERS = 256


@stage("Recommending")
def recommend(
    scorer: Scorer, data: TrainingData, ids: Ids, users: Tensor, known: JaggedTensor, k: int, device: str = "cpu"
) -> pl.DataFrame:
    """Return the `recommendations` table: the top `k` movies of each user with their key frames.

    The key frame is the movie's frame with the highest score. It is null if the model ranks no frames
    or the movie has none. Equal scores are ordered by movie id and frame id.

    Args:
        scorer: a frozen model.
        data: what it was trained on.
        ids: the ids of its users, movies and frames.
        users: (n,) int64, the users to recommend to.
        known: for each user, the items to leave out.
        k: movies per user; fewer if the user knows nearly all movies.
        device: where the scorer is.
    """
    parts = []
    for part in torch.split(users, _BLOCK_USERS):
        scores = scorer.item_scores(part.to(device)).cpu().double()
        scores = scores.masked_fill(known.mask(part, data.n_items), -torch.inf)
        best = torch.sort(scores, dim=1, descending=True, stable=True)
        kept = best.values[:, :k] > -torch.inf  # (B, k)
        rows, ranks = kept.nonzero(as_tuple=True)
        items = best.indices[rows, ranks]
        frame_ids, frame_scores = _key_frames(scorer, data, ids, part[rows], items, device)
        parts.append(
            pl.DataFrame(
                {
                    "user_id": ids.users[part[rows].numpy()],
                    "rank": pl.Series((ranks + 1).numpy()).cast(pl.UInt32),
                    "movie_id": ids.movies[items.numpy()],
                    "score": best.values[rows, ranks].numpy(),
                    "key_frame_id": frame_ids,
                    "frame_score": frame_scores,
                }
            )
        )
    return validate(pl.concat(parts), Recommendation, "recommendations")


def _key_frames(
    scorer: Scorer, data: TrainingData, ids: Ids, users: Tensor, items: Tensor, device: str
) -> tuple[pl.Series, pl.Series]:
    """Return, for (n,) pairs of a user and an item, the best frame's id and its score."""
    chosen = pl.Series([None] * len(users), dtype=pl.Int64)
    best_score = pl.Series([None] * len(users), dtype=pl.Float64)
    if isinstance(scorer, FrameScorer):
        frames, pairs = row_positions(data.frames.offsets, items)
        scores = scorer.frame_scores(users[pairs].to(device), frames.to(device)).cpu().double()
        scored = pl.DataFrame({"pair": pairs.numpy(), "frame": frames.numpy(), "score": scores.numpy()})
        best = scored.sort("pair", "score", descending=[False, True], maintain_order=True).unique("pair", keep="first")
        every = pl.DataFrame({"pair": range(len(users))}, schema={"pair": pl.Int64})
        joined = every.join(best, on="pair", how="left", maintain_order="left")
        chosen, best_score = joined["frame"], joined["score"]
    by_frame = pl.DataFrame({"frame": range(len(ids.frames)), "id": ids.frames}, schema_overrides={"frame": pl.Int64})
    names = chosen.to_frame("frame").join(by_frame, on="frame", how="left", maintain_order="left")["id"]
    return names.cast(pl.String), best_score


def user_indices(users: Sequence[str] | None, ids: Ids, label: str) -> Tensor:
    """Return the indices of users by id, each once; None for all users.

    Args:
        users: user ids.
        ids: the ids of the snapshot.
        label: the snapshot's name in the error message.

    Raises:
        UsageError: an id is not in the snapshot.
    """
    if users is None:
        return torch.arange(len(ids.users))
    index_of = {user: index for index, user in enumerate(ids.users)}
    for user in users:
        if user not in index_of:
            raise UsageError(f"user {user!r} is not in {label} ({len(index_of):,} users; for example {ids.users[0]!r})")
    return torch.tensor([index_of[user] for user in dict.fromkeys(users)])
