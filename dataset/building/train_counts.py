"""The train split alone: popularity and mean stars of movies, likes of frames, without any held-out row."""

import polars as pl

from dataset.schema import FrameLikeTrain, SnapshotFrame, SnapshotMovie
from dataset.tables import empty


def add_interaction_counts(movies: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return `movies` with `train_interaction_count` and `train_stars_mean`.

    Args:
        movies: rows with `movie_id`.
        interactions: `Interaction` rows.
    """
    counts = _of_train(interactions).group_by("movie_id").agg(count=pl.len(), mean=pl.col("stars").mean())
    types = empty(SnapshotMovie).schema
    return movies.join(counts, on="movie_id", how="left").select(
        *movies.columns,
        train_interaction_count=pl.col("count").fill_null(0).cast(types["train_interaction_count"]),
        train_stars_mean=pl.col("mean").cast(types["train_stars_mean"]),
    )


def add_like_counts(frames: pl.DataFrame, frame_likes: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return `frames` with `train_like_count`, which is null if no likes were collected at all.

    Args:
        frames: rows with `frame_id` and `movie_id`.
        frame_likes: `RawFrameLike` rows.
        interactions: `Interaction` rows.
    """
    counts = train_likes(frame_likes, frames, interactions).group_by("frame_id").agg(count=pl.len())
    known = pl.col("count") if frame_likes.is_empty() else pl.col("count").fill_null(0)
    dtype = empty(SnapshotFrame).schema["train_like_count"]
    return frames.join(counts, on="frame_id", how="left").select(*frames.columns, train_like_count=known.cast(dtype))


def add_held_out(frames: pl.DataFrame, frame_likes: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return `frames` with `is_held_out`, which is null if it is not known who posted which frame.

    Args:
        frames: rows with `frame_id` and `movie_id`.
        frame_likes: `RawFrameLike` rows.
        interactions: `Interaction` rows.
    """
    posted = frame_likes.filter(pl.col("source").cast(pl.String) == "post")
    held_out = interactions.filter(pl.col("split") != "train")
    pairs = posted.join(frames.select("frame_id", "movie_id"), on="frame_id")
    own = pairs.join(held_out, on=["user_id", "movie_id"], how="semi")["frame_id"].unique()
    known = pl.lit(None, pl.Boolean) if posted.is_empty() else pl.col("frame_id").is_in(own.implode())
    return frames.with_columns(is_held_out=known)


def train_likes(frame_likes: pl.DataFrame, frames: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return the likes of train pairs as `FrameLikeTrain` rows; arguments as of `add_like_counts`."""
    liked = frame_likes.join(frames.select("frame_id", "movie_id"), on="frame_id")
    of_train = liked.join(_of_train(interactions), on=["user_id", "movie_id"], how="semi")
    split = pl.lit("train", empty(FrameLikeTrain).schema["split"])
    return of_train.select("user_id", "movie_id", "frame_id", split=split)


def _of_train(interactions: pl.DataFrame) -> pl.DataFrame:
    return interactions.filter(pl.col("split") == "train")
