"""People who were not in training, from a file of their interactions: who they are, and which items they know."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch

from dataset.errors import TooLittleDataError
from dataset.formats.ratings import FORMATS, RatingsFormat, ReadRatings, detect_format, read_ratings
from dataset.reading.open import open_user_file
from model.data.jagged import JaggedTensor
from model.data.loading import SnapshotData
from model.data.tables import Ids
from model.data.tensors import user_items
from model.experiments.recommend import recommend
from model.experiments.run_folder import Run
from model.training.fold_in import fold_in

_USER_COLUMNS, _ITEM_COLUMNS = ("user_id",), ("movie_id", "item_id")


@dataclass(frozen=True)
class NewPeople:
    """People and the items of the snapshot that they have interacted with, and what of a file could not be used.

    Attributes:
        ids: their user ids in ascending order, and the snapshot's movies and frames.
        histories: for each of them, the items; at least one, and each once.
        n_interactions: the interactions in the file, repeated ones counted once.
        n_known: people who are in the snapshot; their train interactions are in `histories` too.
        unknown_items: the file's items that the snapshot does not have.
        n_of_unknown_items: interactions with these.
        left_out: people who have no known item.
    """

    ids: Ids
    histories: JaggedTensor
    n_interactions: int
    n_known: int
    unknown_items: pl.Series
    n_of_unknown_items: int
    left_out: pl.Series

    def words(self, items: str = "movies") -> Iterator[str]:
        """Yield what the user should know, in sentences; `items` is what the data call their items."""
        yield f"{len(self.ids.users):,} people with {len(self.histories.values):,} interactions with known {items}."
        if self.n_known:
            yield f"{self.n_known:,} of them are in the snapshot; their train interactions there count too."
        if self.n_of_unknown_items:
            yield (
                f"{self.n_of_unknown_items:,} of {self.n_interactions:,} interactions were left out: "
                f"{len(self.unknown_items):,} {items} are not in the snapshot, for example {self.unknown_items[0]!r}."
            )
        if len(self.left_out):
            yield (
                f"{len(self.left_out):,} people were left out, for example {self.left_out[0]!r}: the snapshot has none "
                f"of their {items}; a run of popular has the same list for everyone."
            )


def read_interactions(path: Path, options: RatingsFormat) -> ReadRatings:
    """Read a file of interactions as an import reads ratings; its columns may also have the names of our own tables.

    Raises:
        MissingInputError: the file is missing.
        UsageError: an option's value is impossible.
        InvalidTableError: the file cannot be read, or a column is missing or invalid.
        TooLittleDataError: no row has a user and an item.
    """
    known = detect_format(path)
    file_format = FORMATS[known].updated(options) if known else options
    names = open_user_file(path, file_format.file_options, "ratings").names
    user, item = (next((name for name in ours if name in names), None) for ours in (_USER_COLUMNS, _ITEM_COLUMNS))
    file_format = replace(
        file_format, user_column=file_format.user_column or user, item_column=file_format.item_column or item
    )
    return read_ratings(path, file_format)


def new_people(interactions: pl.DataFrame, data: SnapshotData) -> NewPeople:
    """Return the people of `interactions` (user_id, movie_id) who have interacted with an item of the snapshot.

    Neither the order of the rows nor repeated rows matter.

    Raises:
        TooLittleDataError: nobody has.
    """
    given = interactions.select("user_id", "movie_id").unique().sort("user_id", "movie_id")
    is_known = given["movie_id"].is_in(data.ids.movies.implode())
    usable, unknown = given.filter(is_known), given.filter(~is_known)
    people = usable["user_id"].unique().sort()
    left_out = given["user_id"].unique().sort()
    left_out = left_out.filter(~left_out.is_in(people.implode()))
    if people.is_empty():
        raise TooLittleDataError(
            f"interactions: none of {len(unknown):,} is with an item of {data.label}, for example "
            f"{unknown['movie_id'][0]!r} (the snapshot has {data.ids.movies[0]!r}); give the same ids of items"
            if len(unknown)
            else "interactions: 0 rows; give at least one"
        )
    train = data.tables.interactions.filter(pl.col("split").cast(pl.String) == "train").select("user_id", "movie_id")
    earlier = train.join(people.to_frame("user_id"), on="user_id", how="semi")
    both = pl.concat([usable, earlier]).unique()
    ids = replace(data.ids, users=people)
    return NewPeople(
        ids,
        user_items(both, ids),
        given.height,
        earlier["user_id"].n_unique(),
        unknown["movie_id"].unique().sort(),
        unknown.height,
        left_out,
    )


def recommend_to_new(run: Run, data: SnapshotData, people: NewPeople, k: int) -> pl.DataFrame:
    """Return the `recommendations` table of people who were not in training: nothing that they know.

    Raises:
        UsageError: the model cannot recommend to new people.
        TooLittleDataError: a person knows all movies, and the model is trained on pairs.
    """
    model = fold_in(run.model, people.histories, len(data.ids.movies), run.seed)
    users = torch.arange(len(people.ids.users))
    return recommend(model.scorer(), data.training, people.ids, users, people.histories, k, run.device)
