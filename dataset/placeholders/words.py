"""Counts the pictures that say nothing, and says in one line how many there are and why."""

import polars as pl

from dataset.placeholders.config import PlaceholderConfig
from dataset.placeholders.frames import KINDS, Kind


def placeholder_counts(judged: pl.DataFrame) -> dict[str, int]:
    """Return the counts for a description: frames by kind, distinct pictures, and items by what their pictures are.

    Args:
        judged: rows of `dataset.placeholders.frames.judge_frames`.
    """
    items_per_group = judged.group_by("group").agg(pl.col("movie_id").n_unique())["movie_id"]
    has_other = judged.filter(pl.col("kind").is_null())["movie_id"]
    return {
        "n_placeholder_frames": judged.height - judged["kind"].null_count(),
        **{f"n_{kind}_frames": judged.filter(pl.col("kind") == kind).height for kind in KINDS},
        "n_distinct_pictures": judged["group"].n_unique(),
        "n_movies_with_the_most_shared_picture": max(items_per_group, default=0),
        "n_frames_not_compared": judged.filter(~pl.col("is_known")).height,
        "n_movies_with_only_placeholders": judged["movie_id"].n_unique() - has_other.n_unique(),
    }


def kind_in_words(kind: Kind, config: PlaceholderConfig) -> str:
    """Return what a kind means with these thresholds."""
    return {
        "tiny": f"smaller than {config.min_side_px} pixels",
        "blank": "blank",
        "shared": f"shared by {config.shared_by} items or more",
    }[kind]


def placeholders_in_words(counts: dict[str, int], n_frames: int, config: PlaceholderConfig) -> str:
    """Return how many pictures say nothing, by kind; empty if there are none.

    Args:
        counts: see `placeholder_counts`.
        n_frames: the number of frames with a picture.
        config: the thresholds.
    """
    if not counts["n_placeholder_frames"]:
        return ""
    by_kind = ", ".join(f"{n:,} {kind_in_words(kind, config)}" for kind in KINDS if (n := counts[f"n_{kind}_frames"]))
    return f"{counts['n_placeholder_frames']:,} of {n_frames:,} pictures say nothing about their item: {by_kind}"
