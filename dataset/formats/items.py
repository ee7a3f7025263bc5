"""Reads an items file: titles and, if the file has them, years and genres."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import pydantic
from cyclopts import Group, Parameter

from dataset.formats.ids import IdRules, read_ids
from dataset.formats.ratings import FormatName, updated
from dataset.formats.values import as_text, require_type
from dataset.reading.content import COMPRESSED_SUFFIXES
from dataset.reading.open import open_user_file
from dataset.reading.table import FileOptions, UserFile, find_column

_YEAR = r"\s*\(((?:18|19|20|21)\d\d)\)\s*$"
_NO_GENRES = "(no genres listed)"
_GROUP = Group.create_ordered("Items file")


@pydantic.dataclasses.dataclass(frozen=True)
class ItemsFormat:
    """The columns of an items file and how to read it. None: decide by the file, or the file has no such column.

    Attributes:
        item_column: column of --items with the item's id, or its number without a header (by default as in the ratings)
        title_column: column of --items with the title; a year in brackets at its end becomes the item's year
        year_column: the year; the file may lack this column
        genres_column: the genres, separated by `genre_separator`; the file may lack this column
        genre_separator: the separator between genres
        separator: field separator of --items (by default detected)
        has_header: whether the first line of --items names the columns (by default detected)
        has_types: whether the names in the header end in a type, as in RecBole's `item_id:token`
        encoding: encoding of --items (by default utf-8)
        quote: quotation mark around fields of --items, or none (by default detected)
        fallback_encoding: the encoding of a file that is not UTF-8, if none is named
    """

    item_column: Annotated[str | None, Parameter(name="--items-id-column", group=_GROUP)] = None
    title_column: Annotated[str, Parameter(group=_GROUP)] = "title"
    year_column: Annotated[str | None, Parameter(parse=False)] = "year"
    genres_column: Annotated[str | None, Parameter(parse=False)] = "genres"
    genre_separator: Annotated[str, Parameter(parse=False)] = "|"
    separator: Annotated[str | None, Parameter(name="--items-separator", group=_GROUP)] = None
    has_header: Annotated[bool | None, Parameter(name="--items-header", negative="--items-no-header", group=_GROUP)] = (
        None
    )
    has_types: Annotated[bool, Parameter(parse=False)] = False
    encoding: Annotated[str | None, Parameter(name="--items-encoding", group=_GROUP)] = None
    quote: Annotated[Literal['"', "'", "none"] | None, Parameter(name="--items-quote", group=_GROUP)] = None
    fallback_encoding: Annotated[str | None, Parameter(parse=False)] = None

    def updated(self, options: "ItemsFormat") -> "ItemsFormat":
        """Return this format with the fields that differ from their default in `options`."""
        return updated(self, options)

    @property
    def file_options(self) -> FileOptions:
        """How to read a text file."""
        return FileOptions(
            separator=self.separator,
            quote=self.quote,
            encoding=self.encoding,
            has_header=self.has_header,
            has_types=self.has_types,
            ragged_rows="fit",
            fallback_encoding=self.fallback_encoding,
            prefix="items-",
            example="--items-id-column 1 --title-column 2",
        )


@dataclass(frozen=True)
class ItemsFile:
    """An items file. A file that was found, not named by the user, is ignored if it lacks the columns."""

    path: Path
    format: ItemsFormat
    was_named: bool = True


@dataclass(frozen=True)
class ReadItems:
    """The content of an items file.

    Attributes:
        rows: `movie_id`, `title`, `year: Int16` (null if unknown) and `genres: List[String]`, one row per item.
        facts: how the file was read.
        notes: what the user should know, in sentences.
    """

    rows: pl.DataFrame
    facts: dict[str, str]
    notes: list[str]


_KNOWN: Mapping[FormatName, ItemsFormat] = {
    "movielens-csv": ItemsFormat("movieId", "title", None),
    "movielens-dat": ItemsFormat("1", "2", None, "3", "|", "::", False, quote="none", fallback_encoding="latin-1"),
    "movielens-100k": ItemsFormat("1", "2", None, None, "|", "|", False, quote="none", fallback_encoding="latin-1"),
    "recbole": ItemsFormat("item_id", "movie_title", "release_year", "class", " ", "tab", True, True),
}
_NO_ITEMS = pl.DataFrame(
    schema={"movie_id": pl.String, "title": pl.String, "year": pl.Int16, "genres": pl.List(pl.String)}
)
_NAMES = {"movielens-csv": "movies.csv", "movielens-dat": "movies.dat", "movielens-100k": "u.item"}


def find_items_file(ratings: Path, format_name: FormatName | None) -> ItemsFile | None:
    """Return the items file beside a ratings file of a known format (`ratings.FORMATS`), None if there is none."""
    if format_name is None or format_name not in _KNOWN:
        return None
    plain = ratings.with_suffix("") if ratings.suffix in COMPRESSED_SUFFIXES else ratings
    if format_name == "recbole":  # beside a.inter, or a.train.inter
        paths = [plain.with_suffix(".item"), plain.with_suffix("").with_suffix(".item")]
    else:
        paths = [plain.with_name(_NAMES[format_name])]
    candidates = (path.with_name(path.name + suffix) for path in paths for suffix in ("", *COMPRESSED_SUFFIXES))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    return ItemsFile(found, _KNOWN[format_name], was_named=False) if found else None


def named_items_file(path: Path, file_format: ItemsFormat) -> ItemsFile:
    """Return the items file that the user named; a `.item` file has RecBole's columns."""
    return ItemsFile(path, _KNOWN["recbole"] if path.suffix == ".item" else file_format)


def read_items(file: ItemsFile, id_rules: IdRules) -> ReadItems:
    """Read an items file. For a repeated item the first row is used; an item without a title is left out.

    Raises:
        MissingInputError: the file is missing.
        UsageError: an option's value is impossible.
        InvalidTableError: the file cannot be read, or lacks the column of ids or titles.
    """
    path, file_format = file.path, file.format
    opened = open_user_file(path, file_format.file_options, "items")
    asked = {
        "item": "item" if file_format.item_column is None else file_format.item_column,
        "title": file_format.title_column,
    }
    options = {"item": "--items-id-column", "title": "--title-column"}
    has_header = opened.facts.get("header") != "no"
    if not file.was_named and has_header and not set(asked.values()) <= set(opened.names):
        return ReadItems(_NO_ITEMS, opened.facts, [f"{path}: is not used, because it lacks the columns of its format"])
    columns = {role: find_column(opened, name, f"for the {role}", options[role]) for role, name in asked.items()}
    columns |= _optional_columns(opened, {"year": file_format.year_column, "genres": file_format.genres_column})
    source, notes = opened.read(columns), list(opened.notes)
    table = _to_items(source.table, columns, file_format, id_rules, path, notes)
    known = table.filter(pl.all_horizontal(pl.col("movie_id", "title").fill_null("") != ""))
    rows = known.unique("movie_id", keep="first", maintain_order=True)
    if n_lacking := table.height - known.height:
        notes.append(f"{path}: {n_lacking:,} rows have no id or no title and are not used")
    if n_repeated := known.height - rows.height:
        notes.append(f"{path}: {n_repeated:,} rows repeat an item; its first row is used")
    return ReadItems(rows, opened.facts, [note.replace(f"{path}", path.name) for note in notes])


def _optional_columns(opened: UserFile, asked: Mapping[str, str | None]) -> dict[str, str]:
    """Return the name in the file of each column that it has."""
    has_numbers = opened.facts.get("header") == "no"
    names = {role: f"column_{name}" if has_numbers else name for role, name in asked.items() if name is not None}
    return {role: name for role, name in names.items() if opened.names.count(name) == 1}


def _to_items(
    table: pl.DataFrame,
    columns: Mapping[str, str],
    file_format: ItemsFormat,
    id_rules: IdRules,
    path: Path,
    notes: list[str],
) -> pl.DataFrame:
    """Return the columns of `ReadItems.rows`; ids and titles may be null, and items may repeat."""
    where = {role: f"{path}: column {name!r}" for role, name in columns.items()}
    ids = read_ids(table["item"], id_rules, where["item"], notes)
    title = pl.lit(_text(table["title"], where["title"]))
    years = [pl.lit(_text(table["year"], where["year"]))] if "year" in columns else []
    year = pl.coalesce(*years, title.str.extract(_YEAR)).str.extract(r"^\s*(\d{4})\b").cast(pl.Int16)
    genres = pl.lit([], pl.List(pl.String))
    if "genres" in columns:
        values, genre = table["genres"], pl.element().drop_nulls().str.strip_chars()
        if not isinstance(values.dtype, pl.List):
            values = _text(values, where["genres"]).str.split(file_format.genre_separator)
        genres = pl.lit(values.cast(pl.List(pl.String))).list.eval(genre.filter(~genre.is_in(["", _NO_GENRES])))
    return ids.to_frame("movie_id").select(
        "movie_id",
        title=title.str.replace(_YEAR, "").str.strip_chars(),
        year=pl.when(year.is_between(1850, 2200)).then(year),
        genres=genres.fill_null([]),
    )


def _text(column: pl.Series, where: str) -> pl.Series:
    texts = as_text(column)
    if texts is not None:
        return texts
    is_simple = column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Boolean) or column.dtype == pl.Datetime
    require_type(column, is_simple, where, "one of text")
    return column.cast(pl.String)
