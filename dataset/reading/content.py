"""What a file holds, by its first bytes and never by its name; opens compressed text."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from dataset.errors import InvalidTableError, MissingInputError

Compression = Literal["gzip", "bzip2", "xz", "zstd", "zip"]

_COMPRESSIONS: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""What compressed files are usually named; only their content decides."""

_OTHER = {
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"%PDF": "a PDF document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x04\x22\x4d\x18": "an LZ4 file",
    b"PK\x05\x06": "an empty zip archive",
    b"<?xml": "an XML document",
}
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\]\x8c(]", re.DOTALL)
_HTML = re.compile(rb"\s*<(!doctype|html|table|head|body)\b", re.IGNORECASE)
_JSON = re.compile(rb"""\s*(\{\s*["'}]|\[\s*[\[{"\]])""")
_JSON_KIND = "JSON"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"
_HEAD_BYTES = 4096
_CONVERT = "save it as CSV or Parquet"

# zipfile raises a RuntimeError for an encrypted file, and its subclass NotImplementedError for an unknown compression.
DECOMPRESSION_ERRORS = (EOFError, OSError, RuntimeError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet.

    Raises:
        MissingInputError: there is no such file, or it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be opened ({error.strerror or error})") from None


def compression_of(path: Path) -> Compression | None:
    """Return how a file is compressed, None if it is not."""
    with path.open("rb") as file:
        head = file.read(8)
    return next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)


class Readable(Protocol):
    """What `open_bytes` opens."""

    def read(self, n_bytes: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""


@contextmanager
def open_bytes(path: Path) -> Iterator[Readable]:
    """Open a file; what is compressed is read uncompressed.

    Raises:
        InvalidTableError: a zip archive does not hold exactly one file.
        DECOMPRESSION_ERRORS: the file is damaged or locked (also later, while it is read).
    """
    match compression_of(path):
        case "gzip":
            with gzip.open(path) as file:
                yield file
        case "bzip2":
            with bz2.open(path) as file:
                yield file
        case "xz":
            with lzma.open(path) as file:
                yield file
        case "zstd":
            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as file:
                yield file
        case "zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as file:
                yield file
        case _:
            with path.open("rb") as file:
                yield file


def refuse_other_content(path: Path, head: bytes, option: str | None, has_json: bool = False) -> None:
    """Check that the start of a file, uncompressed, can be that of a text table.

    Args:
        path: the file, for the message.
        head: its first bytes.
        option: the option that names the encoding, for messages; None if the user named it, so that bytes of 0
            are normal, as in UTF-16.
        has_json: whether it may be JSON or look like it.

    Raises:
        InvalidTableError: the file is of another kind; the message shows nothing of its content.
    """
    head = head[:_HEAD_BYTES]
    kind = _kind_of(head.removeprefix(_UTF_8_MARK))
    if kind and not (has_json and kind == _JSON_KIND):
        raise InvalidTableError(f"{path}: is {kind}, not a text table or Parquet; {_CONVERT}")
    if option is None:
        return
    if head.startswith(_UTF_16):
        raise InvalidTableError(f"{path}: is UTF-16, not UTF-8; pass {option} utf-16")
    if b"\x00" in head:
        zeros = [head[start::2].count(0) for start in (0, 1)]
        if max(zeros) > len(head) // 8 and min(zeros) * 8 < max(zeros):
            name = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
            raise InvalidTableError(f"{path}: looks like UTF-16, not UTF-8; pass {option} {name}")
        raise InvalidTableError(f"{path}: holds binary data, not a text table or Parquet; {_CONVERT}")


def _kind_of(head: bytes) -> str | None:
    """Return in words what kind of file starts with `head`, None if it may be a text table."""
    for magic, kind in _OTHER.items():
        if head.startswith(magic):
            return kind
    if any(head.startswith(magic) for magic in _COMPRESSIONS):
        return "a compressed file inside a compressed file"
    if head.startswith(b"PAR1"):
        return "a compressed Parquet file"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if _PICKLE.match(head):
        return "a Python pickle"
    if _HTML.match(head):
        return "an HTML page"
    return _JSON_KIND if _JSON.match(head) else None


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    names = set(archive.namelist())
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise InvalidTableError(f"{path}: is an Excel workbook or another office document, not a table; {_CONVERT}")
    members = [
        member for member in archive.infolist() if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise InvalidTableError(f"{path}: is a zip archive of {len(members)} files; unpack it and name the file")
    return members[0]
