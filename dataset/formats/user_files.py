"""Tables of a user's own: Parquet as it is, and CSV, TSV and the like as text, so that an id like 007 stays one."""

import io
from pathlib import Path

import polars as pl

_FIELD_END = "\x1f"


def read_user_file(
    path: Path, separator: str | None, has_header: bool, has_types: bool, encoding: str = "utf-8"
) -> pl.DataFrame:
    """Return a file's columns; those of a text file are all String.

    Args:
        path: the file; what ends in `.parquet` is Parquet, all else is text, which the other arguments describe.
        separator: what parts fields, one character or several; None decides by the name (.tsv: tab, else comma).
        has_header: whether the first line names the columns; else they are `column_1`, `column_2`, …
        has_types: whether the names carry a type behind a colon, as RecBole's `user_id:token` does; it is taken off.
        encoding: of the file; what is not in it is read as the replacement character.

    Raises:
        PolarsError, OSError, ValueError, LookupError: it cannot be read; no such encoding.
    """
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    separator = separator or ("\t" if path.suffix == ".tsv" else ",")
    source: Path | io.StringIO = path
    if encoding != "utf-8" or len(separator.encode()) > 1:
        text = path.read_bytes().decode(encoding, "replace")
        source, separator = io.StringIO(text.replace(separator, _FIELD_END)), _FIELD_END
    quoted = '"' if separator == "," else None
    table = pl.read_csv(source, separator=separator, has_header=has_header, infer_schema=False, quote_char=quoted)
    if not has_header:
        table.columns = [f"column_{number}" for number in range(1, table.width + 1)]
    return table.rename(lambda name: name.partition(":")[0]) if has_types else table
