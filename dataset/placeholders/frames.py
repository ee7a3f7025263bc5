"""Finds frames whose picture says nothing about its item, and frames whose pictures are nearly equal."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.pictures.protocol import N_CELL_LEVELS
from dataset.placeholders.config import MAX_NEAR_BITS, PlaceholderConfig
from dataset.placeholders.groups import Cells, Rows, blank_rows, near_groups

Kind = Literal["tiny", "blank", "shared"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_BLANK_STEP = 16
"""Blank pictures are of one group if their mean colours, in steps of this many levels, are equal."""


def judge_frames(
    frames: pl.DataFrame,
    images: pl.DataFrame,
    fingerprints: pl.DataFrame,
    config: PlaceholderConfig = PlaceholderConfig(),  # noqa: B008 - frozen
) -> pl.DataFrame:
    """Return one row per frame with a picture, sorted by `frame_id`.

    The columns are `frame_id`, `movie_id` and

    - `group`: the SHA-256 of the picture that represents all pictures that are nearly equal to it;
    - `n_items`: the number of items that have a picture of the group;
    - `kind`: the first of `KINDS` that holds; null if the picture says something;
    - `is_known`: whether the picture's fingerprint is known. Without it, only tiny pictures and identical files are
      recognised.

    Args:
        frames: `Frame` rows of all items.
        images: `Image` rows of these frames.
        fingerprints: `Fingerprint` rows.
        config: the thresholds.
    """
    columns = ("frame_id", "image_sha256", "width_px", "height_px")
    of_frames = frames.select("frame_id", "movie_id").join(images.select(columns), on="frame_id")
    pictures = (
        of_frames.group_by("image_sha256")
        .agg(
            pl.col("movie_id").n_unique().alias("own_items"),
            pl.min_horizontal("width_px", "height_px").first().alias("side_px"),
        )
        .sort("own_items", "image_sha256", descending=[True, False])  # what most items share represents its group
        .join(fingerprints, on="image_sha256", how="left", maintain_order="left")
    )
    group, is_blank = _groups(pictures["cells"], config)
    pictures = pictures.select(
        "image_sha256",
        pictures["image_sha256"].gather(group).alias("group"),
        pl.col("cells").is_not_null().alias("is_known"),
        (pl.col("side_px") < config.min_side_px).alias("is_tiny"),
        pl.Series("is_blank", is_blank),
    )
    n_items = pl.col("movie_id").n_unique().over("group").alias("n_items")
    is_shared = pl.col("n_items") >= config.shared_by
    kind = pl.coalesce(
        pl.when(holds).then(pl.lit(kind))
        for kind, holds in zip(KINDS, (pl.col("is_tiny"), pl.col("is_blank"), is_shared), strict=True)
    ).cast(pl.Enum(KINDS))
    judged = of_frames.join(pictures, on="image_sha256").with_columns(n_items).sort("frame_id")
    return judged.select("frame_id", "movie_id", "group", "n_items", kind.alias("kind"), "is_known")


def near_duplicates(
    frames: pl.DataFrame, images: pl.DataFrame, fingerprints: pl.DataFrame, near_bits: int = MAX_NEAR_BITS
) -> pl.DataFrame:
    """Return `frame_id`, `movie_id` and `duplicate_of` of every frame, sorted by `frame_id`.

    Frames of one item with the same `duplicate_of`, the id of one of them, show nearly equal pictures. A frame that is
    like no other, or whose picture is not known, has its own id there.

    Args:
        frames: `Frame` rows.
        images: `Image` rows; frames without one are allowed.
        fingerprints: `Fingerprint` rows.
        near_bits: how many bits of the pictures' hashes may differ (`PlaceholderConfig`).
    """
    alone = pl.col("frame_id").alias("duplicate_of")
    known = (
        frames.select("frame_id", "movie_id")
        .join(images.select("frame_id", "image_sha256"), on="frame_id")
        .join(fingerprints, on="image_sha256")
        .sort("movie_id", "frame_id")
    )
    cells, ids = _matrix(known["cells"]), known["frame_id"]
    representative = np.arange(known.height)
    start = 0
    for n in known.group_by("movie_id", maintain_order=True).len()["len"]:
        representative[start : start + n] = start + near_groups(cells[start : start + n], near_bits)
        start += n
    found = known.select("frame_id", ids.gather(representative).alias("duplicate_of"))
    others = frames.select("frame_id", alone).join(found, on="frame_id", how="anti")
    return frames.select("frame_id", "movie_id").join(pl.concat([found, others]), on="frame_id").sort("frame_id")


def _groups(cells: pl.Series, config: PlaceholderConfig) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return for each picture the row that represents its group, and whether it is blank; unknown cells are null."""
    known = np.flatnonzero(cells.is_not_null().to_numpy())
    matrix = _matrix(cells.drop_nulls())
    is_blank = np.zeros(len(cells), dtype=bool)
    is_blank[known] = blank = blank_rows(matrix, config.blank_levels)
    group: Rows = np.arange(len(cells))
    group[known[~blank]] = known[~blank][near_groups(matrix[~blank], config.near_bits)]
    colours = matrix[blank].reshape(-1, N_CELL_LEVELS // 3, 3).mean(axis=1) // _BLANK_STEP
    _, first, colour = np.unique(colours, axis=0, return_index=True, return_inverse=True)
    group[known[blank]] = known[blank][first[colour]]
    return group, is_blank


def _matrix(cells: pl.Series) -> Cells:
    """Return the cells of pictures, (n, 243)."""
    matrix: Cells = cells.to_numpy().reshape(-1, N_CELL_LEVELS)
    return matrix
