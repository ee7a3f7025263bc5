"""Picture files: verified by decoding them whole, stored once each under their SHA-256.

A file is at `pictures/ab/ab…<sha256>.<ext>` in the crawl folder and is there, complete, before
the ledger says so.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dataset.files import atomic_path

MAX_SIZE_BYTES = 32 << 20
MAX_PIXELS = 64_000_000
PICTURE_HEADERS = {"Accept": "image/*", "Referer": "https://www.douban.com/"}  # without it the host says 418
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}


class BadPicture(Exception):  # noqa: N818 - an outcome, not an error
    """The bytes are not a picture that can be used; the message says why."""


@dataclass(frozen=True)
class Picture:
    """A stored picture file; `path` is relative to the crawl folder."""

    sha256: str
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    path: str


def store_picture(crawl_dir: Path, body: bytes) -> Picture:
    """Verify a picture and write its file, unless the same bytes are there already.

    Raises:
        BadPicture: empty, too large, of an unknown kind, or broken.
        PipelineError: the file cannot be written.
    """
    picture = verify_picture(body)
    path = crawl_dir / picture.path
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_bytes(body)
    return picture


def verify_picture(body: bytes) -> Picture:
    """Decode a picture whole and return what it is; the format is that of the bytes, whatever the label said.

    Raises:
        BadPicture: empty, too large, of an unknown kind, or broken.
    """
    if not 0 < len(body) <= MAX_SIZE_BYTES:
        raise BadPicture(f"{len(body):,} bytes (1 to {MAX_SIZE_BYTES:,} are taken)")
    try:
        with Image.open(io.BytesIO(body), formats=list(EXTENSIONS)) as image:
            width_px, height_px, kind = image.width, image.height, str(image.format)
            if width_px * height_px > MAX_PIXELS:
                raise BadPicture(f"{width_px} x {height_px} pixels ({MAX_PIXELS:,} are taken at most)")
            image.load()
    except UnidentifiedImageError:
        raise BadPicture("not a JPEG, PNG, WebP or GIF picture") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadPicture(f"cannot be decoded ({error})") from error
    sha256 = hashlib.sha256(body).hexdigest()
    path = f"pictures/{sha256[:2]}/{sha256}.{EXTENSIONS[kind]}"
    return Picture(sha256, kind.lower(), width_px, height_px, len(body), path)
