"""Defines the raw tables and the snapshot tables, column by column.

Identifiers (`*_id`) are the source's own ids, as text; in data exported from a crawl, a user's id is a
keyed pseudonym. Contiguous row numbers (`*_idx`) exist only inside `model/`.

Raw tables (private):         `Movie`, `Rating`, `Frame`, `Image`, `RawFrameLike`
Snapshot tables (published):  `SnapshotMovie`, `Frame`, `Interaction`, `FrameLike`, `FrameFeature`
Dropped rows:                 `Quarantine` (with the reason)
A snapshot's report page:     `Distribution`, `Concentration`

The tables of models' results are in `model.schema`.
"""

from typing import Any

import dataframely as dy
import polars as pl

OPTIONAL = {"optional": True}
"""The metadata of a column that older tables lack; there, its value is null in every row."""

SPLITS = ("train", "validation", "test")
HELD_OUT_SPLITS = ("validation", "test")
FRAME_KINDS = ("still", "poster", "wallpaper")
LIKE_SOURCES = ("photo_page", "user_likes", "import")
VGG19_WIDTH = 4096


class HalfVector(dy.Array):
    """A column of float16 vectors of equal length: `pl.Array(pl.Float16, width)` of any width.

    dataframely has no float16 column. The code that computes the values checks that they are finite.
    """

    def __init__(self) -> None:
        super().__init__(dy.Float32(), VGG19_WIDTH)

    @property
    def dtype(self) -> pl.DataType:
        """The type for VGG-19; `validate_dtype` also accepts other widths."""
        return pl.Array(pl.Float16, VGG19_WIDTH)

    def validate_dtype(self, dtype: Any) -> bool:
        """Return whether `dtype` is a one-dimensional float16 array."""
        return isinstance(dtype, pl.Array) and dtype.inner == pl.Float16 and len(dtype.shape) == 1

    def validation_rules(self, expr: pl.Expr) -> dict[str, pl.Expr]:
        """Return the only rule: no null."""
        return {"nullability": expr.is_not_null()}


class SnapshotMovie(dy.Schema):
    """A movie. It has no crawl time, so equal crawls give equal tables.

    `rating_mean` (out of 10) and `rating_count` are null where the source shows none.
    """

    movie_id = dy.String(primary_key=True, min_length=1)
    title = dy.String()
    original_title = dy.String(nullable=True)
    year = dy.Int16(nullable=True, min=1850, max=2200)
    kind = dy.Enum(["movie", "tv"], nullable=True)
    genres = dy.List(dy.String())
    directors = dy.List(dy.String())
    rating_mean = dy.Float32(nullable=True, min=0, max=10)
    rating_count = dy.UInt32(nullable=True)


class Movie(SnapshotMovie):
    """A movie as crawled or imported. `crawled_at` is null for imported movies."""

    crawled_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)


class Rating(dy.Schema):
    """A user's rating of a movie; pairs may repeat. `stars` is null for "watched, not rated".

    `rated_at` is null where the source states only a day (as Douban does); `rated_on` is its day in UTC.
    """

    user_id = dy.String(min_length=1)
    movie_id = dy.String(min_length=1)
    stars = dy.Float32(nullable=True, min=0.5, max=5)
    rated_on = dy.Date(nullable=True)
    rated_at = dy.Datetime(time_unit="us", time_zone="UTC", resolution="1s", nullable=True, metadata=OPTIONAL)


class Frame(dy.Schema):
    """A picture of a movie. `width_px` and `height_px` are the original's size, as the source states it."""

    frame_id = dy.String(primary_key=True, min_length=1)
    movie_id = dy.String(min_length=1)
    kind = dy.Enum(FRAME_KINDS)
    width_px = dy.UInt32(nullable=True, min=1)
    height_px = dy.UInt32(nullable=True, min=1)
    image_url = dy.String(nullable=True)
    like_count = dy.UInt32(nullable=True)


class Image(dy.Schema):
    """The picture file of a frame, checked by decoding it. `path` is relative to the raw folder."""

    frame_id = dy.String(primary_key=True, min_length=1)
    image_sha256 = dy.String(regex="^[0-9a-f]{64}$")
    format = dy.String()
    width_px = dy.UInt32(min=1)
    height_px = dy.UInt32(min=1)
    size_bytes = dy.UInt64(min=1)
    path = dy.String()


class RawFrameLike(dy.Schema):
    """A user's like of a frame. `liked_on` is null if the source shows no date."""

    user_id = dy.String(primary_key=True, min_length=1)
    frame_id = dy.String(primary_key=True, min_length=1)
    liked_on = dy.Date(nullable=True)
    source = dy.Enum(LIKE_SOURCES)


class ImplicitFeedback(dy.Schema):
    """A user's implicit feedback on a movie, before the split; each user-movie pair occurs once."""

    user_id = dy.String(primary_key=True, min_length=1)
    movie_id = dy.String(primary_key=True, min_length=1)
    stars = dy.Float32(nullable=True, min=0.5, max=5)
    rated_on = dy.Date(nullable=True)
    rated_at = dy.Datetime(time_unit="us", time_zone="UTC", resolution="1s", nullable=True, metadata=OPTIONAL)


class Interaction(ImplicitFeedback):
    """A user's implicit feedback on a movie and its split; `stars` is null for "watched, not rated"."""

    split = dy.Enum(SPLITS)


class FrameLike(dy.Schema):
    """A user's like of a frame, for a held-out user-movie pair. No model trains on likes (paper, section 4)."""

    user_id = dy.String(primary_key=True, min_length=1)
    movie_id = dy.String(min_length=1)
    frame_id = dy.String(primary_key=True, min_length=1)
    split = dy.Enum(HELD_OUT_SPLITS)


class FrameFeature(dy.Schema):
    """The visual feature of a frame's picture, float16; the fc7 layer of VGG-19 has width 4096."""

    frame_id = dy.String(primary_key=True, min_length=1)
    image_sha256 = dy.String(regex="^[0-9a-f]{64}$")
    feature = HalfVector()


class Quarantine(dy.Schema):
    """A dropped row and the reason. Keys that do not apply are null."""

    table = dy.String()
    reason = dy.String(min_length=1)
    user_id = dy.String(nullable=True)
    movie_id = dy.String(nullable=True)
    frame_id = dy.String(nullable=True)
    detail = dy.String(nullable=True)


class Distribution(dy.Schema):
    """One bin of a histogram: `n` values are between `low` and `high`, both included."""

    distribution = dy.String(primary_key=True, min_length=1)
    low = dy.UInt32(primary_key=True)
    high = dy.UInt32()
    n = dy.UInt32()


class Concentration(dy.Schema):
    """The share of all interactions that belong to the `n` most popular movies or most active users.

    `n` is `top_share` of all movies or users, rounded, and at least 1.
    """

    of = dy.Enum(["movie", "user"], primary_key=True)
    top_share = dy.Float64(primary_key=True, min=0, max=1)
    n = dy.UInt32(min=1)
    share = dy.Float64(min=0, max=1)


RAW_TABLES: dict[str, type[dy.Schema]] = {
    "movies": Movie,
    "ratings": Rating,
    "frames": Frame,
    "images": Image,
    "frame_likes": RawFrameLike,
}
SNAPSHOT_TABLES: dict[str, type[dy.Schema]] = {
    "movies": SnapshotMovie,
    "frames": Frame,
    "interactions": Interaction,
    "frame_likes": FrameLike,
    "frame_features": FrameFeature,
}
