"""Opens feature vectors of any kind that we read: the content decides the kind, and for Amazon's `.b` the name."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, BinaryIO, cast

import polars as pl

from dataset.errors import InvalidTableError, MissingInputError, UsageError
from features.vectors.arrays import read_npy, read_npz
from features.vectors.binary import read_amazon, read_safetensors
from features.vectors.config import VectorsConfig
from features.vectors.folder import read_folder
from features.vectors.ids import read_id_file
from features.vectors.rows import Vectors
from features.vectors.tables import read_vector_table

_KINDS = "a .npy or .npz, a folder of <id>.npy, a Parquet or Arrow table, Amazon's .b, or a safetensors file"
_ARROW_STREAM = b"\xff\xff\xff\xff"


def open_vectors(
    path: Path, config: VectorsConfig, scratch_folder: Path, files: ExitStack
) -> tuple[Vectors, pl.Series]:
    """Open vectors; return them, and the id of each row as text, null where it has none.

    Args:
        path: the file or folder.
        config: how to read it.
        scratch_folder: where to put unpacked vectors while they are needed; nothing stays there.
        files: gets the open files to close.

    Raises:
        MissingInputError: a file is missing.
        UsageError: an option does not fit the kind.
        InvalidTableError: it is of another kind or damaged, or has no ids.
    """
    vectors = _open(path, config, scratch_folder, files)
    n_rows = vectors.rows.n_rows
    if config.row_numbers:
        if config.ids is not None:
            raise UsageError("--row-numbers and --ids: the ids are the row numbers or in a file, not both")
        return vectors, pl.Series("id", range(n_rows), dtype=pl.Int64).cast(pl.String)
    if config.ids is not None:
        ids = read_id_file(config.ids, config.id_column)
        if len(ids) != n_rows:
            raise InvalidTableError(
                f"{config.ids}: has {len(ids):,} ids, and {path} has {n_rows:,} vectors; each vector needs "
                "its id (of a table with a header, name the column with --id-column)"
            )
        return vectors, ids
    if vectors.ids is None:
        raise UsageError(
            f"{path}: {vectors.kind} without ids; pass --ids with a file of ids in the order of the vectors, or "
            "--row-numbers if the vectors are in the order of ids 0, 1, 2, …"
        )
    return vectors, vectors.ids


def _open(path: Path, config: VectorsConfig, scratch_folder: Path, files: ExitStack) -> Vectors:
    def scratch() -> BinaryIO:
        made: IO[bytes] = files.enter_context(tempfile.TemporaryFile(dir=scratch_folder))  # noqa: SIM115 - it is closed
        return cast(BinaryIO, made)

    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file or folder of vectors; it should be {_KINDS}")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be opened ({error.strerror})") from None
    if path.suffix == ".b":  # its first bytes are an id, which may look like the start of another kind
        return read_amazon(path, config.width, files)
    if head.startswith(b"\x93NUMPY"):
        return read_npy(path, scratch(), files)
    if head.startswith(b"PK"):
        return read_npz(path, config.array, scratch(), scratch(), files)
    if head.startswith((b"PAR1", b"ARROW1", _ARROW_STREAM)):
        id_column = None if config.ids else config.id_column
        return read_vector_table(path, id_column, config.feature_column, scratch(), files)
    if head[8:] == b"{":
        return read_safetensors(path, config.array, files)
    is_pickle = head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    reason = "a pickle, which could run code" if is_pickle else "of another kind"
    raise InvalidTableError(f"{path}: is {reason}; save the vectors as {_KINDS}")
