"""Reads zip files, also larger than 4 GiB, whose members are stored or compressed with deflate."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from dataset.errors import InvalidTableError
from dataset.pictures.protocol import MAX_FILE_BYTES
from dataset.shards.shard import AGAIN, TOO_LARGE, Entry, Kind, damaged

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_IS_ENCRYPTED = 0x1 | 0x40
_ERRORS = (zipfile.BadZipFile, OSError, EOFError, zlib.error, UnicodeError, ValueError, NotImplementedError)


class ZipShard:
    """A zip file; implements `Shard`.

    A place is the first byte, the number of bytes in the file, and then, if it is compressed, that when unpacked.

    Raises:
        InvalidTableError: it is damaged, or a member is encrypted.
    """

    column = ""
    kind: Kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")

    def entries(self) -> Iterator[Entry]:
        """Yield the members by their place in the file; see `Shard.entries`."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        except _ERRORS as error:
            raise damaged(self.path, error) from None
        locked = [member.filename for member in members if member.flag_bits & _IS_ENCRYPTED]
        if locked:
            raise InvalidTableError(
                f"{self.path}: {len(locked):,} members are encrypted (for example {locked[0]!r}); unpack it with its "
                "password, and name the folder"
            )
        end = 0
        for member in members:
            if member.header_offset < end:
                raise damaged(self.path, f"its members overlap at {member.filename!r}")
            start = self._start_of(member)
            end = start + member.compress_size
            if not member.is_dir():
                yield _entry(member, start)

    def read(self, place: str) -> bytes:
        """Return the bytes of a member; see `Shard.read`."""
        try:
            start, size, *unpacked = map(int, place.split(":"))
            self._file.seek(start)
            content = self._file.read(min(size, MAX_FILE_BYTES + 1))
            if unpacked:
                size = unpacked[0]
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, min(size, MAX_FILE_BYTES) + 1)
        except _ERRORS as error:
            raise damaged(self.path, error) from None
        if len(content) != size:
            raise damaged(self.path, f"the member at byte {start:,} has not {size:,} bytes")
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _start_of(self, member: zipfile.ZipInfo) -> int:
        """Return where a member's bytes begin: behind a header of its own."""
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise damaged(self.path, f"no member at byte {member.header_offset:,}")
        _, n_name, n_extra = _LOCAL_HEADER.unpack(header)
        return int(member.header_offset + _LOCAL_HEADER.size + n_name + n_extra)


def _entry(member: zipfile.ZipInfo, start: int) -> Entry:
    problem, place = "", f"{start}:{member.compress_size}"
    if member.compress_type == zipfile.ZIP_DEFLATED:
        place += f":{member.file_size}"
    elif member.compress_type != zipfile.ZIP_STORED:
        name = zipfile.compressor_names.get(member.compress_type, "an unknown method")  # type: ignore[attr-defined]
        problem = f"compressed with {name}; {AGAIN} with deflate"
    if max(member.file_size, member.compress_size) > MAX_FILE_BYTES:
        problem = TOO_LARGE
    return Entry(member.filename.replace("\\", "/"), place, member.file_size, problem)
