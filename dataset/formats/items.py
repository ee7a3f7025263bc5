"""Reads an items file: titles and, if the file has them, years and genres."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.errors import InvalidTableError, MissingInputError
from dataset.formats.user_files import read_user_file

_YEAR = r"\s*\(((?:18|19|20|21)\d\d)\)\s*$"
_NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class ItemsFormat:
    """The columns of an items file and how to read it. None: the file has no such column.

    Attributes:
        item_column: the item's id, as in the ratings; without a header, columns are `column_1`, `column_2`, …
        title_column: the title; a year in brackets at its end is removed, and used if no column holds the year.
        year_column: the year; the file may lack this column.
        genres_column: the genres, separated by `genre_separator`; the file may lack this column.
        genre_separator: the separator between genres.
        separator: the field separator of a text file; None chooses by the name (.tsv: tab, else comma).
        has_header: whether the first line names the columns.
        has_types: whether the names in the header end in a type, as in RecBole's `item_id:token`.
        encoding: the encoding of a text file.
    """

    item_column: str = "item"
    title_column: str = "title"
    year_column: str | None = None
    genres_column: str | None = None
    genre_separator: str = "|"
    separator: str | None = None
    has_header: bool = True
    has_types: bool = False
    encoding: str = "utf-8"


@dataclass(frozen=True)
class ItemsFile:
    """An items file. A file that was found, not named by the user, is ignored if it lacks the columns."""

    path: Path
    format: ItemsFormat
    was_named: bool = True


_KNOWN = {
    "movielens-csv": ItemsFormat("movieId", "title", genres_column="genres"),
    "movielens-dat": ItemsFormat("column_1", "column_2", None, "column_3", "|", "::", False, encoding="latin-1"),
    "movielens-100k": ItemsFormat("column_1", "column_2", separator="|", has_header=False, encoding="latin-1"),
    "recbole": ItemsFormat("item_id", "movie_title", "release_year", "class", " ", "\t", has_types=True),
}
_NO_ITEMS = pl.DataFrame(
    schema={"movie_id": pl.String, "title": pl.String, "year": pl.Int16, "genres": pl.List(pl.String)}
)
_NAMES = {"movielens-csv": "movies.csv", "movielens-dat": "movies.dat", "movielens-100k": "u.item"}


def find_items_file(ratings: Path, format_name: str | None) -> ItemsFile | None:
    """Return the items file beside a ratings file of a known format (`ratings.FORMATS`), None if there is none."""
    if format_name not in _KNOWN:
        return None
    path = ratings.with_suffix(".item") if format_name == "recbole" else ratings.with_name(_NAMES[format_name])
    return ItemsFile(path, _KNOWN[format_name], was_named=False) if path.is_file() else None


def named_items_file(path: Path, item_column: str, title_column: str) -> ItemsFile:
    """Return the items file that the user named, with the columns they named; a `.item` file has RecBole's columns."""
    is_recbole = path.suffix == ".item"
    return ItemsFile(
        path, _KNOWN["recbole"] if is_recbole else ItemsFormat(item_column, title_column, "year", "genres")
    )


def read_items(file: ItemsFile) -> pl.DataFrame:
    """Return the items in a file.

    Returns:
        `movie_id`, `title`, `year: Int16` (null if unknown) and `genres: List[String]`. For a repeated
        item the first row is used; an item without a title is skipped.

    Raises:
        MissingInputError: the file is missing.
        InvalidTableError: the file cannot be read, or lacks the column of ids or titles.
    """
    path, file_format = file.path, file.format
    if not path.is_file():
        raise MissingInputError(f"{path}: no such items file; give a .csv, .tsv or .parquet file, or omit --items")
    try:
        table = read_user_file(
            path, file_format.separator, file_format.has_header, file_format.has_types, file_format.encoding
        )
    except (pl.exceptions.PolarsError, OSError, ValueError, LookupError) as error:
        raise InvalidTableError(f"{path}: cannot be read ({str(error).splitlines()[0]}); check the file") from None
    for option, column in (
        ("--items-id-column", file_format.item_column),
        ("--title-column", file_format.title_column),
    ):
        if column not in table.columns:
            if not file.was_named:
                return _NO_ITEMS
            raise InvalidTableError(
                f"{path}: no column '{column}'; it has {', '.join(map(repr, table.columns))}: "
                f"name the right one with {option}"
            )
    title = pl.col(file_format.title_column).cast(pl.String)
    known = table.select(
        movie_id=pl.col(file_format.item_column).cast(pl.String),
        title=title.str.replace(_YEAR, "").str.strip_chars(),
        year=_year(table, file_format, title),
        genres=_genres(table, file_format),
    )
    has_both = pl.all_horizontal(pl.col("movie_id", "title").fill_null("") != "")
    return known.filter(has_both).unique("movie_id", keep="first", maintain_order=True)


def _year(table: pl.DataFrame, file_format: ItemsFormat, title: pl.Expr) -> pl.Expr:
    stated = [pl.col(file_format.year_column).cast(pl.String)] if file_format.year_column in table.columns else []
    year = pl.coalesce(*stated, title.str.extract(_YEAR)).str.extract(r"^\s*(\d{4})\b").cast(pl.Int16)
    return pl.when(year.is_between(1850, 2200)).then(year)


def _genres(table: pl.DataFrame, file_format: ItemsFormat) -> pl.Expr:
    if file_format.genres_column not in table.columns:
        return pl.lit([], pl.List(pl.String))
    genres = pl.col(file_format.genres_column)
    if not isinstance(table.schema[file_format.genres_column], pl.List):
        genres = genres.cast(pl.String).str.split(file_format.genre_separator)
    genre = pl.element().drop_nulls().str.strip_chars()
    return genres.cast(pl.List(pl.String)).list.eval(genre.filter(~genre.is_in(["", _NO_GENRES]))).fill_null([])
