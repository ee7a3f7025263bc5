"""Verifies picture files by decoding them completely, and stores each once under its SHA-256.

A file is at `pictures/ab/ab…<sha256>.<ext>` in the crawl folder. It is complete before the ledger names it.
"""

from dataclasses import dataclass
from pathlib import Path

from crawler.page import BadPicture
from dataset.errors import MissingInputError
from dataset.files import atomic_path
from dataset.pictures.pool import shared_pool
from dataset.pictures.protocol import UnreadablePicture


@dataclass(frozen=True)
class Picture:
    """A picture file; `path` is relative to the crawl folder."""

    sha256: str
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    path: str


def write_picture(crawl_dir: Path, picture: Picture, body: bytes) -> None:
    """Write a verified picture's file, unless the same bytes are stored already.

    Raises:
        PipelineError: the file cannot be written.
    """
    path = crawl_dir / picture.path
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(body)


def read_picture(crawl_dir: Path, path: str) -> bytes:
    """Return the bytes of a picture file that the archive names.

    Raises:
        MissingInputError: the file is missing.
    """
    file = crawl_dir / path
    if not file.is_file():
        raise MissingInputError(f"{file}: the archive names this picture, but the file is missing; put it back")
    return file.read_bytes()


def verify_picture(body: bytes) -> Picture:
    """Decode a picture completely, in a decoder process, and describe it; its format comes from the bytes alone.

    Raises:
        BadPicture: the bytes are empty, too large, of a format that is not allowed, or broken, or take too long.
        PipelineError: the decoder process does not start.
    """
    try:
        found = shared_pool().check(body)
    except UnreadablePicture as reason:
        raise BadPicture(str(reason)) from None
    return Picture(found.sha256, found.format, found.width_px, found.height_px, found.size_bytes, found.path)
