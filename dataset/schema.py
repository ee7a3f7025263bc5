"""Defines the raw tables and the snapshot tables, column by column.

Identifiers (`*_id`) are the source's own ids, as text; in data exported from a crawl, a user's id is a
keyed pseudonym. Contiguous row numbers (`*_idx`) exist only inside `model/`.

Raw tables (private):         `Movie`, `Rating`, `Frame`, `Image`, `RawFrameLike`, `RawUser`, `Contradiction`
Snapshot tables (published):  `SnapshotMovie`, `SnapshotFrame`, `SnapshotInteraction`, `FrameLike`, `SnapshotUser`, and
                              on request `FrameLikeTrain`, and features (`dataset.feature_schema`)
Dropped rows:                 `Quarantine` (with the reason)
What pictures look like:      `dataset.placeholders.fingerprints` (private)
Reports and models' results:  `dataset.report.schema`, `model.schema`

The docstring of a snapshot table and the notes of its columns (`dataset.columns.about`) are written for the
readers of a snapshot: its card, `croissant.json` and `python -m dataset show` repeat them.
"""

import dataframely as dy

from dataset.columns import about
from dataset.errors import UsageError
from dataset.feature_schema import FrameFeature, ItemFeature
from dataset.feature_sets import is_feature_table, is_item_table

OPTIONAL = {"optional": True}  # the metadata of a column that older tables lack; there, its value is null in every row

SPLITS = ("train", "validation", "test")
HELD_OUT_SPLITS = ("validation", "test")
FRAME_KINDS = ("still", "poster", "wallpaper")
LIKE_SOURCES = ("photo_page", "user_likes", "import", "post")
FOUND_THROUGH = ("comments", "interests", "given")
TRAIN_LIKES = "frame_likes_train"
"""The table that is published only on request."""

COUNT_BINS = ("0-9", "10-29", "30-99", "100-299", "300-999", "1000-2999", "3000 or more")
"""Ranges in place of exact counts, which would name a person."""


class _Movie(dy.Schema):
    """What raw and published movies have in common."""

    movie_id = dy.String(primary_key=True, min_length=1, **about("The movie's id at the source."))
    title = dy.String(**about("The movie's title; its id where an imported file has no title for it."))
    original_title = dy.String(
        nullable=True, **about("The title in the movie's own language.", null="the source shows no other title")
    )
    year = dy.Int16(
        nullable=True, min=1850, max=2200, **about("The year of release.", unit="calendar year", null="not known")
    )
    kind = dy.Enum(["movie", "tv"], nullable=True, **about("A film, or a television series.", null="not known"))
    genres = dy.List(dy.String(), **about("The genres, in the source's words; an empty list if none is known."))
    directors = dy.List(dy.String(), **about("The directors' names; an empty list if none is known."))
    rating_mean = dy.Float32(
        nullable=True,
        min=0,
        max=10,
        **about(
            "The mean of all ratings of the movie that the site showed when it was crawled.",
            unit="points out of 10",
            null="the site showed none, or the data were imported",
            leakage="It includes the ratings of validation and test pairs. Use train_stars_mean instead.",
        ),
    )
    rating_count = dy.UInt32(
        nullable=True,
        **about(
            "How many ratings of the movie the site showed when it was crawled.",
            unit="ratings",
            null="the site showed none, or the data were imported",
            leakage="It includes the ratings of validation and test pairs. Use train_interaction_count instead.",
        ),
    )


class Movie(_Movie):
    """A movie as crawled or imported. `crawled_at` is null for imported movies."""

    crawled_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)


# A published movie has no crawl time, so equal crawls give equal tables.
class SnapshotMovie(_Movie):
    """One row per movie that has at least one interaction."""

    train_interaction_count = dy.UInt32(
        nullable=True,
        **about(
            "How many interactions of the train split the movie has: its popularity, without held-out pairs.",
            unit="interactions",
            null="the snapshot is older than this column",
            optional=True,
        ),
    )
    train_stars_mean = dy.Float32(
        nullable=True,
        min=0.5,
        max=5,
        **about(
            "The mean of the stars in the movie's interactions of the train split.",
            unit="stars",
            null="none of them has stars, or the snapshot is older than this column",
            optional=True,
        ),
    )


class Rating(dy.Schema):
    """A user's rating of a movie; pairs may repeat. `stars` is null for "watched, not rated".

    `rated_at` is null where the source states only a day (as Douban does); `rated_on` is its day in UTC.
    `given_split` is the split that came with imported ratings; all rows of a pair have the same one.
    """

    user_id = dy.String(min_length=1)
    movie_id = dy.String(min_length=1)
    stars = dy.Float32(nullable=True, min=0.5, max=5)
    rated_on = dy.Date(nullable=True)
    rated_at = dy.Datetime(time_unit="us", time_zone="UTC", resolution="1s", nullable=True, metadata=OPTIONAL)
    given_split = dy.Enum(SPLITS, nullable=True, metadata=OPTIONAL)


class Frame(dy.Schema):
    """A picture of a movie, as crawled or imported."""

    frame_id = dy.String(primary_key=True, min_length=1, **about("The frame's id at the source."))
    movie_id = dy.String(min_length=1, **about("The movie that the frame belongs to: a row of movies."))
    kind = dy.Enum(FRAME_KINDS, **about("What the picture is; imported pictures are called stills."))
    width_px = dy.UInt32(
        nullable=True,
        min=1,
        **about("The original picture's width.", unit="pixels", null="the source does not state it"),
    )
    height_px = dy.UInt32(
        nullable=True,
        min=1,
        **about("The original picture's height.", unit="pixels", null="the source does not state it"),
    )
    image_url = dy.String(
        nullable=True,
        **about("The picture's address when it was crawled.", null="not known, or the data were imported"),
    )
    like_count = dy.UInt32(
        nullable=True,
        **about(
            "How many people like the frame, as its page showed when it was crawled.",
            unit="likes",
            null="the page showed none, or the data were imported",
            leakage="It includes the likes in frame_likes, which are the answers of the validation and test splits. "
            "Use train_like_count instead.",
        ),
    )
    position = dy.UInt32(
        nullable=True,
        **about(
            "The frame's place in the site's own list of the movie's pictures of this kind, newest first, from 0.",
            unit="places",
            null="not known, the data were imported, or the snapshot is older than this column",
            optional=True,
        ),
    )
    time_s = dy.Float64(
        nullable=True,
        min=0,
        **about(
            "The frame's time in the video that it is taken from, counted from the video's first frame.",
            unit="seconds",
            null="the frame is not from a video, or the snapshot is older than this column",
            optional=True,
        ),
    )


class SnapshotFrame(Frame):
    """One row per picture (still, poster or wallpaper) of a movie; the pictures themselves are not published."""

    train_like_count = dy.UInt32(
        nullable=True,
        **about(
            "How many likes of the frame come from users whose interaction with its movie is in the train split.",
            unit="likes",
            null="no likes were collected, or the snapshot is older than this column",
            optional=True,
        ),
    )
    duplicate_of = dy.String(
        nullable=True,
        **about(
            "The frame that represents all frames of the same movie that show nearly the same picture.",
            null="no other frame is like it, it represents others, or its picture is not known",
            optional=True,
        ),
    )
    is_held_out = dy.Bool(
        nullable=True,
        **about(
            "Whether somebody posted it whose interaction with its movie is held out, so no model may train on it.",
            null="who posted which frame is not known, or the snapshot is older than this column",
            leakage="It tells which frames belong to held-out pairs. Leave these frames out of training.",
            optional=True,
        ),
    )


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


class Contradiction(dy.Schema):
    """A field of a movie that the site's HTML and JSON show differently; only a crawl has this table."""

    movie_id = dy.String(primary_key=True, min_length=1, **about("The movie's id at the source."))
    field = dy.Enum(["year", "kind", "rating_count"], primary_key=True, **about("The column of movies."))
    html = dy.String(min_length=1, **about("The value in the movie's HTML page, as text."))
    json = dy.String(min_length=1, **about("The value in the movie's JSON, as text."))


class RawUser(dy.Schema):
    """A person whose list of watched movies was read: found through what, when, and how completely."""

    user_id = dy.String(primary_key=True, min_length=1)
    found_through = dy.Enum(FOUND_THROUGH, nullable=True)
    read_on = dy.Date(nullable=True)
    marks_claimed = dy.UInt32(nullable=True)
    marks_read = dy.UInt32()
    is_complete = dy.Bool()


# Exact totals and days stand on everyone's public page, so they would name the person.
class SnapshotUser(dy.Schema):
    """One row per user with interactions whose list of watched movies was read from the site."""

    user_id = dy.String(primary_key=True, min_length=1, **about("The person, as in interactions."))
    found_through = dy.Enum(
        FOUND_THROUGH,
        nullable=True,
        **about(
            "How the person was found: through a comment on a movie, through its list of people who marked it, or "
            "given by the publisher.",
            null="not recorded",
        ),
    )
    read_in = dy.String(
        nullable=True,
        regex="^[0-9]{4}-[0-9]{2}$",
        **about("The month in which the person's list was last read, in UTC.", null="not recorded"),
    )
    claimed = dy.Enum(
        COUNT_BINS,
        nullable=True,
        **about("How many watched movies the person's page claims, as a range.", null="it claims no number"),
    )
    read = dy.Enum(COUNT_BINS, **about("How many of them were read, as a range."))
    is_complete = dy.Bool(
        **about("Whether the list was read to its end; if not, the person has watched more than the tables say.")
    )


class ImplicitFeedback(dy.Schema):
    """A user's implicit feedback on a movie, before the split; each user-movie pair occurs once."""

    user_id = dy.String(
        primary_key=True,
        min_length=1,
        **about("The person: a keyed pseudonym in data from a crawl, the file's own id in imported data."),
    )
    movie_id = dy.String(primary_key=True, min_length=1, **about("The movie: a row of movies."))
    stars = dy.Float32(
        nullable=True, min=0.5, max=5, **about("The user's rating.", unit="stars", null="watched, not rated")
    )
    rated_on = dy.Date(nullable=True, **about("The day of the rating, in UTC.", null="not known"))
    rated_at = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        resolution="1s",
        nullable=True,
        **about(
            "The moment of the rating, to the second.",
            null="the source states only a day (as Douban does) or no time, or the snapshot is older than this column",
            optional=True,
        ),
    )


class Interaction(ImplicitFeedback):
    """One row per user and movie: the user watched it. Each pair occurs once and belongs to one split."""

    split = dy.Enum(
        SPLITS,
        **about("The part that the pair belongs to: learn from train, choose settings by validation, report on test."),
    )


class SnapshotInteraction(Interaction):
    """One row per user and movie: the user watched it. Each pair occurs once and belongs to one split."""

    rated_rank = dy.UInt32(
        nullable=True,
        min=1,
        **about(
            "The place of the rating among the user's own interactions in order of time, from 1. Ratings of the same "
            "moment (of the same day, where only days are known) have the same place, and no place is left out.",
            unit="place",
            null="the time is not known, or the snapshot has dates instead of the order",
            optional=True,
        ),
    )


class FrameLike(dy.Schema):
    """One row per frame that a user likes, of validation and test pairs.

    For evaluation only: no model may train on it (as in Wu et al. 2019, section 4).
    """

    user_id = dy.String(primary_key=True, min_length=1, **about("The person, as in interactions."))
    movie_id = dy.String(min_length=1, **about("The frame's movie: with user_id, a row of interactions."))
    frame_id = dy.String(primary_key=True, min_length=1, **about("The frame that the user likes: a row of frames."))
    split = dy.Enum(HELD_OUT_SPLITS, **about("The split of the user's interaction with the movie."))


class FrameLikeTrain(dy.Schema):
    """One row per frame that a user likes, of train pairs. A snapshot has it only if its publisher asked for it.

    For upper bounds only: a model that learns from it knows what a model of the paper's task does not.
    """

    user_id = dy.String(primary_key=True, min_length=1, **about("The person, as in interactions."))
    movie_id = dy.String(min_length=1, **about("The frame's movie: with user_id, a row of interactions."))
    frame_id = dy.String(primary_key=True, min_length=1, **about("The frame that the user likes: a row of frames."))
    split = dy.Enum(["train"], **about("The split of the user's interaction with the movie."))


class Quarantine(dy.Schema):
    """A dropped row and the reason. Keys that do not apply are null."""

    table = dy.String()
    reason = dy.String(min_length=1)
    user_id = dy.String(nullable=True)
    movie_id = dy.String(nullable=True)
    frame_id = dy.String(nullable=True)
    detail = dy.String(nullable=True)


RAW_TABLES: dict[str, type[dy.Schema]] = {
    "movies": Movie,
    "ratings": Rating,
    "frames": Frame,
    "images": Image,
    "frame_likes": RawFrameLike,
}
OPTIONAL_RAW_TABLES: dict[str, type[dy.Schema]] = {"users": RawUser}
"""Raw tables that imports and exports of older versions lack."""
SNAPSHOT_TABLES: dict[str, type[dy.Schema]] = {
    "movies": SnapshotMovie,
    "frames": SnapshotFrame,
    "interactions": SnapshotInteraction,
    "frame_likes": FrameLike,
    TRAIN_LIKES: FrameLikeTrain,
    "frame_features": FrameFeature,
    "users": SnapshotUser,
}
OPTIONAL_SNAPSHOT_TABLES = (TRAIN_LIKES, "users")
"""Tables, besides features, that a snapshot may lack."""


def is_known(table: str) -> bool:
    """Return whether a table of a snapshot has a schema; a later version of the code may have added others."""
    return is_feature_table(table) or table in SNAPSHOT_TABLES


def schema_of(table: str) -> type[dy.Schema]:
    """Return the schema of a table of a snapshot.

    Raises:
        UsageError: the table is not known.
    """
    if not is_known(table):
        raise UsageError(f"table {table!r}: not known to this version of the code; update it")
    of_features = ItemFeature if is_item_table(table) else FrameFeature
    return of_features if is_feature_table(table) else SNAPSHOT_TABLES[table]
