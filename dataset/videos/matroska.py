"""Tells from the first bytes of a Matroska or WebM file whether the end of the file is missing."""

from pathlib import Path

_HEADER, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_READ_BYTES = 1 << 12


def n_missing_bytes(path: Path) -> int:
    """Return by how many bytes a file is shorter than it claims; 0 if it claims nothing (a live recording).

    Source: RFC 8794 (EBML), sections 4, 6 and 8; RFC 9559 (Matroska).
    """
    with path.open("rb") as file:
        start = file.read(_READ_BYTES)
    if not start.startswith(_HEADER):
        return 0
    n_header, begin = _size_at(start, len(_HEADER))
    segment = begin + (n_header or 0)
    if n_header is None or start[segment : segment + len(_SEGMENT)] != _SEGMENT:
        return 0
    n_segment, begin = _size_at(start, segment + len(_SEGMENT))
    return 0 if n_segment is None else max(begin + n_segment - path.stat().st_size, 0)


def _size_at(content: bytes, at: int) -> tuple[int | None, int]:
    """Return the size of an element, None if it is not known, and where its data begin."""
    first = content[at] if at < len(content) else 0
    n_bytes = 9 - first.bit_length()
    bits = (1 << 7 * n_bytes) - 1
    size = int.from_bytes(content[at : at + n_bytes]) & bits
    return (None if size == bits or not first else size), at + n_bytes
