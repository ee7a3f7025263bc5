"""Reads two binary kinds of files: Amazon's `.b` (ids and vectors by turns) and safetensors (named tensors).

Sources: https://jmcauley.ucsd.edu/data/amazon/links.html ("Visual Features": 10 characters, then 4,096 floats);
https://github.com/huggingface/safetensors ("Format": 8 bytes with the size of a JSON header, the header, the numbers).
"""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import polars as pl
from pydantic import AfterValidator, BaseModel, Field

from dataset.documents import Whole, parse_document
from dataset.errors import InvalidTableError
from dataset.reading.table import listed
from features.vectors.rows import Floats, Number, StridedRows, Vectors, check_width, no_problems

AMAZON_WIDTH = 4096
_ID_BYTES = 10
_MAX_HEADER_BYTES = 64 << 20
_NUMBERS: dict[str, Number] = {
    "F16": np.dtype("<f2"), "BF16": "bfloat16", "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
    "I8": np.dtype("i1"), "U8": np.dtype("u1"), "I16": np.dtype("<i2"), "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"), "U32": np.dtype("<u4"), "I64": np.dtype("<i8"), "U64": np.dtype("<u8"),
}  # fmt: skip
_AGAIN = "it is damaged or no safetensors file: save it again"


def read_amazon(path: Path, width: int | None, files: ExitStack) -> Vectors:
    """Read a `.b` file: records of a 10-byte id and float32 numbers.

    Args:
        path: the file.
        width: the numbers per vector; None: 4,096.
        files: gets the open file to close.

    Raises:
        InvalidTableError: its size is not that of whole records, or an id is not text.
    """
    width = AMAZON_WIDTH if width is None else width
    check_width(width, str(path))
    size, record = path.stat().st_size, _ID_BYTES + 4 * width
    if size % record:
        raise InvalidTableError(
            f"{path}: its {size:,} bytes are not whole records of a {_ID_BYTES}-byte id and {width:,} float32 numbers "
            f"({size % record:,} bytes are left); name the right --width, or get the file again"
        )
    file = files.enter_context(path.open("rb"))
    n_rows = size // record
    rows = StridedRows(file, str(path), n_rows, width, np.dtype("<f4"), _ID_BYTES, _ID_BYTES)
    ids = []
    for number in range(n_rows):
        file.seek(number * record)
        content = file.read(_ID_BYTES)
        try:
            ids.append(content.decode().strip("\0 "))
        except UnicodeDecodeError:
            raise InvalidTableError(
                f"{path}: the id of record {number:,} is not text, so its records have another length; "
                "name the right --width"
            ) from None
    return Vectors("Amazon's .b", rows, pl.Series("id", ids, dtype=pl.String))


def _in_order(offsets: list[int]) -> list[int]:
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError("Input should be the start and the end of the tensor")
    return offsets


class _Tensor(BaseModel):
    dtype: str
    shape: Annotated[list[Whole], Field(max_length=32)]
    data_offsets: Annotated[list[Whole], AfterValidator(_in_order)]


class _Header(BaseModel, extra="allow"):
    __pydantic_extra__: dict[str, _Tensor] = Field(init=False)
    metadata: Annotated[dict[str, Any] | None, Field(alias="__metadata__")] = None


class _TensorPerId:
    """One tensor per id; implements `Rows`."""

    def __init__(self, tensors: list[StridedRows], width: int, number: str) -> None:
        self._tensors = tensors
        self.n_rows, self.width, self.number = len(tensors), width, number

    def read(self, rows: Any) -> Floats:
        """Return the vectors of some rows."""
        first = np.zeros(1, np.int64)
        return np.concatenate([self._tensors[row].read(first) for row in rows])


def read_safetensors(path: Path, array: str | None, files: ExitStack) -> Vectors:
    """Read a safetensors file: its only matrix (or the one that is named), or one vector for each name.

    Args:
        path: the file.
        array: the name of the matrix, None if it is the only one.
        files: gets the open file to close.

    Raises:
        InvalidTableError: it holds neither, or is damaged.
    """
    file = files.enter_context(path.open("rb"))
    tensors, start = _tensors(path, file)
    matrices = [name for name, tensor in tensors.items() if len(tensor.shape) == 2]
    if array is not None and array not in tensors:
        raise InvalidTableError(f"{path}: has no tensor {array!r}; it has {listed(tensors)}: name one with --array")
    are_vectors = all(len(tensor.shape) == 1 or tensor.shape[:-1] == [1] for tensor in tensors.values())
    if array is None and are_vectors and (len(tensors) > 1 or not matrices) and tensors:
        return _one_per_id(path, file, tensors, start)
    if array is None and len(matrices) != 1:
        raise InvalidTableError(f"{path}: has {len(matrices)} matrices among {listed(tensors)}; name one with --array")
    name = matrices[0] if array is None else array
    return Vectors("a safetensors file", _strided(path, file, name, tensors[name], start))


def _one_per_id(path: Path, file: BinaryIO, tensors: dict[str, _Tensor], start: int) -> Vectors:
    """Return one row per tensor; a tensor of another width than most have is a problem."""
    widths = pl.Series([math.prod(tensor.shape) for tensor in tensors.values()], dtype=pl.Int64)
    width = int(widths.mode().min())  # type: ignore[arg-type]
    check_width(width, str(path))
    rows, problems = [], no_problems().to_dicts()
    for number, (name, tensor) in enumerate(tensors.items()):
        one = tensor.model_copy(update={"shape": [1, math.prod(tensor.shape)]})
        rows.append(_strided(path, file, name, one, start))
        if widths[number] != width:
            detail = f"{widths[number]:,} numbers; most have {width:,}"
            problems.append({"row": number, "reason": "vector of another width", "detail": detail})
    numbers = sorted({one.number for one in rows})
    found = _TensorPerId(rows, width, ", ".join(numbers))
    ids = pl.Series("id", list(tensors), dtype=pl.String)
    return Vectors("a safetensors file", found, ids, pl.DataFrame(problems, schema=no_problems().schema))


def _tensors(path: Path, file: BinaryIO) -> tuple[dict[str, _Tensor], int]:
    """Return the tensors that the header describes, and where their bytes start."""
    size = path.stat().st_size
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(size - 8, _MAX_HEADER_BYTES):
        raise InvalidTableError(f"{path}: its header claims {header_bytes:,} bytes; {_AGAIN}")
    header: _Header = parse_document(_Header, file.read(header_bytes), str(path), _AGAIN, InvalidTableError)
    tensors, start = header.__pydantic_extra__, 8 + header_bytes
    end = 0
    for begin, stop in sorted(tensor.data_offsets for tensor in tensors.values()):
        if begin != end:  # as the library does: no byte belongs to two tensors, or to none
            raise InvalidTableError(f"{path}: its tensors overlap or leave gaps; {_AGAIN}")
        end = stop
    if start + end != size:
        raise InvalidTableError(f"{path}: its header describes {end:,} bytes, and {size - start:,} follow it; {_AGAIN}")
    return tensors, start


def _strided(path: Path, file: BinaryIO, name: str, tensor: _Tensor, start: int) -> StridedRows:
    number = _NUMBERS.get(tensor.dtype)
    if number is None:
        raise InvalidTableError(f"{path}: tensor {name!r} holds {tensor.dtype[:20]!r}; save it as F16, BF16 or F32")
    if len(tensor.shape) != 2:
        raise InvalidTableError(
            f"{path}: tensor {name!r} has the shape {tensor.shape}; reshape it to one vector per row: (n, width)"
        )
    n_rows, width = tensor.shape
    check_width(width, str(path))
    begin, end = tensor.data_offsets
    rows = StridedRows(file, str(path), n_rows, width, number, start + begin)
    if rows.n_bytes != end - begin:
        raise InvalidTableError(
            f"{path}: tensor {name!r} has the shape {tensor.shape} and {end - begin:,} bytes; {_AGAIN}"
        )
    return rows
