"""`python -m model.recommend`: recommend movies, each with a key frame, with a trained run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl

from dataset.cli import FLAT, Count, command_line, execute, say
from dataset.cli import run as run_command
from dataset.errors import UsageError
from dataset.formats.ratings import RatingsFormat

if TYPE_CHECKING:
    from dataset.formats.ratings import ReadRatings
    from model.data.loading import SnapshotData

app = command_line("python -m model.recommend")


@app.default
def recommend_movies(
    run: str,
    *,
    snapshot: Path | None = None,
    user: list[str] | None = None,
    interactions: Path | None = None,
    reading: Annotated[RatingsFormat, FLAT] = RatingsFormat(),  # noqa: B008 - frozen
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
        interactions: a file of what people who joined after training have watched, read as an import reads ratings;
            movies are recommended to them, without training again
        reading: how to read that file
        frames: a Parquet file of new pictures (frame_id, movie_id, feature), scored without training again; their
            features must come from the snapshot's extractor. A movie that is not in the snapshot is new: it is scored
            by its pictures alone
        k: movies per user
        to: the file to write (recommendations.parquet in the run folder if absent; new_people.parquet there with
            --interactions)
        device: cpu or cuda
    """
    from dataset.tables import read_table, write_table
    from dataset.wording import wording_of
    from model.experiments.new_people import new_people, read_interactions, recommend_to_new
    from model.experiments.recommend import recommend, user_indices
    from model.experiments.run_folder import open_run, read_description
    from model.experiments.runs.store import find_run
    from model.models.held_out_frames import scorer_of
    from model.schema import NewFrame, Recommendation
    from model.training.device import use_device

    if user and interactions:
        raise UsageError("--user chooses users of the snapshot, and --interactions brings others; use one of them")
    use_device(device)
    read = None if interactions is None else read_interactions(interactions, reading)
    new_frames = None if frames is None else read_table(frames, NewFrame)
    folder = find_run(run)
    opened, data = open_run(folder, snapshot, device, new_frames)
    items = wording_of(read_description(folder).get("provenance") or {}).items
    if read is None:
        users = user_indices(user, data.ids, data.label)
        table = recommend(
            scorer_of(opened.model, data), data.training, data.ids, users, data.training.positives, k, device
        )
        n_users, path = len(users), to or folder / "recommendations.parquet"
    else:
        people = new_people(read.rows, data)
        say(*people.words(items), *_about_file(read), sep="\n")
        table = recommend_to_new(opened, data, people, k)
        n_users, path = len(people.ids.users), to or folder / "new_people.parquet"
    write_table(table, Recommendation, path)
    say(f"{table.height:,} recommendations for {n_users:,} users: {path}")
    if new_frames is not None:
        _say_about_frames(new_frames, table, data, items)


def _about_file(read: "ReadRatings") -> Iterator[str]:
    """Yield what a file's reader dropped and noted."""
    for reason, n_rows in sorted(read.quarantine.group_by("reason").len().iter_rows()):
        yield f"{n_rows:,} rows were left out: {reason}."
    yield from read.notes


def _say_about_frames(new: pl.DataFrame, table: pl.DataFrame, data: "SnapshotData", items: str) -> None:
    """Say how many of the new frames and movies were scored and recommended."""
    n = table.filter(pl.col("key_frame_id").is_in(new["frame_id"].implode())).height
    say(f"{new.height:,} new frames were scored; {n:,} recommendations have one of them as key frame.")
    if n_new := len(data.tables.new_movies):
        n = table.filter(pl.col("movie_id").is_in(data.tables.new_movies.implode())).height
        say(f"{n_new:,} new {items} were scored by their pictures alone; {n:,} recommendations are of them.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run_command(app)
