"""Defines every table of the project, column by column.

Identifiers (`*_id`) are the source's own ids, as text; from the crawl's export on, a user's id is a keyed
pseudonym. Contiguous row numbers (`*_idx`) exist only inside `model/`.

Raw tables (private):         `Movie`, `Rating`, `Frame`, `Image`, `RawFrameLike`
Snapshot tables (published):  `SnapshotMovie`, `Frame`, `Interaction`, `FrameLike`, `FrameFeature`
Dropped rows:                 `Quarantine` (with the reason)
A snapshot's report page:     `Distribution`, `Concentration`
Results:                      `Training`, `Tuning`, `Metric`, `UserMetric`, `HeldOutRank`, `SliceMetric`,
                              `Comparison`, `Recommendation`, `Cost`, `Case`, `CaseFrame`, `CaseMovie`
From you, to recommend with:  `NewFrame`
"""

from typing import Any

import dataframely as dy
import polars as pl

SPLITS = ("train", "validation", "test")
HELD_OUT_SPLITS = ("validation", "test")
FRAME_KINDS = ("still", "poster", "wallpaper")
LIKE_SOURCES = ("photo_page", "user_likes", "import")
TASKS = ("item", "frame")
SLICES = ("user_activity", "item_popularity", "item_frames")
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
    """A user's rating of a movie; pairs may repeat. `stars` is null for "watched, not rated"."""

    user_id = dy.String(min_length=1)
    movie_id = dy.String(min_length=1)
    stars = dy.Float32(nullable=True, min=0.5, max=5)
    rated_on = dy.Date(nullable=True)


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
    """The picture file of a frame; it was decoded to check it. `path` is relative to the raw folder."""

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


class Interaction(ImplicitFeedback):
    """A user's implicit feedback on a movie and its split; `stars` is null for "watched, not rated"."""

    split = dy.Enum(SPLITS)


class FrameLike(dy.Schema):
    """A user's like of a frame, for a held-out user-movie pair. Likes never train (paper, section 4)."""

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
    """One bin of a histogram: `n` things have from `low` to `high` (both included) of what is counted."""

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


class Training(dy.Schema):
    """One epoch of one training run. `validation_ndcg` is null in epochs without validation."""

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    epoch = dy.UInt32(primary_key=True, min=1)
    loss = dy.Float64()
    validation_ndcg = dy.Float64(nullable=True, min=0, max=1)
    seconds = dy.Float64(min=0)


class Tuning(dy.Schema):
    """One trial of a search for settings (JSON, a key a setting). `error` says why it could not be trained."""

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    trial = dy.UInt32(primary_key=True)
    settings = dy.String(min_length=2)
    validation_ndcg = dy.Float64(nullable=True, min=0, max=1)
    best_epoch = dy.UInt32(nullable=True, min=1)
    epochs = dy.UInt32()
    seconds = dy.Float64(min=0)
    error = dy.String(nullable=True)


class NewFrame(dy.Schema):
    """The feature of a new picture of a known movie, for `python -m model.recommend --frames`."""

    frame_id = dy.String(primary_key=True, min_length=1)
    movie_id = dy.String(min_length=1)
    feature = HalfVector()


class ModelMetric(dy.Schema):
    """What every table of metrics begins with: which model, trained with which seed, judged how."""

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)


class Metric(ModelMetric):
    """A metric averaged over users (task `item`) or user-movie pairs (task `frame`), both in `n_users`.

    `ci_low` and `ci_high` bound a 95 % bootstrap interval over users; they are null for what is of
    all users together (`full_coverage`, `full_gini`). Users (pairs) without a held-out positive
    are left out, and counted in `n_left_out`. Where negatives were sampled, `std` is the standard
    deviation of `value` between the repeats, and `negatives_sha256` says which negatives.
    """

    value = dy.Float64(min=0)
    ci_low = dy.Float64(nullable=True)
    ci_high = dy.Float64(nullable=True)
    n_users = dy.UInt32(min=1)
    n_left_out = dy.UInt32()
    std = dy.Float64(nullable=True, min=0)
    negatives_sha256 = dy.String(nullable=True, regex="^[0-9a-f]{64}$")


class UserMetric(ModelMetric):
    """A metric of one user (task `item`) or of one of her movies (task `frame`)."""

    user_id = dy.String(primary_key=True)
    movie_id = dy.String(primary_key=True)  # empty for task `item`
    value = dy.Float64()


class HeldOutRank(dy.Schema):
    """Where a held-out positive stands among all candidates: all that any metric needs to know of it.

    `frame_id` is empty for task `item`. Of the user's other positives (for frames: those of the
    same movie), `positives_before` come before this one; of the `n_negatives`, `negatives_above`
    have a higher score and `negatives_tied` the same. Positives with the same score are in a
    group of `group_size`, of which this one is number `place`, from 0 (`model/expectation.py`).
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    user_id = dy.String(primary_key=True)
    movie_id = dy.String(primary_key=True)
    frame_id = dy.String(primary_key=True)
    positives_before = dy.UInt32()
    negatives_above = dy.UInt32()
    negatives_tied = dy.UInt32()
    place = dy.UInt32()
    group_size = dy.UInt32(min=1)
    n_negatives = dy.UInt32()


class SliceMetric(ModelMetric):
    """A metric over the held-out positives of which the number `slice_by` is from `low` to `high`.

    `user_activity`: the user's train interactions; `item_popularity`: the movie's (0 to 0 are the
    cold ones); `item_frames`: the movie's frames. A user counts with her positives in the slice,
    ranked among all candidates. `n_users` and the interval are as in `Metric`.
    """

    slice_by = dy.Enum(SLICES, primary_key=True)
    low = dy.UInt32(primary_key=True)
    high = dy.UInt32()
    value = dy.Float64(min=0)
    ci_low = dy.Float64()
    ci_high = dy.Float64()
    n_users = dy.UInt32(min=1)
    n_positives = dy.UInt32(min=1)


class Comparison(dy.Schema):
    """Whether `model` and `other` differ in a metric by more than chance, over the same users.

    `difference` is `value` − `other_value`, both means over users and seeds, with a 95 % interval.
    `p_value` is of a paired t-test; `p_holm` is corrected (Holm 1979) for the comparisons of all
    pairs of models by the same metric and K; `is_real` is `p_holm` < 0.05.
    """

    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)
    model = dy.String(primary_key=True)
    other = dy.String(primary_key=True)
    value = dy.Float64(min=0)
    other_value = dy.Float64(min=0)
    difference = dy.Float64()
    ci_low = dy.Float64()
    ci_high = dy.Float64()
    p_value = dy.Float64(min=0, max=1)
    p_holm = dy.Float64(min=0, max=1)
    is_real = dy.Bool()
    n_users = dy.UInt32(min=2)
    n_seeds = dy.UInt32(min=1)
    other_n_seeds = dy.UInt32(min=1)


class Recommendation(dy.Schema):
    """A recommended movie and the key frame to show for it; rank 1 is best."""

    user_id = dy.String(primary_key=True)
    rank = dy.UInt32(primary_key=True, min=1)
    movie_id = dy.String()
    score = dy.Float64()
    key_frame_id = dy.String(nullable=True)
    frame_score = dy.Float64(nullable=True)


class Cost(dy.Schema):
    """What a run took: seconds, and memory at its peak, which is null where the system does not tell."""

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    n_parameters = dy.UInt64()
    n_epochs = dy.UInt32()
    best_epoch = dy.UInt32()
    train_s = dy.Float64(min=0)
    evaluate_s = dy.Float64(min=0)
    n_threads = dy.UInt32(min=1)
    peak_memory_bytes = dy.UInt64(nullable=True)


class Case(dy.Schema):
    """A pair of a user and a movie in the report's gallery: one of the `n_alike` of `n_pairs` of its kind.

    `habit_share` is β of the rating attention: how much habit counts for this pair, looks having the rest.
    """

    case = dy.UInt32(primary_key=True, min=1)
    kind = dy.String(min_length=1)
    user_id = dy.String()
    movie_id = dy.String()
    n_alike = dy.UInt32(min=1)
    n_pairs = dy.UInt32(min=1)
    habit_share = dy.Float64(min=0, max=1)


class CaseFrame(dy.Schema):
    """A frame of a case's movie as a model ranks it for the user; rank 1 is the key frame that it would show.

    `attention` is the model's visual attention, null where it has none.
    """

    case = dy.UInt32(primary_key=True, min=1)
    model = dy.String(primary_key=True)
    frame_id = dy.String(primary_key=True)
    rank = dy.UInt32(min=1)
    score = dy.Float64()
    attention = dy.Float64(nullable=True, min=0, max=1)
    is_liked = dy.Bool()


class CaseMovie(dy.Schema):
    """A movie that a case's user watched (train) or that is recommended to her, with the frame to show it by."""

    case = dy.UInt32(primary_key=True, min=1)
    role = dy.Enum(["watched", "recommended"], primary_key=True)
    rank = dy.UInt32(primary_key=True, min=1)
    movie_id = dy.String()
    frame_id = dy.String(nullable=True)
    is_hit = dy.Bool()


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
