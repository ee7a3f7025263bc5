"""Decodes picture files of any kind, and resizes and crops them to the extractor's input size.

The decoder processes run this module, so it imports only Pillow.
"""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""A picture with more pixels is rejected before decoding; the largest posters have about 40 million."""
MAX_FILE_BYTES = 1 << 29
_DRAWINGS = ("EPS", "WMF")
"""These formats hold programs that draw. Pillow runs EPS with Ghostscript; programs from the web must not run here."""

_FAST_MARGIN = 1.4
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if its shorter side stays at least this factor above the needed one.

On photographs, the crop then has a PSNR of 40 to 50 dB against full decoding; without a margin, 36 to 37 dB.
"""


class UnreadablePicture(Exception):  # noqa: N818 - an outcome that is recorded, not an error
    """A file cannot be decoded as a picture. The message is the reason."""


@dataclass(frozen=True)
class Geometry:
    """How a picture is cropped: resize the shorter side to `resize_px`, then keep the centre `crop_px` x `crop_px`."""

    resize_px: int
    crop_px: int
    interpolation: str


def read_picture(path: Path, image_sha256: str | None = None, min_side_px: int | None = None) -> Image.Image:
    """Decode a picture file as RGB: rotated by EXIF, transparency on white, the first frame of an animation.

    Args:
        path: the file.
        image_sha256: the expected SHA-256 of the file; None: any.
        min_side_px: a JPEG may be decoded at a fraction of its size whose shorter side is at least this;
            None: always decode fully.

    Raises:
        UnreadablePicture: the file is missing, changed, empty, truncated, too large or not a picture.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UnreadablePicture(f"too large: more than {MAX_FILE_BYTES >> 20} MiB")
        if image_sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise UnreadablePicture("the file has changed: its SHA-256 is not the one in images.parquet")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about oddities in files that it can read
            return _decode(content, min_side_px)
    except FileNotFoundError:
        raise UnreadablePicture("the file is missing") from None
    except UnidentifiedImageError:
        raise UnreadablePicture("not a picture that Pillow can read" if content else "the file is empty") from None
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"too large: {error}") from None
    except MemoryError:
        raise UnreadablePicture("cannot be decoded: it needs too much memory") from None
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's decoders raise about twenty kinds of errors on broken files
        raise UnreadablePicture(f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from None


def cut(picture: Image.Image, geometry: Geometry) -> Image.Image:
    """Resize a picture and crop its centre; the result equals that of torchvision's presets bit for bit.

    Raises:
        UnreadablePicture: the picture is so thin that the resized one would be too large.
    """
    width, height = picture.size
    short, long = sorted((width, height))
    long = int(geometry.resize_px * long / short)
    size = (geometry.resize_px, long) if width <= height else (long, geometry.resize_px)
    if max(size) * min(size) > MAX_PIXELS:
        raise UnreadablePicture(f"too thin: {width} x {height} pixels")
    resampling = Image.Resampling[geometry.interpolation.upper()]
    resized = picture if size == picture.size else picture.resize(size, resampling)
    left, top = (round((side - geometry.crop_px) / 2.0) for side in resized.size)
    return resized.crop((left, top, left + geometry.crop_px, top + geometry.crop_px))


def read_crop(path: Path, image_sha256: str, geometry: Geometry, fast: bool) -> bytes:
    """Return a picture's crop as bytes: (crop_px, crop_px, 3) uint8.

    Raises:
        UnreadablePicture: see `read_picture`.
    """
    min_side_px = math.ceil(_FAST_MARGIN * geometry.resize_px) if fast else None
    return cut(read_picture(path, image_sha256, min_side_px), geometry).tobytes()


def _decode(content: bytes, min_side_px: int | None) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        if picture.format in _DRAWINGS:
            raise UnreadablePicture(f"{picture.format} is refused, because it is a program, not pixels")
        if picture.width * picture.height > MAX_PIXELS:
            raise UnreadablePicture(f"too large: {picture.width} x {picture.height} pixels")
        if not min(picture.size):
            raise UnreadablePicture("it has no pixels")
        if min_side_px is not None:
            picture.draft(None, (min_side_px, min_side_px))  # only JPEG has a draft
        picture.load()
        return _as_rgb(ImageOps.exif_transpose(picture))


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = picture.point(lambda level: level / 256).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        white.alpha_composite(picture)
        picture = white
    return picture.convert("RGB")
