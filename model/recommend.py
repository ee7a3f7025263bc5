"""`python -m model.recommend`: recommend movies, each with a key frame, with a trained run.

New pictures of known movies can be among the frames without training again (`--frames`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import ArgumentParser, run, whole_number
from dataset.schema import NewFrame, Recommendation
from dataset.tables import read_table, write_table
from model.experiments.recommend import recommend, user_indices
from model.experiments.run_folder import open_run
from model.training.device import use_device


def main(argv: Sequence[str]) -> None:
    """Write the recommendations of a run as `recommendations.parquet` into its folder."""
    arguments = _parser().parse_args(argv)
    use_device(arguments.device)
    new_frames = None if arguments.frames is None else read_table(arguments.frames, NewFrame)
    opened = open_run(arguments.run, arguments.snapshot, arguments.device, new_frames)
    users = user_indices(arguments.user, opened.ids, opened.snapshot_label)
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
    parser.add_argument("--snapshot", type=Path, help="its snapshot, if it was moved after training")
    parser.add_argument("--user", action="append", help="a user_id; may repeat (all users if absent)")
    parser.add_argument(
        "--frames",
        type=Path,
        help="a Parquet file of new pictures of known movies (frame_id, movie_id, feature), scored without training; "
        "their features must come from the snapshot's extractor",
    )
    parser.add_argument("--k", type=whole_number(), default=10, help="movies per user")
    parser.add_argument("--to", type=Path, help="the file to write (recommendations.parquet in the run's folder)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.recommend")
