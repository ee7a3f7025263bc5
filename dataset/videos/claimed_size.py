"""Tells from the headers of a video file whether the end of the file is missing."""

from pathlib import Path
from typing import BinaryIO

_READ_BYTES = 1 << 12
_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
_UNKNOWN_RIFF = (0, 0xFFFFFFFF)


def n_missing_bytes(path: Path) -> int:
    """Return by how many bytes a file is shorter than its headers say; 0 if they do not say it (a live recording)."""
    length = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_READ_BYTES)
        if start.startswith(_EBML):
            end = _end_of_matroska(start)
        elif start[4:8] in _FIRST_BOXES:
            end = _end_of_boxes(file, length)
        elif start.startswith(b"RIFF"):
            end = _end_of_riff(file, length)
        else:
            return 0
    return max(end - length, 0)


def _end_of_matroska(start: bytes) -> int:
    """Return where the segment of a Matroska or WebM file ends; 0 if its size is not known.

    Source: RFC 8794 (EBML), sections 4, 6 and 8; RFC 9559 (Matroska).
    """
    n_header, begin = _element_size(start, len(_EBML))
    segment = begin + (n_header or 0)
    if n_header is None or start[segment : segment + len(_SEGMENT)] != _SEGMENT:
        return 0
    n_segment, begin = _element_size(start, segment + len(_SEGMENT))
    return 0 if n_segment is None else begin + n_segment


def _element_size(content: bytes, at: int) -> tuple[int | None, int]:
    """Return the size of an element, None if it is not known, and where its data begin."""
    first = content[at] if at < len(content) else 0
    n_bytes = 9 - first.bit_length()
    bits = (1 << 7 * n_bytes) - 1
    size = int.from_bytes(content[at : at + n_bytes]) & bits
    return (None if size == bits or not first else size), at + n_bytes


def _end_of_boxes(file: BinaryIO, length: int) -> int:
    """Return where the last box of an MP4 or QuickTime file ends, or must at least end.

    The size of the last box of frames (`mdat`) does not count if an index (`moov`) lists them: that says more.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    at, name, names = 0, b"", set[bytes]()
    while at < length:
        file.seek(at)
        header = file.read(16)
        size, name = int.from_bytes(header[:4]), header[4:8]
        if len(header) < 8:
            return at + 8 if any(header) or b"moof" in names else 0  # else padding
        if size == 1:  # the size follows, in 64 bits
            size = int.from_bytes(header[8:16]) if len(header) == 16 else 16
        if size < 8 or not name.isalnum():  # up to the end of the file, or no box
            return 0
        at += size
        names.add(name)
    if name == b"moof":  # its frames are missing
        return at + 8
    is_listed = b"moov" in names and b"moof" not in names
    return 0 if name == b"mdat" and is_listed else at


def _end_of_riff(file: BinaryIO, length: int) -> int:
    """Return where the last part of an AVI file ends.

    Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991); OpenDML AVI 1.02.
    """
    at = end = 0
    while at < length:
        file.seek(at)
        header = file.read(8)
        size = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or size in _UNKNOWN_RIFF:
            break
        end = at + 8 + size
        at = end + size % 2  # padding
    return end
