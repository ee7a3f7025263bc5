"""Decodes a picture's bytes as RGB: which formats are allowed, how large a picture may be, why one is unreadable.

Only decoder processes (`dataset.pictures.process`) call this. It imports only Pillow.
"""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from dataset.pictures.levels import as_8_bits, as_rgb
from dataset.pictures.protocol import EXTENSIONS, MAX_FILE_BYTES, MAX_JPEG_BYTES, MAX_PIXELS, UnreadablePicture

_FORMATS = tuple(name.upper() for name in EXTENSIONS)
_SEVERAL_PICTURES = {"MPO": "jpeg"}  # a phone's JPEG with further pictures behind the first
_MAX_REASON_CHARACTERS = 200
_ORIENTATION, _UPRIGHT = 0x0112, (None, 1)
_END_OF_IMAGE = b"\xff\xd9"
_SAMPLINGS = ((1, 1), (2, 1), (1, 2), (2, 2))
"""Pixels per sample of colour, across and down, that every JPEG decoder reads."""
_GPU_SIDES_PX, _GPU_LONGEST, _GPU_PIXELS = (16, 8192), 4, 1 << 25
_TOO_LARGE = f"too large: more than {MAX_FILE_BYTES >> 20} MiB"


def read_content(source: Path | bytes, image_sha256: str | None = None) -> bytes:
    """Return a picture's bytes.

    Args:
        source: the file, or the bytes.
        image_sha256: the expected SHA-256; None: any.

    Raises:
        UnreadablePicture: the file is missing, changed, empty, too large, or cannot be read.
    """
    try:
        content = source if isinstance(source, bytes) else _read(source)
    except FileNotFoundError:
        raise UnreadablePicture("the file is missing") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible path
        raise UnreadablePicture(f"the file cannot be read ({getattr(error, 'strerror', None) or 'bad path'})") from None
    if not content:
        raise UnreadablePicture("the file is empty")
    if len(content) > MAX_FILE_BYTES:
        raise UnreadablePicture(_TOO_LARGE)
    if image_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise UnreadablePicture("the file has changed: its SHA-256 is not the one in images.parquet")
    return content


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise UnreadablePicture(_TOO_LARGE)
        return file.read(MAX_FILE_BYTES + 1)


@contextmanager
def open_picture(content: bytes) -> Iterator[Image.Image]:
    """Open a picture; its pixels are decoded when they are first used. Any error inside becomes a reason.

    Raises:
        UnreadablePicture: the content is no picture of an allowed format, broken, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about oddities in files that it can read
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UnreadablePicture(f"too large: {picture.width} x {picture.height} pixels")
                if not min(picture.size):
                    raise UnreadablePicture("it has no pixels")
                yield picture
    except UnidentifiedImageError:
        raise UnreadablePicture("not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture") from None
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"too large: {_in_words(error)}") from None
    except MemoryError:
        raise UnreadablePicture("cannot be decoded: it needs too much memory") from None
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's decoders raise about twenty kinds of errors on broken files
        raise UnreadablePicture(f"cannot be decoded: {_in_words(error)}") from None


def format_of(picture: Image.Image) -> str:
    """Return the name of an open picture's format: a key of `EXTENSIONS`."""
    name = str(picture.format)
    return _SEVERAL_PICTURES.get(name, name.lower())


def decode(picture: Image.Image) -> Image.Image:
    """Return an open picture as RGB: rotated by EXIF, transparency on white, the first frame of an animation."""
    picture.load()
    shallow = as_8_bits(picture)
    with suppress(Exception):  # broken EXIF data is no reason to reject the pixels
        ImageOps.exif_transpose(shallow, in_place=True)
    return as_rgb(shallow)


def is_plain_jpeg(content: bytes) -> bool:
    """Return whether a GPU decodes a picture as `decode` does.

    It does so for a complete, upright JPEG of moderate size, sequential and with the usual colours. Only the headers
    are read.

    Raises:
        UnreadablePicture: see `open_picture`.
    """
    if len(content) > MAX_JPEG_BYTES:
        return False
    with open_picture(content) as picture:
        short, long = sorted(picture.size)
        if not isinstance(picture, JpegImageFile) or picture.format != "JPEG" or picture.mode != "RGB":
            return False
        if short < _GPU_SIDES_PX[0] or long > min(_GPU_SIDES_PX[1], _GPU_LONGEST * short) or short * long > _GPU_PIXELS:
            return False
        data_start = picture.fp.tell() if picture.fp is not None else 0
        numbers, across, down, _ = zip(*picture.layer, strict=True)  # of Y, Cb, Cr
        return (
            numbers == (1, 2, 3)
            and (across[0], down[0]) in _SAMPLINGS
            and {*across[1:], *down[1:]} == {1}
            and "progressive" not in picture.info
            and picture.info.get("adobe_transform", 1) == 1
            and content.rfind(_END_OF_IMAGE, data_start) >= 0
            and _orientation(picture) in _UPRIGHT
        )


def _orientation(picture: Image.Image) -> object:
    with suppress(Exception):  # broken EXIF data, which `decode` ignores
        return picture.getexif().get(_ORIENTATION)
    return None


def read_picture(source: Path | bytes, image_sha256: str | None = None, min_side_px: int | None = None) -> Image.Image:
    """Decode a picture as RGB (see `decode`).

    Args:
        source: the file, or the bytes.
        image_sha256: the expected SHA-256 of the file; None: any.
        min_side_px: a JPEG may be decoded at a fraction of its size whose shorter side is at least this;
            None: always decode fully.

    Raises:
        UnreadablePicture: see `read_content` and `open_picture`.
    """
    with open_picture(read_content(source, image_sha256)) as picture:
        if min_side_px is not None:
            picture.draft(None, (min_side_px, min_side_px))  # only JPEG has a draft
        return decode(picture)


def _in_words(error: Exception) -> str:
    """Return an error's message on one line, without memory addresses, which differ from run to run."""
    words = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))
    return words[:_MAX_REASON_CHARACTERS] or type(error).__name__
