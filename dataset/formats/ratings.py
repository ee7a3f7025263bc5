"""Reads a user's ratings file as `Rating` rows; defines the known formats."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import polars as pl
import pydantic
from cyclopts import Group, Parameter

from dataset.errors import PipelineError, TooLittleDataError
from dataset.formats.ids import FloatIds, IdRules, IdSpaces, read_ids
from dataset.formats.lists import pairs_of_dictionaries, pairs_of_lines
from dataset.formats.splits import read_splits
from dataset.formats.stars import RatingRules, ZeroIs, read_stars
from dataset.formats.times import TimeRules, TimeUnit, read_times
from dataset.reading.blocks import line_blocks
from dataset.reading.content import COMPRESSED_SUFFIXES
from dataset.reading.open import open_user_file
from dataset.reading.table import NO_VALUE, FileOptions, Ragged, Rows, UserFile, find_column
from dataset.schema import Rating
from dataset.tables import quarantine_rows, validate

FormatName = Literal["movielens-csv", "movielens-dat", "movielens-100k", "recbole", "lightgcn", "tradesy"]

T = TypeVar("T")

_COLUMNS, _TEXT, _VALUES = (
    Group.create_ordered(name)
    for name in ("Columns of the ratings", "Reading a text file (by default detected)", "Values")
)


@pydantic.dataclasses.dataclass(frozen=True)
class RatingsFormat:
    """The columns of a ratings file and how to read it. None: decide by the file, or the file has no such column.

    Attributes:
        user_column: column with the user's id, or its number if there is no header (by default user)
        item_column: column with the item's id (by default item)
        rating_column: column with the rating; an empty one is "not rated"
        time_column: column with the date or time
        split_column: column with the split: train, validation (valid, val, dev) and test, or 0, 1 and 2 for these
        max_rating: the highest possible rating, which becomes 5 stars (by default 5)
        separator: field separator: a character or several, or comma, tab, semicolon, pipe, space
        has_header: whether the first line names the columns; otherwise they have numbers, from 1
        has_types: whether the names in the header end in a type, as in RecBole's `user_id:token`
        has_lists: whether a line is a user and all their items, as in LightGCN's files
        has_dictionaries: whether a line is a dictionary of a user and their items, as in Tradesy's file
        quote: quotation mark around fields, or none
        encoding: encoding, for example latin-1, cp1252, gb18030 or utf-16 (by default utf-8)
        ragged_rows: rows of too few or too many fields are left out, or filled up where that loses nothing
        zero_is: what a rating of 0 means: unrated or interaction (the row counts, without a rating), or drop the row
        time_unit: unit of the times (by default detected); a named one also allows times before 1990
        time_format: form of times that are text, for example '%d/%m/%Y %H:%M'
        id_spaces: whether spaces around ids are removed or kept
        float_ids: read the id 1.0 as 1: in columns of floating-point numbers (auto), also in text, or never
        no_values: texts that stand for no value, separated by commas
    """

    user_column: Annotated[str | None, Parameter(group=_COLUMNS)] = None
    item_column: Annotated[str | None, Parameter(group=_COLUMNS)] = None
    rating_column: Annotated[str | None, Parameter(group=_COLUMNS)] = None
    time_column: Annotated[str | None, Parameter(group=_COLUMNS)] = None
    split_column: Annotated[str | None, Parameter(group=_COLUMNS)] = None
    max_rating: Annotated[float | None, pydantic.Field(gt=0, allow_inf_nan=False), Parameter(group=_VALUES)] = None
    separator: Annotated[str | None, Parameter(group=_TEXT)] = None
    has_header: Annotated[bool | None, Parameter(name="--header", negative="--no-header", group=_TEXT)] = None
    has_types: Annotated[bool, Parameter(parse=False)] = False
    has_lists: Annotated[bool, Parameter(parse=False)] = False
    has_dictionaries: Annotated[bool, Parameter(parse=False)] = False
    quote: Annotated[Literal['"', "'", "none"] | None, Parameter(group=_TEXT)] = None
    encoding: Annotated[str | None, Parameter(group=_TEXT)] = None
    ragged_rows: Annotated[Ragged, Parameter(group=_TEXT)] = "quarantine"
    zero_is: Annotated[ZeroIs | None, Parameter(group=_VALUES)] = None
    time_unit: Annotated[TimeUnit | None, Parameter(group=_VALUES)] = None
    time_format: Annotated[str | None, Parameter(group=_VALUES)] = None
    id_spaces: Annotated[IdSpaces, Parameter(group=_VALUES)] = "strip"
    float_ids: Annotated[FloatIds, Parameter(group=_VALUES)] = "auto"
    no_values: Annotated[str, Parameter(group=_VALUES)] = ",".join(NO_VALUE)

    @property
    def file_options(self) -> FileOptions:
        """How to read a text file."""
        return FileOptions(self.separator, self.quote, self.encoding, self.has_header, self.has_types, self.ragged_rows)

    @property
    def id_rules(self) -> IdRules:
        """How to read ids."""
        return IdRules(self.id_spaces, self.float_ids, self.no_value_texts)

    @property
    def no_value_texts(self) -> tuple[str, ...]:
        """The texts that stand for no value."""
        return tuple(text for part in self.no_values.split(",") if (text := part.strip()))

    def updated(self, options: "RatingsFormat") -> "RatingsFormat":
        """Return this format with the fields that differ from their default in `options`."""
        return updated(self, options)


def updated(config: T, options: T) -> T:
    """Return a dataclass with the fields that differ from their default in `options`."""
    default = type(options)()
    names = [field.name for field in fields(options)]  # type: ignore[arg-type]
    changed = {name: value for name in names if (value := getattr(options, name)) != getattr(default, name)}
    return replace(config, **changed)  # type: ignore[type-var]


FORMATS: Mapping[FormatName, RatingsFormat] = {
    "movielens-csv": RatingsFormat("userId", "movieId", "rating", "timestamp", has_header=True),
    "movielens-dat": RatingsFormat("1", "2", "3", "4", separator="::", has_header=False, quote="none"),
    "movielens-100k": RatingsFormat("1", "2", "3", "4", separator="tab", has_header=False, quote="none"),
    "recbole": RatingsFormat(
        "user_id", "item_id", "rating", "timestamp", separator="tab", has_header=True, has_types=True
    ),
    "lightgcn": RatingsFormat(has_lists=True),
    "tradesy": RatingsFormat(has_dictionaries=True),
}
"""The known formats, which need no column names."""

_NAMES: Mapping[str, tuple[FormatName, bytes]] = {
    "ratings.csv": ("movielens-csv", b"userId,movieId,"),
    "ratings.dat": ("movielens-dat", b"::"),
    "u.data": ("movielens-100k", b"\t"),
}
"""For each name of a file: its format, and what its first line contains."""


_LISTS = {"lines": "a user and their items"}


@dataclass(frozen=True)
class ReadRatings:
    """The content of a ratings file; each of its rows is either a rating or a quarantine row.

    Attributes:
        rows: the `Rating` rows.
        quarantine: the `Quarantine` rows.
        facts: how the file was read: "separator", "encoding", "times", …
        notes: what the user should know, in sentences.
    """

    rows: pl.DataFrame
    quarantine: pl.DataFrame
    facts: dict[str, str]
    notes: list[str]


def detect_format(path: Path) -> FormatName | None:
    """Return which of `FORMATS` a ratings file has, by its name and its first line, else None."""
    suffixes = path.suffixes
    name = path.stem if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES else path.name
    if name.endswith(".inter"):
        return "recbole"
    known, content = _NAMES.get(name, (None, b""))
    try:
        start = next(line_blocks(path, None, "--encoding"), b"") if known else b""
    except PipelineError:
        return None
    return known if content in start.partition(b"\n")[0].replace(b'"', b"") else None


def read_ratings(path: Path, file_format: RatingsFormat) -> ReadRatings:
    """Read a ratings file.

    Raises:
        MissingInputError: the file is missing.
        UsageError: an option's value is impossible.
        InvalidTableError: the file cannot be read, or a column is missing or invalid.
        TooLittleDataError: no row has a user and an item.
    """
    if file_format.has_lists or file_format.has_dictionaries:
        blocks = line_blocks(path, file_format.encoding, "--encoding", file_format.has_dictionaries)
        table = (pairs_of_lines if file_format.has_lists else pairs_of_dictionaries)(blocks, str(path))
        columns, source, facts, notes = {"user": "user", "item": "item"}, Rows(table), dict(_LISTS), list[str]()
    else:
        file = open_user_file(path, file_format.file_options, "ratings")
        columns = _find_columns(file, file_format)
        source, facts, notes = file.read(columns), dict(file.facts), list(file.notes)
    rows, dropped = _to_rows(source.table, columns, file_format, path, facts, notes)
    ragged = quarantine_rows(source.ragged, "ratings")
    if rows.is_empty():
        raise TooLittleDataError(
            f"{path}: no row has both a user and an item (of {source.n_rows:,}); check the file and the column names"
        )
    return ReadRatings(
        validate(rows, Rating, str(path)),
        pl.concat([dropped, ragged]),
        facts,
        [note.removeprefix(f"{path}: ") for note in notes],
    )


def _find_columns(file: UserFile, file_format: RatingsFormat) -> dict[str, str]:
    """Return the name in the file of each column: `user`, `item` and, if wanted, `rating`, `time` and `split`."""
    asked = {
        "user": "user" if file_format.user_column is None else file_format.user_column,
        "item": "item" if file_format.item_column is None else file_format.item_column,
        "rating": file_format.rating_column,
        "time": file_format.time_column,
        "split": file_format.split_column,
    }
    if file_format.has_types:  # RecBole's atomic files may lack these
        asked |= {role: None for role in ("rating", "time") if asked[role] not in file.names}
    return {
        role: find_column(file, column, f"for the {role}", f"--{role}-column")
        for role, column in asked.items()
        if column is not None
    }


def _to_rows(
    table: pl.DataFrame,
    columns: Mapping[str, str],
    file_format: RatingsFormat,
    path: Path,
    facts: dict[str, str],
    notes: list[str],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the `Rating` rows and the others as `Quarantine` rows; add to the facts and notes."""
    where = {role: f"{path}: column {name!r}" for role, name in columns.items()}
    ids = {role: read_ids(table[role], file_format.id_rules, where[role], notes) for role in ("user", "item")}
    rows = pl.DataFrame({"user_id": ids["user"], "movie_id": ids["item"]}).with_columns(
        stars=pl.lit(None, pl.Float32), rated_on=pl.lit(None, pl.Date), is_dropped=pl.lit(False)
    )
    if "rating" in columns:
        rules = RatingRules(file_format.max_rating or 5.0, file_format.zero_is, file_format.no_value_texts)
        stars, is_dropped = read_stars(table["rating"], rules, where["rating"], notes)
        rows = rows.with_columns(stars=stars, is_dropped=is_dropped)
    if "time" in columns:
        time_rules = TimeRules(file_format.time_unit, file_format.time_format, file_format.no_value_texts)
        times = read_times(table["time"], time_rules, where["time"], notes)
        rows = rows.with_columns(rated_on=times.days, rated_at=times.seconds)
        facts["times"] = times.unit
    reason = (
        pl.when(pl.any_horizontal(pl.col("user_id", "movie_id").is_null()))
        .then(pl.lit("no user or no item"))
        .when("is_dropped")
        .then(pl.lit("a rating of 0"))
    )
    rows = rows.with_columns(reason=reason)
    is_good = rows["reason"].is_null()
    good, dropped = rows.filter(is_good).drop("reason", "is_dropped"), rows.filter(~is_good)
    if "split" in columns:
        good = good.with_columns(read_splits(table["split"].filter(is_good), where["split"]))
    return good, quarantine_rows(dropped, "ratings")
