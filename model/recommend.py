"""Recommendations: for users, the top movies with the key frame of each, `python -m model.recommend`.

New pictures of known movies can be among the frames, without training anew (`--frames`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from dataset.cli import ArgumentParser, run, whole_number
from dataset.errors import UsageError
from dataset.tables import read_table, validate, write_table
from model.data.jagged import JaggedTensor, row_positions
from model.data.tables import Ids
from model.data.tensors import TrainingData
from model.experiments.run_folder import open_run
from model.models.recommender import FrameScorer, Scorer
from model.schema import NewFrame, Recommendation
from model.training.device import use_device

_BLOCK_USERS = 256


def recommend(
    scorer: Scorer, data: TrainingData, ids: Ids, users: Tensor, known: JaggedTensor, k: int, device: str = "cpu"
) -> pl.DataFrame:
    """Return the `recommendations` table: the top `k` movies of each user with their key frames.

    The key frame is the movie's frame with the highest frame score; it is null where the model
    ranks no frames or the movie has none. Equal scores go by movie and frame id.

    Args:
        scorer: a frozen model.
        data: what it was trained on.
        ids: the identifiers.
        users: (n,) int64, whom to recommend to.
        known: for each user, the items that are not to be recommended.
        k: movies a user, fewer where she knows nearly all.
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


def main(argv: Sequence[str]) -> None:
    """Write the recommendations of a run as `recommendations.parquet` into its folder."""
    arguments = _parser().parse_args(argv)
    use_device(arguments.device)
    new_frames = None if arguments.frames is None else read_table(arguments.frames, NewFrame)
    opened = open_run(arguments.run, arguments.snapshot, arguments.device, new_frames)
    position = pl.DataFrame({"user_id": opened.ids.users}).with_row_index("user_idx")
    wanted = position
    if arguments.user:
        wanted = pl.DataFrame({"user_id": list(dict.fromkeys(arguments.user))}).join(position, on="user_id", how="left")
        if unknown := wanted.filter(pl.col("user_idx").is_null())["user_id"].to_list():
            raise UsageError(
                f"--user {unknown[0]!r} is not in {opened.snapshot_label} ({position.height:,} users; "
                f"for example {position['user_id'][0]!r})"
            )
    users = torch.from_numpy(wanted["user_idx"].cast(pl.Int64).to_numpy().copy())
    table = recommend(
        opened.model.scorer(), opened.data, opened.ids, users, opened.data.positives, arguments.k, arguments.device
    )
    written = arguments.to or arguments.run / "recommendations.parquet"
    write_table(table, Recommendation, written)
    print(f"{table.height:,} recommendations for {len(users):,} users: {written}")
    if new_frames is not None:
        n = table.filter(pl.col("key_frame_id").is_in(new_frames["frame_id"].implode())).height
        print(f"{new_frames.height:,} new frames were scored; {n:,} recommendations have one of them as key frame.")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.recommend", description="Recommend movies, each with a key frame, with a trained run."
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run (python -m model.train makes it)")
    parser.add_argument("--snapshot", type=Path, help="its snapshot, if it has been moved since")
    parser.add_argument("--user", action="append", help="a user_id; may repeat (all users if absent)")
    parser.add_argument(
        "--frames",
        type=Path,
        help="a Parquet file of new pictures of known movies (frame_id, movie_id, feature), scored without training; "
        "their features must come from the snapshot's extractor",
    )
    parser.add_argument("--k", type=whole_number(), default=10, help="movies a user")
    parser.add_argument("--to", type=Path, help="the file to write (recommendations.parquet in the run's folder)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.recommend")
