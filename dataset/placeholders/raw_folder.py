"""Judges the pictures of a whole raw folder, for the commands that write, show or build from one."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl
import pyarrow.parquet as pq

from dataset.errors import MissingInputError
from dataset.placeholders.config import PlaceholderConfig
from dataset.placeholders.fingerprints import read_fingerprints
from dataset.placeholders.frames import judge_frames
from dataset.placeholders.words import placeholder_counts, placeholders_in_words
from dataset.schema import Frame, Image
from dataset.tables import read_table

_MOST_COMPARED = 200_000


@dataclass(frozen=True)
class JudgedPictures:
    """The pictures of a raw folder.

    Attributes:
        frames: rows of `dataset.placeholders.frames.judge_frames`.
        counts: `dataset.placeholders.words.placeholder_counts`.
        in_words: how many pictures say nothing; empty if there are none.
    """

    frames: pl.DataFrame
    counts: dict[str, int]
    in_words: str


def judge_raw(raw: Path, config: PlaceholderConfig = PlaceholderConfig()) -> JudgedPictures:  # noqa: B008 - frozen
    """Judge the pictures of a raw folder by its tables; no picture is opened.

    Raises:
        MissingInputError: it is not a raw folder.
        InvalidTableError: a table is invalid.
    """
    images, frames = read_images(raw), read_table(raw / "frames.parquet", Frame)
    judged = judge_frames(frames, images, read_fingerprints(raw), config)
    counts = placeholder_counts(judged)
    return JudgedPictures(judged, counts, placeholders_in_words(counts, judged.height, config))


def read_images(raw: Path) -> dy.DataFrame[Image]:
    """Return the `Image` rows of a raw folder.

    Raises:
        MissingInputError: it is not a raw folder.
        InvalidTableError: the table is invalid.
    """
    if not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; name a folder of raw tables")
    return read_table(raw / "images.parquet", Image)


def placeholders_of_raw(raw: Path) -> list[str]:
    """Return a sentence about the pictures that say nothing, with the commands for them; no sentence if there are none.

    More than 200,000 pictures are not compared here, because that takes minutes and gigabytes; the sentence says so.

    Raises:
        MissingInputError, InvalidTableError: see `judge_raw`.
    """
    show = f"`python -m dataset pictures {shlex.quote(str(raw))}`"
    n_pictures = pq.read_metadata(raw / "images.parquet").num_rows
    if n_pictures > _MOST_COMPARED:
        return [f"{n_pictures:,} pictures are many, so they were not compared; {show} finds those that say nothing"]
    found = judge_raw(raw).in_words
    return [f"{found}; {show} shows them, `python -m dataset build --drop-placeholders` leaves them out"] * bool(found)
