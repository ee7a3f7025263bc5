"""The command pictures: show which pictures of a raw folder say nothing."""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import polars as pl

from dataset.cli import FLAT, say
from dataset.placeholders.config import PlaceholderConfig
from dataset.placeholders.fingerprints import write_fingerprints
from dataset.placeholders.raw_folder import judge_raw, read_images

_SHOWN_GROUPS = 5


def show_pictures(
    raw: Path,
    /,
    *,
    to: Path | None = None,
    config: Annotated[PlaceholderConfig, FLAT] = PlaceholderConfig(),  # noqa: B008 - frozen
) -> None:
    """Show which pictures of a raw folder say nothing about their item: tiny, blank, or shared by many items.

    Pictures are opened once: what they look like is kept in fingerprints.parquet, in the raw folder.

    Args:
        raw: the raw folder
        to: a contact sheet to write, .svg or .png: the pictures that most items share
        config: which pictures say nothing
    """
    from dataset.report.placeholders import (  # loads the chart library
        GROUP_WORDS,
        picture_groups,
        require_sheet_name,
        write_contact_sheet,
    )
    from dataset.report.thumbnails import Thumbnails

    if to is not None:
        require_sheet_name(to)
    write_fingerprints(raw, read_images(raw))
    judged = judge_raw(raw, config)
    counts = judged.counts
    say(judged.in_words or f"None of {judged.frames.height:,} pictures is tiny, blank or shared by many items.")
    say(
        f"  {counts['n_distinct_pictures']:,} distinct pictures, nearly equal ones counted once; "
        f"{counts['n_movies_with_only_placeholders']:,} items have only pictures that say nothing"
    )
    if n := counts["n_frames_not_compared"]:
        say(f"  {n:,} pictures are missing or unreadable, so they were not compared")
    groups = picture_groups(judged.frames)
    largest = groups.filter(pl.col("n_items") > 1).sort("n_items", "picture", descending=[True, False])
    for row in largest.head(_SHOWN_GROUPS).iter_rows(named=True):
        words = GROUP_WORDS[row["kind"]]
        say(f"  one picture in {row['n_items']:,} items, for example frame {row['frame_id']} ({words})")
    if to is not None:
        write_contact_sheet(groups, Thumbnails(raw), to)
        say(f"Wrote the contact sheet {to}")
    if counts["n_placeholder_frames"]:
        options = shlex.join(["--raw", str(raw), *_options(config)])
        say(f"Next: python -m dataset build {options} --drop-placeholders leaves these pictures out")


def _options(config: PlaceholderConfig) -> list[str]:
    """Return the options of thresholds that are not the defaults."""
    changed = [field for field in fields(config) if getattr(config, field.name) != field.default]
    return [
        word for field in changed for word in (f"--{field.name.replace('_', '-')}", str(getattr(config, field.name)))
    ]
