"""Vectors in a file, read by row number, in bounded memory."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError

Floats = npt.NDArray[Any]
"""(n, width) float16, float32 or float64."""

BLOCK_BYTES = 32 << 20
MAX_WIDTH = 65_536
"""More numbers per vector are taken for a mistake: a picture, or a matrix that is stored the other way round."""

_COPY_BYTES = 8 << 20

Number = np.dtype[Any] | Literal["bfloat16"]


class Rows(Protocol):
    """Vectors that are read by their row numbers."""

    @property
    def n_rows(self) -> int:
        """The number of rows."""

    @property
    def width(self) -> int:
        """The numbers per vector."""

    @property
    def number(self) -> str:
        """The type of a number in the file, such as `float32`."""

    def read(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return the vectors of some rows, in any order, (n, width)."""


@dataclass(frozen=True)
class Vectors:
    """The vectors of a file or folder.

    Attributes:
        kind: what was read, such as "a NumPy array", for messages.
        rows: the vectors.
        ids: the id of each row, as text; null where it has none. None if the file holds no ids.
        problems: the rows that hold no vector: `row`, `reason`, `detail`.
    """

    kind: str
    rows: Rows
    ids: pl.Series | None = None
    problems: pl.DataFrame = field(default_factory=lambda: no_problems())


def no_problems() -> pl.DataFrame:
    """Return `Vectors.problems` without a row."""
    return pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String, "detail": pl.String})


@dataclass(frozen=True)
class StridedRows:
    """Rows of equal length in a binary file; implements `Rows`.

    Attributes:
        file: the open file.
        where: its name, for messages.
        n_rows: the number of rows.
        width: the numbers per row.
        dtype: the type of a number, of any byte order.
        offset: where the first vector starts, in bytes.
        gap: the bytes between two vectors.
    """

    file: BinaryIO
    where: str
    n_rows: int
    width: int
    dtype: Number
    offset: int = 0
    gap: int = 0

    @property
    def number(self) -> str:
        """The type of a value in the file."""
        return self.dtype if isinstance(self.dtype, str) else self.dtype.name

    @property
    def n_bytes(self) -> int:
        """The bytes that all rows take in the file, from the first vector's first number to the last one's last."""
        return max(0, self.n_rows * (self._row_bytes + self.gap) - self.gap)

    @property
    def _row_bytes(self) -> int:
        return self.width * _stored_as(self.dtype).itemsize

    def read(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return the vectors of some rows; those that follow each other in the file are read at once."""
        raw = np.empty((len(rows), self._row_bytes), np.uint8)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        for start, end in zip(starts, [*starts[1:], len(rows)][: len(starts)], strict=True):
            raw[start:end] = self._run(int(rows[start]), int(end - start))
        return decoded(raw.view(_stored_as(self.dtype)), self.dtype)

    def _run(self, first: int, n: int) -> npt.NDArray[np.uint8]:
        stride = self._row_bytes + self.gap
        wanted = n * stride - self.gap
        content = os.pread(self.file.fileno(), wanted, self.offset + first * stride)
        if len(content) != wanted:
            raise InvalidTableError(f"{self.where}: ends too early; was it changed while it was read? Run this again")
        return np.frombuffer(content + bytes(self.gap) if self.gap else content, np.uint8).reshape(n, stride)[
            :, : self._row_bytes
        ]


def number_type(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    """Return the type of an array's numbers, after checking that they can be a vector's.

    Raises:
        InvalidTableError: they cannot.
    """
    if dtype.hasobject:
        raise InvalidTableError(
            f"{where}: holds Python objects (a pickle), which could run code, so it is not read; "
            "save it as numbers: np.save(file, np.stack(vectors).astype('float32'))"
        )
    is_usable = dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize <= 8)
    if not is_usable or dtype.shape:
        raise InvalidTableError(f"{where}: holds {dtype}; vectors are of float16, float32, float64 or whole numbers")
    return dtype


def check_width(width: int, where: str) -> None:
    """Check how many numbers a vector has.

    Raises:
        InvalidTableError: none, or more than a feature has.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise InvalidTableError(f"{where}: has {width:,} numbers per vector; a feature has 1 to {MAX_WIDTH:,}")


def decoded(raw: npt.NDArray[Any], dtype: Number) -> Floats:
    """Return numbers of any type as float16, float32 or float64 of this machine's byte order, without any loss.

    64-bit whole numbers beyond 2**53 are the exception.
    """
    if isinstance(dtype, str):  # a bfloat16 is the upper half of a float32
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype.kind in "iu":
        return raw.astype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return raw.astype(dtype.newbyteorder("="), copy=False)


def _stored_as(dtype: Number) -> np.dtype[Any]:
    return np.dtype("<u2") if isinstance(dtype, str) else dtype


def block_rows(width: int) -> int:
    """Return how many rows to handle at once: `BLOCK_BYTES` of float32, or one row."""
    return max(1, BLOCK_BYTES // (4 * width))


def spooled(blocks: Iterable[Floats], scratch: BinaryIO, width: int, where: str) -> StridedRows:
    """Write rows that can only be read in their order to a scratch file, where they can be read in any order."""
    n_rows, dtype = 0, np.dtype(np.float32)
    for block in blocks:
        n_rows, dtype = n_rows + len(block), block.dtype
        scratch.write(np.ascontiguousarray(block).data)
    scratch.flush()
    return StridedRows(scratch, where, n_rows, width, dtype)


def copied(read: Callable[[int], bytes], scratch: BinaryIO) -> None:
    """Copy a stream to a scratch file."""
    while block := read(_COPY_BYTES):
        scratch.write(block)
    scratch.flush()
