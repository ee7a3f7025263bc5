"""Reads which pictures people like, click or have posted (`import --frame-likes`) as the table `frame_likes`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import pydantic
from cyclopts import Group, Parameter

from dataset.errors import PipelineError, TooLittleDataError, UsageError
from dataset.formats.picture_files import Found, composed
from dataset.formats.ratings import RatingsFormat, ReadRatings, read_ratings
from dataset.schema import Quarantine, RawFrameLike
from dataset.tables import empty, quarantine_rows, validate

_GROUP = Group.create_ordered("Which pictures people like (for evaluation)")
Kind = Literal["like", "click", "post"]
_SOURCES: dict[Kind, str] = {"like": "import", "click": "import", "post": "post"}


@pydantic.dataclasses.dataclass(frozen=True)
class FrameLikes:
    """The file of who likes which picture.

    Attributes:
        frame_likes: a file with a user, a frame and perhaps a time per row; a frame is named as in `frames.parquet`, or
            by its file's path in the folder of pictures
        frame_likes_user_column: its column of users (by default that of the ratings, if it has one)
        frame_likes_frame_column: its column of frames (by default frame)
        frame_likes_time_column: its column of times
        frame_likes_are: likes, clicks, or who has posted the picture; posted pictures of held-out pairs are kept out of
            what models train on
    """

    frame_likes: Annotated[Path | None, Parameter(group=_GROUP)] = None
    frame_likes_user_column: Annotated[str | None, Parameter(group=_GROUP)] = None
    frame_likes_frame_column: Annotated[str, Parameter(group=_GROUP)] = "frame"
    frame_likes_time_column: Annotated[str | None, Parameter(group=_GROUP)] = None
    frame_likes_are: Annotated[Kind, Parameter(group=_GROUP)] = "like"

    def __post_init__(self) -> None:
        """Reject options of a file that is not there."""
        if self.frame_likes is None and _differs(self):
            raise UsageError("--frame-likes is missing: the other options of frame likes say how that file is read")


def _differs(given: FrameLikes) -> bool:
    columns = (given.frame_likes_user_column, given.frame_likes_time_column)
    return any(columns) or (given.frame_likes_frame_column, given.frame_likes_are) != ("frame", "like")


@dataclass(frozen=True)
class ImportedLikes:
    """The `RawFrameLike` rows of a file, the `Quarantine` rows of its other rows, and what the user should know."""

    rows: pl.DataFrame
    quarantine: pl.DataFrame
    notes: tuple[str, ...] = ()


def read_frame_likes(likes: FrameLikes, ratings: RatingsFormat, frames: pl.DataFrame) -> ImportedLikes:
    """Read the file of frame likes; none without one.

    Of several rows of a user and a frame, the earliest counts.

    Args:
        likes: the file and its columns.
        ratings: how the ratings are read; ids are read in the same way.
        frames: the `Frame` rows that were imported.

    Raises:
        MissingInputError: the file is missing.
        InvalidTableError: it cannot be read, or a column is missing.
        TooLittleDataError: no row names an imported frame.
    """
    if likes.frame_likes is None:
        return ImportedLikes(empty(RawFrameLike), empty(Quarantine))
    columns = RatingsFormat(
        user_column=likes.frame_likes_user_column or ratings.user_column,
        item_column=likes.frame_likes_frame_column,
        time_column=likes.frame_likes_time_column,
        time_unit=ratings.time_unit,
        time_format=ratings.time_format,
        id_spaces=ratings.id_spaces,
        float_ids=ratings.float_ids,
        no_values=ratings.no_values,
    )
    read = _read(likes.frame_likes, columns)
    names = read.rows["movie_id"].unique()
    ids = pl.DataFrame({"name": names, "frame_id": _frame_ids(names, frames["frame_id"])})
    named = read.rows.join(ids, left_on="movie_id", right_on="name", how="left").sort(
        "user_id", "frame_id", "rated_on", nulls_last=True
    )
    is_again = ~pl.struct("user_id", "frame_id").is_first_distinct()
    reason = (
        pl.when(pl.col("frame_id").is_null())
        .then(pl.lit("no such frame was imported"))
        .when(is_again)
        .then(pl.lit("the user and the frame again"))
    )
    checked = named.with_columns(reason=reason)
    good = checked.filter(pl.col("reason").is_null())
    if good.is_empty():
        raise TooLittleDataError(
            f"{likes.frame_likes}: none of its {read.rows.height:,} rows names a frame that was imported, for example "
            f"{read.rows['movie_id'][0]!r}; name frames as frames.parquet does, or by their paths below --pictures"
        )
    dropped = checked.filter(pl.col("reason").is_not_null()).with_columns(detail=pl.col("movie_id"))
    rows = good.select("user_id", "frame_id", liked_on="rated_on", source=pl.lit(_SOURCES[likes.frame_likes_are])).cast(
        {"source": RawFrameLike.source.dtype}
    )
    in_likes = read.quarantine.with_columns(
        table=pl.lit("frame_likes"),
        reason=pl.col("reason").replace("no user or no item", "no user or no frame"),
        frame_id="movie_id",
        movie_id=pl.lit(None, pl.String),
    )
    dropped = dropped.with_columns(movie_id=pl.lit(None, pl.String))
    quarantine = pl.concat([in_likes.select(empty(Quarantine).columns), quarantine_rows(dropped, "frame_likes")])
    name, n = likes.frame_likes.name, quarantine.height
    note = f"{name}: {rows.height:,} {likes.frame_likes_are}s of {rows['frame_id'].n_unique():,} frames"
    notes = (note + (f"; {n:,} rows dropped" if n else ""), *(f"{name}: {one}" for one in read.notes))
    return ImportedLikes(validate(rows, RawFrameLike, str(likes.frame_likes)), quarantine, notes)


def _read(path: Path, columns: RatingsFormat) -> ReadRatings:
    """Read the file as if it were ratings, whose items are frames."""
    try:
        return read_ratings(path, columns)
    except PipelineError as error:
        words = str(error).replace("for the item", "for the frame").replace("an item", "a frame")
        words = words.replace("--item-column", "--frame-likes-frame-column")
        for role in ("user", "time"):
            words = words.replace(f"--{role}-column", f"--frame-likes-{role}-column")
        raise type(error)(words) from None


def _frame_ids(names: pl.Series, frame_ids: pl.Series) -> list[str | None]:
    """Return the id of the frame that each name means: the id itself, or the path of its file."""
    known = set(frame_ids)
    by_composed: dict[str, str] = {composed(one): one for one in frame_ids}

    def find(name: str) -> str | None:
        for text in (name, Found(Path(), name.removeprefix("./")).frame_id):
            if text in known:
                return text
            if composed(text) in by_composed:
                return by_composed[composed(text)]
        return None

    return [find(name) for name in names]
