"""The pictures that say nothing, on a page and as a contact sheet: the largest groups of nearly equal pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl
import vl_convert

from dataset.errors import UsageError
from dataset.files import atomic_path, write_text
from dataset.placeholders.frames import KINDS
from dataset.report.numbers import Number, NumberSource, NumberTable, Row
from dataset.report.page import render
from dataset.report.schema import OTHER, PictureGroup
from dataset.report.thumbnails import Thumbnails
from dataset.tables import canonical, empty, validate

GROUPS_FILE = "picture_groups.parquet"
_STATISTICS = ("manifest.json", "statistics")
_SHEET_GROUPS = 24
GROUP_WORDS = {"tiny": "tiny", "blank": "blank", "shared": "shared by many", OTHER: "shared by few"}
_PNG_SCALE = 2
_COLUMNS = 6
_CELL_PX = (190, 190)
_EMPTY_COLUMNS = 2  # room for the words of a sheet without pictures


@dataclass(frozen=True)
class SheetGroup:
    """A group on a contact sheet: a data URL of its picture (None: it cannot be shown), its kind, and its numbers."""

    picture: str | None
    words: str
    n_items: Number
    n_frames: Number


def picture_groups(judged: pl.DataFrame) -> dy.DataFrame[PictureGroup]:
    """Return the groups of pictures that say nothing or belong to several items.

    Args:
        judged: rows of `dataset.placeholders.frames.judge_frames`.
    """
    kind = pl.col("kind").cast(pl.String).fill_null(OTHER)
    groups = judged.group_by(pl.col("group").alias("picture"), kind).agg(
        pl.col("frame_id").min(), n_frames=pl.len(), n_items=pl.col("movie_id").n_unique()
    )
    told = groups.filter((pl.col("kind") != OTHER) | (pl.col("n_items") > 1))
    return validate(canonical(told.cast(empty(PictureGroup).schema), PictureGroup), PictureGroup, GROUPS_FILE)


def largest_groups(groups: pl.DataFrame, thumbnails: Thumbnails) -> list[SheetGroup]:
    """Return the groups that most items share, at most 24, for a contact sheet.

    Args:
        groups: `PictureGroup` rows.
        thumbnails: where the pictures come from.
    """
    numbers = NumberSource({GROUPS_FILE: groups}, {})
    order = groups.sort("n_items", "n_frames", "picture", descending=[True, True, False]).head(_SHEET_GROUPS)
    sheet = []
    for picture, kind, frame_id in order.select("picture", pl.col("kind").cast(pl.String), "frame_id").iter_rows():
        n_items, n_frames = (
            numbers.of(GROUPS_FILE, column, picture=picture, kind=kind) for column in ("n_items", "n_frames")
        )
        if n_items is not None and n_frames is not None:
            sheet.append(SheetGroup(thumbnails.of(frame_id), GROUP_WORDS[kind], n_items, n_frames))
    return sheet


def counts_by_kind(numbers: NumberSource) -> NumberTable | None:
    """Return the table of pictures that say nothing, by kind; None if the snapshot does not state them.

    Args:
        numbers: holds `manifest.json`.
    """
    names = {f"n_{kind}_frames": GROUP_WORDS[kind] for kind in KINDS} | {"n_placeholder_frames": "together"}
    rows = [
        Row(words, [(number, ",d")], is_strong=key == "n_placeholder_frames")
        for key, words in names.items()
        if (number := numbers.at(*_STATISTICS, key)) is not None
    ]
    return NumberTable("Frames whose picture says nothing, by kind", "kind", ["frames"], rows) if rows else None


def require_sheet_name(path: Path) -> None:
    """Check that a file's name is that of a contact sheet.

    Raises:
        UsageError: it does not end in .svg or .png.
    """
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"{path}: a contact sheet is a .svg or .png file; name one")


def write_contact_sheet(groups: pl.DataFrame, thumbnails: Thumbnails, path: Path) -> None:
    """Write a picture of the groups that most items share, with the number of items of each, as SVG or PNG.

    Args:
        groups: `PictureGroup` rows.
        thumbnails: where the pictures come from.
        path: the file; its name ends in .svg or .png.

    Raises:
        UsageError: the name ends in something else.
        PipelineError: the file cannot be written.
    """
    require_sheet_name(path)
    svg = _draw(largest_groups(groups, thumbnails))
    if path.suffix.lower() == ".svg":
        write_text(path, svg)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(vl_convert.svg_to_png(svg, scale=_PNG_SCALE))


def _draw(sheet: Sequence[SheetGroup]) -> str:
    width, height = _CELL_PX
    columns = min(len(sheet), _COLUMNS) or _EMPTY_COLUMNS
    return render(
        "dataset.report",
        "contact_sheet.svg.j2",
        cells=[(number % columns * width, number // columns * height, group) for number, group in enumerate(sheet)],
        width=columns * width,
        height=-(-len(sheet) // columns) * height or height,
    )
