"""Reads a folder of `<id>.npy` files, each with one vector, as Ducho writes them."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError, TooLittleDataError
from dataset.files import sha256_of_file
from dataset.formats.picture_files import Found, files_of
from features.vectors.arrays import read_header
from features.vectors.rows import Floats, StridedRows, Vectors, check_width, no_problems, number_type

_SUFFIX = ".npy"


@dataclass(frozen=True)
class _FileRows:
    """One file per row; implements `Rows`."""

    files: list[Found]
    width: int
    number: str

    @property
    def n_rows(self) -> int:
        return len(self.files)

    def read(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return the vectors of some files."""
        return np.concatenate([_read(self.files[row].path, self.width) for row in rows])


def read_folder(folder: Path) -> Vectors:
    """Read the vectors of a folder and its subfolders; a file's name without `.npy` is its id.

    Raises:
        TooLittleDataError: it holds no vector.
    """
    files = files_of(folder)
    found: dict[int, tuple[int, np.dtype[Any]]] = {}
    problems: list[dict[str, object]] = []
    for row, file in enumerate(files):
        try:
            found[row] = _look_at(file)
        except InvalidTableError as error:
            detail = str(error).removeprefix(f"{file.path}: ")
            problems.append(
                {"row": row, "reason": "no vector in the file", "detail": f"{file.printable_name}: {detail}"}
            )
    if not found:
        example = f"; for example {problems[0]['detail']}" if problems else ""
        raise TooLittleDataError(f"{folder}: none of its {len(files):,} files is a vector named <id>.npy{example}")
    width = Counter(width for width, _ in found.values()).most_common(1)[0][0]
    check_width(width, str(folder))
    for row, (other, _) in found.items():
        if other != width:
            detail = f"{files[row].printable_name}: {other:,} numbers; most have {width:,}"
            problems.append({"row": row, "reason": "vector of another width", "detail": detail})
    numbers = sorted({dtype.name for _, dtype in found.values()})
    ids = [file.name.removesuffix(_SUFFIX) if file.is_utf8 else None for file in files]
    return Vectors(
        "a folder of .npy files",
        _FileRows(files, width, ", ".join(numbers)),
        pl.Series("id", ids, dtype=pl.String),
        pl.DataFrame(problems, schema=no_problems().schema),
    )


def one_line(name: str) -> str:
    """Return the name of a file or folder on one line, as UTF-8 can hold it."""
    return " ".join(name.encode("utf-8", "replace").decode().split())


def sha256_of_folder(folder: Path, with_hidden: bool = True) -> str:
    """Return the SHA-256 of a folder's files: of one line `<SHA-256> <name>` per file, sorted by name.

    Args:
        folder: the folder.
        with_hidden: whether files count whose name, or a folder's, starts with a dot.
    """
    digest = hashlib.sha256()
    for file in files_of(folder):
        if not file.problem and (with_hidden or not f"/{file.name}".count("/.")):
            name = file.name.encode("utf-8", "surrogateescape")
            digest.update(sha256_of_file(file.path).encode() + b" " + name + b"\n")
    return digest.hexdigest()


def _look_at(file: Found) -> tuple[int, np.dtype[Any]]:
    if file.problem or not file.is_utf8:
        raise InvalidTableError(file.problem or "its name is not UTF-8")
    if not file.name.endswith(_SUFFIX):
        raise InvalidTableError("is not named <id>.npy")
    return _header(file.path)[:2]


def _header(path: Path) -> tuple[int, np.dtype[Any], int]:
    """Return the width of the vector in a file, the type of its numbers, and where they start."""
    try:
        with path.open("rb") as file:
            header = read_header(file, str(path))
            size = path.stat().st_size
    except OSError as error:
        raise InvalidTableError(f"{path}: cannot be read ({error.strerror})") from None
    dtype = number_type(header.dtype, str(path))
    width = max(header.shape, default=1)
    if header.n_bytes != width * dtype.itemsize or header.n_bytes == 0:
        raise InvalidTableError(f"{path}: has the shape {header.shape}, not that of one vector")
    if size - header.offset != header.n_bytes:
        raise InvalidTableError(f"{path}: is damaged: its header claims another number of bytes")
    return width, dtype, header.offset


def _read(path: Path, width: int) -> Floats:
    found, dtype, offset = _header(path)
    if found != width:
        raise InvalidTableError(f"{path}: was changed while it was read; run this again")
    with path.open("rb") as file:
        return StridedRows(file, str(path), 1, width, dtype, offset).read(np.zeros(1, np.int64))
