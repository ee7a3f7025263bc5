"""Makes the text of each item from columns of a table: the dataset's movies, or a table of the user's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.errors import InvalidTableError, UsageError
from dataset.formats.values import as_text, require_type
from dataset.reading.open import open_user_file
from dataset.reading.table import NO_VALUE, FileOptions, find_column
from dataset.schema import SnapshotMovie
from dataset.tables import read_table
from features.vectors.ids import ID_COLUMNS, ids_of_column

COLUMNS_OF_MOVIES = ("title", "original_title", "year", "kind", "genres", "directors")
"""The columns of movies that say in words what a movie is."""

_BETWEEN, _IN_LIST = ". ", ", "


@dataclass(frozen=True)
class Texts:
    """The texts of a table, row by row.

    Attributes:
        ids: the item of each row; null where it has none.
        texts: its text; null where it has none.
        ragged: how many further rows of the file have too few or too many fields.
        n_ids_as_titles: the movies whose title is only their id; it is not text.
    """

    ids: pl.Series
    texts: pl.Series
    ragged: int = 0
    n_ids_as_titles: int = 0


def template(columns: Sequence[str]) -> str:
    """Return how a text is put together, for the record: `{title}. {genres}`; empty columns are left out."""
    return _BETWEEN.join(f"{{{column}}}" for column in columns)


def texts_of_movies(path: Path, columns: Sequence[str]) -> Texts:
    """Return the texts of a dataset's movies. A title that is only the movie's id is no text.

    Args:
        path: the table of movies.
        columns: some of `COLUMNS_OF_MOVIES`, in the order of the text.

    Raises:
        UsageError: a column holds no text.
    """
    unknown = [column for column in columns if column not in COLUMNS_OF_MOVIES]
    if unknown:
        raise UsageError(
            f"--columns {','.join(columns)}: no column {unknown[0]!r} of text; movies have "
            f"{', '.join(COLUMNS_OF_MOVIES)} (--texts names a table of your own)"
        )
    movies = read_table(path, SnapshotMovie)
    is_id = movies["title"] == movies["movie_id"]
    named = movies.with_columns(title=pl.when(~is_id).then("title"))
    n_ids = int(is_id.sum()) if "title" in columns else 0
    return Texts(movies["movie_id"], _joined(named.select(columns), str(path), ()), n_ids_as_titles=n_ids)


def texts_of_file(path: Path, columns: Sequence[str], id_column: str | None) -> Texts:
    """Return the texts of a user's table.

    Raises:
        MissingInputError: there is no such file.
        InvalidTableError: it cannot be read, or a column is missing or holds no text.
    """
    opened = open_user_file(path, FileOptions(has_header=True, ragged_rows="fit"), "texts")
    name = id_column or next((one for one in ID_COLUMNS if one in opened.names and one != "frame_id"), None)
    id_name = find_column(opened, name or "item_id", "of item ids", "--id-column")
    found = {f"text_{n}": find_column(opened, column, "of text", "--columns") for n, column in enumerate(columns)}
    rows = opened.read({"id": id_name, **found})
    if rows.ragged.height:
        raise InvalidTableError(
            f"{path}: {rows.ragged.height:,} rows have too many fields, so their texts may be wrong; correct them"
        )
    return Texts(
        ids_of_column(rows.table["id"], str(path)), _joined(rows.table.select(list(found)), str(path), NO_VALUE)
    )


def _joined(columns: pl.DataFrame, where: str, no_values: tuple[str, ...]) -> pl.Series:
    """Return one text per row from its columns; null where all are empty or stand for no value."""
    parts = columns.select(_words(column, f"{where}: column {column.name!r}", no_values) for column in columns)
    text = parts.select(pl.concat_list(pl.all()).list.drop_nulls().list.join(_BETWEEN).alias("text"))["text"]
    return text.set(text == "", None)


def _words(column: pl.Series, where: str, no_values: tuple[str, ...]) -> pl.Series:
    """Return a column as text on one line; null where there is none."""
    if isinstance(column.dtype, pl.List) and column.dtype.inner == pl.String:
        texts = column.list.drop_nulls().list.join(_IN_LIST)
    elif (found := as_text(column)) is not None:
        texts = found
    else:
        require_type(column, column.dtype.is_integer(), where, "one of text")
        texts = column.cast(pl.String)
    plain = texts.str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()
    return plain.set(plain.is_in(["", *no_values]), None).alias(column.name)
