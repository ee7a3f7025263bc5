"""The numbers that describe a dataset, beside the paper's."""

from typing import Any

import polars as pl

from dataset.schema import HELD_OUT_SPLITS, SPLITS

PAPER: dict[str, int] = {
    "n_users": 16_166,
    "n_movies": 12_811,
    "n_train_interactions": 379_767,
    "n_test_interactions": 98_425,
    "n_test_frame_likes": 4_760,
}
"""Wu et al. 2019, section 4: the pruned dataset."""


def statistics(
    interactions: pl.DataFrame, frames: pl.DataFrame, frame_likes: pl.DataFrame, frame_ids_with_picture: pl.Series
) -> dict[str, Any]:
    """Return the statistics of a dataset as a flat dictionary of numbers.

    Args:
        interactions: `Interaction` rows.
        frames: `Frame` rows.
        frame_likes: `FrameLike` rows.
        frame_ids_with_picture: ids of the frames whose picture is at hand.
    """
    n_users, n_movies = interactions["user_id"].n_unique(), interactions["movie_id"].n_unique()
    a_user = interactions["user_id"].value_counts()["count"]
    a_movie = interactions["movie_id"].value_counts()["count"].sort(descending=True)
    frames_a_movie = frames["movie_id"].value_counts()["count"]
    top_tenth = a_movie.head(max(1, n_movies // 10)).sum()
    pairs_with_likes = frame_likes.select("user_id", "movie_id").unique().height
    return {
        "n_users": n_users,
        "n_movies": n_movies,
        "n_interactions": interactions.height,
        **{f"n_{s}_interactions": interactions.filter(split=s).height for s in SPLITS},
        "density": interactions.height / max(1, n_users * n_movies),
        "interactions_a_user_mean": a_user.mean(),
        "interactions_a_user_median": a_user.median(),
        "interactions_a_movie_mean": a_movie.mean(),
        "interactions_a_movie_median": a_movie.median(),
        "share_of_most_popular_tenth_of_movies": top_tenth / max(1, interactions.height),
        "n_frames": frames.height,
        "n_frames_without_picture": frames.filter(~pl.col("frame_id").is_in(frame_ids_with_picture.implode())).height,
        "frames_a_movie_mean": frames_a_movie.mean() or 0.0,
        "n_movies_without_frame": n_movies - len(frames_a_movie),
        **{f"n_{s}_frame_likes": frame_likes.filter(split=s).height for s in HELD_OUT_SPLITS},
        "n_user_movie_pairs_with_likes": pairs_with_likes,
        "n_users_with_likes": frame_likes["user_id"].n_unique(),
    }
