"""What a decoder process does with a picture: check it, cut it for an extractor, make a thumbnail of it.

Each operation takes a picture (a file or its bytes) and fields of JSON, and returns bytes.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from dataset.pictures.decoding import decode, format_of, is_plain_jpeg, open_picture, read_content, read_picture
from dataset.pictures.protocol import CELLS_PER_SIDE, MAX_PIXELS, Checked, Geometry, UnreadablePicture

_FAST_MARGIN = 1.4
"""A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if its shorter side stays at least this factor above the needed one.

On photographs, the crop then has a PSNR of 40 to 50 dB against full decoding; without a margin, 36 to 37 dB.
"""
_THUMBNAIL_QUALITY = 76


def check(source: Path | bytes) -> bytes:
    """Decode a picture completely and return its `Checked` as JSON.

    Raises:
        UnreadablePicture: see `read_picture`.
    """
    content = read_content(source)
    with open_picture(content) as picture:
        picture.load()
        size, name = picture.size, format_of(picture)
        cells = decode(picture).resize((CELLS_PER_SIDE, CELLS_PER_SIDE), Image.Resampling.BOX).tobytes().hex()
    return json.dumps(asdict(Checked(hashlib.sha256(content).hexdigest(), name, *size, len(content), cells))).encode()


def identify(source: Path | bytes) -> bytes:
    """Return the name of a picture's format, without decoding its pixels.

    Raises:
        UnreadablePicture: see `read_picture`.
    """
    with open_picture(read_content(source)) as picture:
        return format_of(picture).encode()


def crop(source: Path | bytes, image_sha256: str, geometry: Sequence[Any], fast: bool) -> bytes:
    """Return a picture's crop: (crop_px, crop_px, 3) uint8.

    Args:
        source: the picture.
        image_sha256: its SHA-256.
        geometry: the fields of a `Geometry`.
        fast: decode large JPEGs at a fraction of their size.

    Raises:
        UnreadablePicture: see `read_picture` and `cut`.
    """
    return _crop(read_content(source, image_sha256), Geometry(*geometry), fast)


def crop_or_jpeg(
    source: Path | bytes, image_sha256: str, geometry: Sequence[Any], fast: bool, keeps_jpegs: bool
) -> tuple[bool, bytes]:
    """Return whether a picture is left as it is, and its bytes or its crop.

    Args:
        source: the picture.
        image_sha256: its SHA-256.
        geometry: the fields of a `Geometry`.
        fast: decode large JPEGs at a fraction of their size.
        keeps_jpegs: leave a JPEG that a GPU can decode (`is_plain_jpeg`) as it is.

    Raises:
        UnreadablePicture: see `read_picture` and `cut`.
    """
    content = read_content(source, image_sha256)
    if keeps_jpegs and is_plain_jpeg(content):
        return True, content
    return False, _crop(content, Geometry(*geometry), fast)


def _crop(content: bytes, geometry: Geometry, fast: bool) -> bytes:
    min_side_px = math.ceil(_FAST_MARGIN * geometry.resize_px) if fast else None
    return cut(read_picture(content, min_side_px=min_side_px), geometry).tobytes()


def thumbnail(source: Path | bytes, max_size_px: Sequence[int]) -> bytes:
    """Return a small WebP copy of a picture, at most `max_size_px` (width, height).

    Raises:
        UnreadablePicture: see `read_picture`.
    """
    small = read_picture(source, min_side_px=max(max_size_px))
    small.thumbnail((max_size_px[0], max_size_px[1]))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, method=4)
    return buffer.getvalue()


def cut(picture: Image.Image, geometry: Geometry) -> Image.Image:
    """Resize a picture and crop its centre; the result equals that of torchvision, timm and OpenCLIP bit for bit.

    Raises:
        UnreadablePicture: the picture is so thin that the resized one would be too large.
    """
    width, height = picture.size
    short, long = sorted((width, height))
    long = int(geometry.resize_px * long / short)
    if geometry.is_squashed:
        long = geometry.resize_px
    size = (geometry.resize_px, long) if width <= height else (long, geometry.resize_px)
    if max(size) * min(size) > MAX_PIXELS:
        raise UnreadablePicture(f"too thin: {width} x {height} pixels")
    resampling = Image.Resampling[geometry.interpolation.upper()]
    resized = picture if size == picture.size else picture.resize(size, resampling)
    left, top = (_margin(side, geometry.crop_px) for side in resized.size)
    return resized.crop((left, top, left + geometry.crop_px, top + geometry.crop_px))


def _margin(side_px: int, crop_px: int) -> int:
    """Return how many pixels to leave out before a crop; if it is negative, how many to add."""
    return round((side_px - crop_px) / 2.0) if side_px >= crop_px else -((crop_px - side_px) // 2)


OPERATIONS: dict[str, Callable[..., bytes]] = {
    "check": check,
    "identify": identify,
    "crop": crop,
    "thumbnail": thumbnail,
}
