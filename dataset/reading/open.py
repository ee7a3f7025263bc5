"""Opens a user's file with the reader that its content asks for."""

from pathlib import Path

from dataset.errors import InvalidTableError, MissingInputError
from dataset.reading.content import is_parquet
from dataset.reading.parquet import ParquetFile
from dataset.reading.table import FileOptions, UserFile
from dataset.reading.text import TextFile


def open_user_file(path: Path, options: FileOptions, what: str) -> UserFile:
    """Open a text table or a Parquet file.

    Args:
        path: the file.
        options: how to read a text file.
        what: what the file holds ("ratings"), for messages.

    Raises:
        MissingInputError: the file is missing.
        UsageError: an option's value is impossible.
        InvalidTableError: the file is of another kind, damaged, or its first line may be names or data.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such {what} file; name a text table (.csv, .tsv, …) or a Parquet file")
    if is_parquet(path):
        return ParquetFile(path)
    if path.suffix == ".parquet":
        raise InvalidTableError(f"{path}: cannot be read as Parquet (it is of another kind); check the file")
    return TextFile(path, options)
