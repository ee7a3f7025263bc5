"""`python -m model.recommend`: recommend movies, each with a key frame, with a trained run."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dataset.cli import Count, command_line, execute, say
from dataset.cli import run as run_command

app = command_line("python -m model.recommend")


@app.default
def recommend_movies(
    *,
    run: str,
    snapshot: Path | None = None,
    user: list[str] | None = None,
    frames: Path | None = None,
    k: Count = 10,
    to: Path | None = None,
    device: str = "cpu",
) -> None:
    """Recommend movies, each with a key frame, with a trained run.

    Args:
        run: a run's folder or name, or the start of its name (python -m model runs lists them)
        snapshot: the run's snapshot, if the snapshot was moved after training
        user: a user_id; may be repeated (all users if absent)
        frames: a Parquet file of new pictures of known movies (frame_id, movie_id, feature), scored without
            retraining; their features must come from the snapshot's extractor
        k: movies per user
        to: the file to write (recommendations.parquet in the run folder if absent)
        device: cpu or cuda
    """
    from dataset.tables import read_table, write_table
    from model.experiments.recommend import recommend, user_indices
    from model.experiments.run_folder import open_run
    from model.experiments.runs.store import find_run
    from model.schema import NewFrame, Recommendation
    from model.training.device import use_device

    use_device(device)
    new_frames = None if frames is None else read_table(frames, NewFrame)
    folder = find_run(run)
    opened, data = open_run(folder, snapshot, device, new_frames)
    users = user_indices(user, data.ids, data.label)
    train_items = data.training.positives
    table = recommend(opened.model.scorer(), data.training, data.ids, users, train_items, k, device)
    path = to or folder / "recommendations.parquet"
    write_table(table, Recommendation, path)
    say(f"{table.height:,} recommendations for {len(users):,} users: {path}")
    if new_frames is not None:
        n = table.filter(pl.col("key_frame_id").is_in(new_frames["frame_id"].implode())).height
        say(f"{new_frames.height:,} new frames were scored; {n:,} recommendations have one of them as key frame.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run_command(app)
