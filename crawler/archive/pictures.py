"""Verifies picture files by decoding them completely, and stores each once under its SHA-256.

A file is at `pictures/ab/ab…<sha256>.<ext>` in the crawl folder. It is complete before the ledger names it.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from crawler.page import BadPicture
from dataset.errors import MissingInputError
from dataset.files import atomic_path

MAX_SIZE_BYTES = 32 << 20
MAX_PIXELS = 64_000_000
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}


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
    """Decode a picture completely and describe it; the format comes from the bytes, not from a file name or header.

    Raises:
        BadPicture: the bytes are empty, too large, of an unknown format, or broken.
    """
    if not 0 < len(body) <= MAX_SIZE_BYTES:
        raise BadPicture(f"{len(body):,} bytes (1 to {MAX_SIZE_BYTES:,} are accepted)")
    try:
        with Image.open(io.BytesIO(body), formats=list(EXTENSIONS)) as image:
            width_px, height_px, kind = image.width, image.height, str(image.format)
            if width_px * height_px > MAX_PIXELS:
                raise BadPicture(f"{width_px} x {height_px} pixels (at most {MAX_PIXELS:,} are accepted)")
            image.load()
    except UnidentifiedImageError:
        raise BadPicture("not a JPEG, PNG, WebP or GIF picture") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadPicture(f"cannot be decoded ({error})") from error
    sha256 = hashlib.sha256(body).hexdigest()
    path = f"pictures/{sha256[:2]}/{sha256}.{EXTENSIONS[kind]}"
    return Picture(sha256, kind.lower(), width_px, height_px, len(body), path)
