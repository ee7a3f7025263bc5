"""Chooses the frames of a dataset: the frames of its movies, with or without placeholders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from dataset.placeholders.config import PlaceholderConfig
from dataset.placeholders.fingerprints import complete_fingerprints, read_fingerprints
from dataset.placeholders.frames import KINDS, judge_frames, near_duplicates
from dataset.placeholders.words import kind_in_words, placeholder_counts, placeholders_in_words
from dataset.schema import Quarantine
from dataset.tables import quarantine_rows


@dataclass(frozen=True)
class ChosenFrames:
    """The frames of a dataset.

    Attributes:
        kept: the rows of `frames` that stay, with `duplicate_of`.
        left_out: the placeholders of its movies, as quarantine rows; none if they are kept.
        counts: `dataset.placeholders.words.placeholder_counts` of its movies, and how many movies lost all frames.
        notes: sentences about the pictures that say nothing; empty if there are none.
    """

    kept: pl.DataFrame
    left_out: dy.DataFrame[Quarantine]
    counts: dict[str, int]
    notes: tuple[str, ...]


def choose_frames(
    raw: Path, tables: Mapping[str, pl.DataFrame], movie_ids: pl.DataFrame, drop: bool, config: PlaceholderConfig
) -> ChosenFrames:
    """Choose the frames of some movies.

    A picture is compared with the pictures of all movies of the raw folder.

    Args:
        raw: the raw folder. If placeholders are dropped, pictures without a fingerprint are opened there.
        tables: the raw tables `frames` and `images`.
        movie_ids: the movies of the dataset, as column `movie_id`.
        drop: whether to leave out placeholders.
        config: the thresholds.

    Raises:
        InvalidTableError: the table of fingerprints is invalid.
    """
    frames, images = tables["frames"], tables["images"]
    known = read_fingerprints(raw)
    fingerprints = complete_fingerprints(raw, images, known) if drop else known
    judged = judge_frames(frames, images, fingerprints, config).join(movie_ids, on="movie_id", how="semi")
    counts = placeholder_counts(judged)
    of_movies = frames.join(movie_ids, on="movie_id", how="semi")
    placeholders = judged.filter(pl.col("kind").is_not_null())
    if not drop:
        placeholders = placeholders.clear()
    kept = _with_duplicates(of_movies.join(placeholders, on="frame_id", how="anti"), images, fingerprints)
    counts["n_movies_that_lost_all_frames"] = of_movies["movie_id"].n_unique() - kept["movie_id"].n_unique()
    reasons = {kind: f"placeholder: picture {kind_in_words(kind, config)}" for kind in KINDS}
    left_out = placeholders.with_columns(
        reason=pl.col("kind").cast(pl.String).replace_strict(reasons, return_dtype=pl.String),
        detail=pl.format("nearly equal pictures: {} items, represented by {}", "n_items", "group"),
    )
    notes = _notes(counts, placeholders_in_words(counts, judged.height, config), drop)
    return ChosenFrames(kept, quarantine_rows(left_out, "frames"), counts, tuple(notes))


def _with_duplicates(frames: pl.DataFrame, images: pl.DataFrame, fingerprints: pl.DataFrame) -> pl.DataFrame:
    """Return frames with `duplicate_of`: the frame that represents the nearly equal ones; null for itself."""
    found = near_duplicates(frames, images, fingerprints).filter(pl.col("duplicate_of") != pl.col("frame_id"))
    return frames.join(found.select("frame_id", "duplicate_of"), on="frame_id", how="left", maintain_order="left")


def _notes(counts: Mapping[str, int], in_words: str, drop: bool) -> Iterator[str]:
    if in_words and drop:
        n_lost = counts["n_movies_that_lost_all_frames"]
        lost = "1 movie has lost all its frames" if n_lost == 1 else f"{n_lost:,} movies have lost all their frames"
        yield f"left out: {in_words}; {lost} (quarantine.parquet lists the frames; ratings stay)"
    elif in_words:
        yield f"kept: {in_words}; --drop-placeholders leaves them out"
    n_unknown = counts["n_frames_not_compared"]
    if n_unknown and drop:
        yield f"{n_unknown:,} pictures are missing or unreadable, so they could not be checked"
    elif n_unknown:
        yield (
            f"{n_unknown:,} pictures are known only by size and SHA-256: they cannot be read, or an older version "
            "wrote the raw folder; `python -m dataset pictures <raw folder>` compares them"
        )
