"""Reads NumPy's files: a `.npy` matrix, and the matrix and the ids of an `.npz`. Nothing is unpickled."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError
from dataset.reading.content import DECOMPRESSION_ERRORS
from dataset.reading.table import listed
from features.vectors.rows import (
    Floats,
    StridedRows,
    Vectors,
    block_rows,
    check_width,
    copied,
    number_type,
    spooled,
)

_LAST_CHARACTER = 0x10FFFF
_MAX_ID_BYTES = 1 << 30
_ALWAYS_UNPACKED_BYTES = 1 << 30
_MAX_COMPRESSION = 200
"""Features compress to a tenth at best; what claims far more is a trap or damaged."""


@dataclass(frozen=True)
class ArrayHeader:
    """What a `.npy` file says about its array; `offset` is where the numbers start, in bytes."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def n_bytes(self) -> int:
        """The size of the numbers."""
        return self.dtype.itemsize * math.prod(self.shape)


def read_header(file: IO[bytes], where: str) -> ArrayHeader:
    """Read the header of a `.npy` file.

    Raises:
        InvalidTableError: there is none, or it is damaged.
    """
    try:
        version = np.lib.format.read_magic(cast(BinaryIO, file))
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header of Python 2 is read all the same
            shape, is_fortran, dtype = read(cast(BinaryIO, file))
    except Exception as error:  # NumPy's parser of a damaged header raises many kinds of errors
        reason = " ".join(str(error).split())[:80]
        raise InvalidTableError(f"{where}: is no NumPy array, or damaged ({reason}); save it again") from None
    if any(length < 0 for length in shape):
        raise InvalidTableError(f"{where}: is damaged (its shape is {shape}); save it again")
    return ArrayHeader(shape, is_fortran, dtype, file.tell())


def read_npy(path: Path, scratch: BinaryIO, files: ExitStack) -> Vectors:
    """Read a `.npy` matrix: one vector per row.

    Args:
        path: the file.
        scratch: an empty file for rows that can only be read in their order.
        files: gets the open files to close.

    Raises:
        InvalidTableError: it is not a matrix of numbers, or is damaged.
    """
    file = files.enter_context(path.open("rb"))
    return Vectors("a NumPy array", _matrix(file, str(path), path.stat().st_size, scratch))


def _matrix(file: BinaryIO, where: str, size_bytes: int, scratch: BinaryIO) -> StridedRows:
    header = read_header(file, where)
    dtype = number_type(header.dtype, where)
    shape = header.shape
    if len(shape) != 2:
        raise InvalidTableError(f"{where}: has the shape {shape}; reshape it to one vector per row: (n, width)")
    n_rows, width = shape
    check_width(width, where)
    if size_bytes - header.offset != header.n_bytes:
        raise InvalidTableError(
            f"{where}: its header claims {header.n_bytes:,} bytes of numbers, and it has "
            f"{size_bytes - header.offset:,}; it is damaged, so save it again"
        )
    if header.is_fortran and n_rows > 1 and width > 1:
        return spooled(_row_blocks(file, header), scratch, width, where)
    return StridedRows(file, where, n_rows, width, dtype, header.offset)


def _row_blocks(file: BinaryIO, header: ArrayHeader) -> Iterator[Floats]:
    """Yield the rows of an array that is stored by columns. Each block is mapped anew, so memory stays bounded."""
    n_rows, width = header.shape
    at_once = block_rows(width)
    for start in range(0, n_rows, at_once):
        matrix = np.memmap(file, header.dtype, "r", header.offset, (n_rows, width), "F")
        yield np.array(matrix[start : start + at_once], order="C")


def read_npz(path: Path, array: str | None, scratch: BinaryIO, second: BinaryIO, files: ExitStack) -> Vectors:
    """Read an `.npz`: its only matrix (or the one that is named) and, if it has one, its array of ids.

    Args:
        path: the file.
        array: the name of the matrix, None if it is the only one.
        scratch: an empty file for the unpacked matrix.
        second: another one.
        files: gets the open files to close.

    Raises:
        InvalidTableError: it has no such matrix, or is damaged.
    """
    where = str(path)
    try:
        archive = files.enter_context(zipfile.ZipFile(path))
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        if not members:
            raise InvalidTableError(
                f"{where}: is a zip archive without NumPy arrays (PyTorch's files are pickles, which could run code); "
                "save the vectors with np.save"
            )
        headers = {name: _member_header(archive, member, where) for name, member in members.items()}
        chosen = _chosen(headers, array, where)
        info = archive.getinfo(members[chosen])
        if info.file_size > max(_ALWAYS_UNPACKED_BYTES, _MAX_COMPRESSION * info.compress_size):
            raise InvalidTableError(
                f"{where}: array {chosen!r} claims {info.file_size:,} bytes in {info.compress_size:,}, more than "
                "features can be compressed; get or create the file again"
            )
        with archive.open(info) as member:
            copied(member.read, scratch)
        scratch.seek(0)
        rows = _matrix(scratch, f"{where}: array {chosen!r}", info.file_size, second)
        ids = _ids(archive, members, headers, rows.n_rows, where)
    except DECOMPRESSION_ERRORS as error:
        reason = " ".join(str(error).split())[:80]
        raise InvalidTableError(f"{where}: cannot be read as an .npz ({reason}); save it again") from None
    return Vectors("a NumPy archive", rows, ids)


def _member_header(archive: zipfile.ZipFile, member: str, where: str) -> ArrayHeader:
    with archive.open(member) as file:
        return read_header(file, f"{where}: array {member.removesuffix('.npy')!r}")


def _chosen(headers: dict[str, ArrayHeader], array: str | None, where: str) -> str:
    matrices = [name for name, header in headers.items() if len(header.shape) == 2 and header.dtype.kind in "fiu"]
    if array is not None:
        if array not in headers:
            raise InvalidTableError(f"{where}: has no array {array!r}; it has {listed(headers)}: name one with --array")
        return array
    if len(matrices) != 1:
        raise InvalidTableError(
            f"{where}: has {len(matrices)} matrices of numbers among {listed(headers)}; name one with --array"
        )
    return matrices[0]


def _ids(
    archive: zipfile.ZipFile, members: dict[str, str], headers: dict[str, ArrayHeader], n_rows: int, where: str
) -> pl.Series | None:
    """Return the only one-dimensional array of texts or whole numbers of this length, None if there is none."""
    found = [name for name, header in headers.items() if header.shape == (n_rows,) and header.dtype.kind in "USiuO"]
    if len(found) != 1:
        return None
    with archive.open(members[found[0]]) as file:
        return read_id_array(file, f"{where}: array {found[0]!r}", archive.getinfo(members[found[0]]).file_size)


def read_id_array(file: IO[bytes], where: str, size_bytes: int) -> pl.Series:
    """Return the ids in a one-dimensional `.npy` array of texts or whole numbers, as text.

    Raises:
        InvalidTableError: it is something else.
    """
    header = read_header(file, where)
    if header.dtype.hasobject:
        raise InvalidTableError(
            f"{where}: holds ids as Python objects (a pickle), which could run code, so it is not read; "
            "save them as text: np.save(file, np.array(ids, dtype='U'))"
        )
    if len(header.shape) != 1 or header.dtype.kind not in "USiu":
        raise InvalidTableError(f"{where}: holds {header.dtype} of shape {header.shape}; ids are one column of text")
    if not header.shape[0] <= header.n_bytes <= min(_MAX_ID_BYTES, size_bytes):
        raise InvalidTableError(
            f"{where}: claims {header.shape[0]:,} ids in {header.n_bytes:,} bytes; it is damaged, so save it again"
        )
    content = file.read(header.n_bytes)
    if len(content) != header.n_bytes:
        raise InvalidTableError(f"{where}: ends too early; it is damaged, so save it again")
    values = np.frombuffer(content, header.dtype) if header.n_bytes else np.empty(header.shape, header.dtype)
    if header.dtype.kind == "U" and not _are_characters(values):
        raise InvalidTableError(f"{where}: holds ids that are no text; it is damaged, so save it again")
    try:
        texts = [one.decode() for one in values.tolist()] if header.dtype.kind == "S" else values.tolist()
        return pl.Series("id", [str(one) for one in texts], dtype=pl.String)
    except (UnicodeError, ValueError):  # bytes that are no text, or numbers that are no characters
        raise InvalidTableError(f"{where}: holds ids that are not UTF-8; save them as text") from None


def _are_characters(texts: npt.NDArray[Any]) -> bool:
    """Return whether all characters exist; NumPy makes a text of any numbers."""
    codes = texts.view(np.dtype("u4").newbyteorder(texts.dtype.byteorder))
    return not ((codes > _LAST_CHARACTER) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()
