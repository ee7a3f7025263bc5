"""Reads the ids of vectors: a text file with an id per line, a NumPy array, or a column of a table."""

from pathlib import Path

import polars as pl

from dataset.errors import InvalidTableError, MissingInputError
from dataset.formats.ids import IdRules, read_ids
from dataset.reading.content import is_parquet
from dataset.reading.open import open_user_file
from dataset.reading.table import FileOptions, find_column, listed
from features.vectors.arrays import read_id_array

ID_COLUMNS = ("frame_id", "item_id", "movie_id", "id")
"""The columns that hold ids if none is named."""

_RULES = IdRules(spaces="keep", no_values=())
_MAX_TEXT_BYTES = 1 << 30


def read_id_file(path: Path, id_column: str | None) -> pl.Series:
    """Return the ids in a file, in its order, as text; null where there is none.

    Args:
        path: a text file with an id per line, a `.npy` of ids, or a table.
        id_column: the column of a table (CSV, TSV, Parquet, …); None: a Parquet file's column with a known name.

    Raises:
        MissingInputError: there is no such file.
        InvalidTableError: it cannot be read.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file of ids; --ids takes a text file with an id per line, or a table")
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        if head == b"\x93NUMPY":
            return read_id_array(file, str(path), path.stat().st_size)
    if is_parquet(path) or id_column is not None:
        opened = open_user_file(path, FileOptions(has_header=True), "ids")
        name = id_column or next((one for one in ID_COLUMNS if one in opened.names), None)
        if name is None and len(opened.names) == 1:
            name = opened.names[0]
        if name is None:
            raise InvalidTableError(f"{path}: has the columns {listed(opened.names)}; name one with --id-column")
        rows = opened.read({"id": find_column(opened, name, "of ids", "--id-column")})
        if rows.ragged.height:
            raise InvalidTableError(
                f"{path}: {rows.ragged.height:,} rows have too few or too many fields, so the order of the ids is not "
                "sure; correct them"
            )
        return ids_of_column(rows.table["id"], str(path))
    return _lines(path)


def ids_of_column(column: pl.Series, where: str) -> pl.Series:
    """Return the ids in a column of a table, as text; null where there is none.

    Raises:
        InvalidTableError: the column's type cannot hold ids.
    """
    return read_ids(column, _RULES, where, []).alias("id")


def _lines(path: Path) -> pl.Series:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise InvalidTableError(f"{path}: more than {_MAX_TEXT_BYTES >> 30} GiB, too large for a list of ids")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidTableError(
            f"{path}: is not UTF-8 text with an id per line; save it so, or name a column of a table with --id-column"
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return pl.Series("id", [line or None for line in lines], dtype=pl.String)
