"""The tables of a snapshot that models use, and the identifier of every index."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from dataset.errors import InvalidTableError, MissingInputError
from dataset.tables import require_references


@dataclass(frozen=True)
class Tables:
    """The tables of a snapshot that the models use. `frame_features` is None if the snapshot has no features.

    `item_features` holds `movie_id` and `feature` of each modality of the items, such as text.
    `frame_likes_train` is None if the snapshot does not have it.
    """

    movies: pl.DataFrame
    frames: pl.DataFrame
    interactions: pl.DataFrame
    frame_likes: pl.DataFrame
    frame_features: pl.DataFrame | None
    item_features: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    frame_likes_train: pl.DataFrame | None = None


@dataclass(frozen=True)
class Ids:
    """The identifier of every index: `users[user_idx]` is a user_id, and so on.

    Users and movies are sorted. Frames are sorted by movie, so the frames of one movie are
    neighbours. If the snapshot has features, frames without one are left out, because no visual
    model could rank them.
    """

    users: pl.Series
    movies: pl.Series
    frames: pl.Series


def with_new_frames(tables: Tables, new: pl.DataFrame) -> Tables:
    """Return `tables` with `NewFrame` rows added as frames of their movies.

    Raises:
        InvalidTableError: a movie is unknown, a frame is already known, or a feature has another width or is not
            finite.
        MissingInputError: the snapshot has no features.
    """
    if tables.frame_features is None:
        raise MissingInputError(
            "the snapshot has no frame features, so no picture can be scored; publish a snapshot with features"
        )
    require_references(new, tables.movies, ["movie_id"], "new frames", "the snapshot's movies")
    known = new.join(tables.frames, on="frame_id", how="semi")
    if known.height:
        raise InvalidTableError(
            f"new frames: {known.height:,} of {new.height:,} are already in the snapshot, for example "
            f"{known['frame_id'][0]!r}; remove them"
        )
    kind = tables.frame_features.schema["feature"]
    if new.schema["feature"] != kind:
        raise InvalidTableError(
            f"new frames: features are {new.schema['feature']}, the snapshot's are {kind}; "
            "extract both with the same extractor"
        )
    finite = np.isfinite(new["feature"].to_numpy()).all(1)
    if not finite.all():
        raise InvalidTableError(
            f"new frames: {int((~finite).sum()):,} of {new.height:,} features are not finite, for example of frame "
            f"{new['frame_id'][int(finite.argmin())]!r}; extract them again"
        )
    frames = pl.concat([tables.frames, new.select("frame_id", "movie_id")], how="diagonal")
    features = pl.concat([tables.frame_features, new.select("frame_id", "feature")], how="diagonal")
    return replace(tables, frames=frames, frame_features=features)


def require_train_likes(tables: Tables) -> None:
    """Check that every like of `frame_likes_train` is of a train pair, and of a frame of its movie.

    Raises:
        InvalidTableError: one is not.
    """
    if tables.frame_likes_train is not None:
        train = tables.interactions.filter(pl.col("split").cast(pl.String) == "train")
        require_references(
            tables.frame_likes_train, train, ["user_id", "movie_id"], "frame_likes_train", "the train split"
        )
        require_references(
            tables.frame_likes_train, tables.frames, ["frame_id", "movie_id"], "frame_likes_train", "frames"
        )


def index_ids(tables: Tables) -> Ids:
    """Return the identifiers of all users, movies and frames.

    Users of every split are included. Users who only have held-out interactions are evaluated too,
    with an untrained embedding, instead of being dropped.
    """
    frames = tables.frames.select("frame_id", "movie_id")
    if tables.frame_features is not None:
        frames = frames.join(tables.frame_features.select("frame_id"), on="frame_id", how="semi")
    return Ids(
        users=tables.interactions["user_id"].unique().sort(),
        movies=tables.movies["movie_id"].sort(),
        frames=frames.sort("movie_id", "frame_id")["frame_id"],
    )
