"""Computes the statistics of a dataset and compares them with the paper's."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.building.split import cold_interactions
from dataset.description import PAPER_STATISTICS
from dataset.schema import HELD_OUT_SPLITS, SPLITS

_TAIL_PERCENT = (1, 5, 20, 50)


def statistics(
    interactions: pl.DataFrame, frames: pl.DataFrame, frame_likes: pl.DataFrame, frame_ids_with_picture: pl.Series
) -> dict[str, Any]:
    """Return the statistics of a dataset as a flat dictionary of numbers.

    Args:
        interactions: `Interaction` rows.
        frames: `Frame` rows.
        frame_likes: `FrameLike` rows.
        frame_ids_with_picture: ids of the frames with a picture file.
    """
    n = interactions.height
    n_users, n_movies = interactions["user_id"].n_unique(), interactions["movie_id"].n_unique()
    interactions_per_movie = interactions["movie_id"].value_counts()["count"]
    tail = long_tail(interactions)
    cold_rows = cold_interactions(interactions)
    return {
        "n_users": n_users,
        "n_movies": n_movies,
        "n_interactions": n,
        **{f"n_{s}_interactions": interactions.filter(pl.col("split") == s).height for s in SPLITS},
        "n_cold_users": cold_rows.filter("is_cold_user")["user_id"].n_unique(),
        "n_cold_movies": cold_rows.filter("is_cold_movie")["movie_id"].n_unique(),
        "n_cold_interactions": cold_rows.height,
        "density": n / max(1, n_users * n_movies),
        **_spread("interactions_per_user", interactions["user_id"].value_counts()["count"]),
        **_spread("interactions_per_movie", interactions_per_movie),
        "share_of_most_popular_tenth_of_movies": float(tail[max(1, n_movies // 10)]),
        **{
            f"share_of_most_popular_{percent}_percent_of_movies": float(tail[max(1, n_movies * percent // 100)])
            for percent in _TAIL_PERCENT
        },
        "n_frames": frames.height,
        "n_frames_without_picture": frames.filter(~pl.col("frame_id").is_in(frame_ids_with_picture.implode())).height,
        "n_frames_from_videos": frames["time_s"].count(),
        **frame_statistics(frames, n_movies),
        **{f"n_{s}_frame_likes": frame_likes.filter(pl.col("split") == s).height for s in HELD_OUT_SPLITS},
        "n_user_movie_pairs_with_likes": frame_likes.select("user_id", "movie_id").n_unique(),
        "n_users_with_likes": frame_likes["user_id"].n_unique(),
        **_spread("likes_per_user_with_likes", frame_likes["user_id"].value_counts()["count"]),
    }


def frame_statistics(frames: pl.DataFrame, n_movies: int) -> dict[str, Any]:
    """Return the statistics that depend on the number of frames alone.

    Args:
        frames: rows with `movie_id`.
        n_movies: the number of movies, with or without a frame.
    """
    frames_per_movie = frames["movie_id"].value_counts()["count"]
    return {
        "n_frames": frames.height,
        **_spread("frames_per_movie", frames_per_movie),
        "n_movies_without_frame": n_movies - len(frames_per_movie),
    }


def long_tail(interactions: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Return the long-tail curve, (n_movies + 1,): at m, the share of interactions of the m most popular movies."""
    per_movie = interactions["movie_id"].value_counts()["count"].sort(descending=True).to_numpy().astype(np.int64)
    return np.concatenate([[0], np.cumsum(per_movie)]) / max(1, interactions.height)


def compare_with_paper(numbers: dict[str, Any]) -> list[str]:
    """Return one line per statistic that the paper states: the dataset's value and the paper's."""
    return [
        f"{name.removeprefix('n_').replace('_', ' '):<20} {numbers[name]:>10,}  (paper: {paper:,})"
        for name, paper in PAPER_STATISTICS.items()
    ]


def _spread(name: str, counts: pl.Series) -> dict[str, float]:
    """Return mean, median and maximum; 0 if there are no counts."""
    found = counts if len(counts) else pl.Series([0])
    return {f"{name}_{figure}": getattr(found, figure)() for figure in ("mean", "median", "max")}
