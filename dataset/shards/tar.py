"""Reads tar files, also compressed with gzip, such as the shards of WebDataset.

A tar can be read anywhere. A compressed one is read from its start: its pictures in order are one pass, but each
step back begins again.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from dataset.pictures.protocol import MAX_FILE_BYTES
from dataset.shards.shard import TOO_LARGE, Entry, Kind, damaged

_BLOCK = 512
_MAX_HEADER_BYTES = 1 << 20
_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeError, ValueError)  # OSError: also of gzip


class TarShard:
    """A tar file; implements `Shard`. A place is the first byte and the number of bytes, both when unpacked."""

    column = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        self.kind: Kind = "tar.gz" if is_gzip else "tar"
        self._file = cast(IO[bytes], gzip.GzipFile(path) if is_gzip else path.open("rb"))

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the tar; see `Shard.entries`."""
        try:
            with tarfile.open(fileobj=cast(IO[bytes], _Headers(self._file)), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    cast(Any, tar).members.clear()  # a million of them take a gigabyte
                    if not member.isdir():
                        yield _entry(member)
                self._require_end(tar.offset)
        except _ERRORS as error:
            raise damaged(self.path, error) from None

    def read(self, place: str) -> bytes:
        """Return the bytes of a file; see `Shard.read`."""
        try:
            start, size = map(int, place.split(":"))
            self._file.seek(start)
            content = self._file.read(min(size, MAX_FILE_BYTES))
        except _ERRORS as error:
            raise damaged(self.path, error) from None
        if len(content) != size:
            raise damaged(self.path, f"it ends within {size:,} bytes from byte {start:,}")
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _require_end(self, offset: int) -> None:
        """Check that the tar ends with zeros: without them, it may have been cut off between two files."""
        self._file.seek(offset)
        if self._file.read(_BLOCK) != bytes(_BLOCK):
            raise damaged(self.path, "it has no end mark")
        while rest := self._file.read(_MAX_HEADER_BYTES):
            if rest.strip(b"\0"):
                raise damaged(self.path, "more follows its end mark; to join tars, use `tar --concatenate`")


class _Headers:
    """A file of which only headers are read: a header that claims to be long is damaged."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, n_bytes: int) -> bytes:
        if n_bytes > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {n_bytes:,} bytes")
        return self._file.read(n_bytes)


def _entry(member: tarfile.TarInfo) -> Entry:
    place = f"{member.offset_data}:{member.size}"
    problem = ""
    sparse: Any = member.issparse()
    if member.issym() or member.islnk():
        problem = "a link in a tar; create the tar with `tar --dereference --hard-dereference`"
    elif not member.isreg():
        problem = "not a file but a pipe or device"
    elif sparse:
        problem = "a sparse file in a tar; create the tar without --sparse"
    elif member.size > MAX_FILE_BYTES:
        problem = TOO_LARGE
    return Entry(member.name, place, member.size, problem)
