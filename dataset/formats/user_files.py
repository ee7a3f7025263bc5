"""Reads a table file of your own: Parquet keeps its types; CSV and TSV are read as text, so the id 007 stays 007."""

import io
from pathlib import Path

import polars as pl

_FIELD_END = "\x1f"


def read_user_file(
    path: Path, separator: str | None, has_header: bool, has_types: bool, encoding: str = "utf-8"
) -> pl.DataFrame:
    """Return the columns of a file; those of a text file are all String.

    Args:
        path: the file; a name ending in `.parquet` is Parquet, any other is text and read with the other arguments.
        separator: the field separator, one or several characters; None chooses by the name (.tsv: tab, else comma).
        has_header: whether the first line names the columns; otherwise they are `column_1`, `column_2`, …
        has_types: whether the names end in a type, as in RecBole's `user_id:token`; the type is removed.
        encoding: the file's encoding; undecodable bytes become the replacement character.

    Raises:
        PolarsError, OSError, ValueError: the file cannot be read.
        LookupError: the encoding is unknown.
    """
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    separator = separator or ("\t" if path.suffix == ".tsv" else ",")
    source: Path | io.StringIO = path
    if encoding != "utf-8" or len(separator.encode()) > 1:
        text = path.read_bytes().decode(encoding, "replace")
        source, separator = io.StringIO(text.replace(separator, _FIELD_END)), _FIELD_END
    quote = '"' if separator == "," else None
    table = pl.read_csv(source, separator=separator, has_header=has_header, infer_schema=False, quote_char=quote)
    if not has_header:
        table.columns = [f"column_{number}" for number in range(1, table.width + 1)]
    return table.rename(lambda name: name.partition(":")[0]) if has_types else table
