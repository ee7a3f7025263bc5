"""What a program and its decoder processes share: formats, limits, requests and answers. It does not load Pillow.

    → two lengths (`REQUEST`), then a JSON object, then the picture's bytes if the object has no path
    ← a length (`ANSWER`), then the answer of this length; if it is negative, then the reason for the failure

The JSON object has `operation` (a key of `operations.OPERATIONS`), `path` if the picture is a file, and the
operation's other fields. Before the first answer, a process writes `READY`. An answer is bytes, never a pickle:
a decoder that a picture has taken over cannot run code in the program.

The operation `crops` takes many files, or the bytes of several pictures without gaps. Their crops go into memory that
both processes share, and the answer is a JSON list with an item for each picture: whether its bytes are the unchanged
JPEG, their number, the reason for a failure.
"""

import struct
from dataclasses import dataclass

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "bmp": "bmp", "tiff": "tiff", "avif": "avif"}
"""The allowed formats, and the extension of a stored file. The content decides the format, never the file's name.

Other formats of Pillow are never tried. Some hold programs: Pillow would run EPS with Ghostscript.
"""
MAX_PIXELS = 100_000_000
"""A picture with more pixels is rejected before decoding; the largest posters have about 40 million."""
MAX_FILE_BYTES = 1 << 29
MAX_ANSWER_BYTES = 1 << 28
MAX_JPEG_BYTES = 1 << 21
"""A larger JPEG is never left to a GPU, because it would take too much of the shared memory."""
PICTURE_TIMEOUT_S = 10.0
"""Decoding of a picture is stopped after this time."""
CELLS_PER_SIDE = 9
N_CELL_LEVELS = 3 * CELLS_PER_SIDE**2

READY = b"ready\n"
CROPS = "crops"
OUTSIDE = "the file is missing from the raw folder: its path leads out of it"
REQUEST = struct.Struct("<IQ")
ANSWER = struct.Struct("<q")


class UnreadablePicture(Exception):  # noqa: N818 - an outcome that is recorded, not an error
    """A file cannot be decoded as a picture. The message is the reason; it never holds a path."""


@dataclass(frozen=True)
class Checked:
    """A picture that has been decoded without an error.

    Attributes:
        format: a key of `EXTENSIONS`.
        cells: the mean colours of 9 x 9 equal cells, row by row, as 243 levels (R, G, B of each cell) in hexadecimal.
    """

    sha256: str
    format: str
    width_px: int
    height_px: int
    size_bytes: int
    cells: str

    @property
    def path(self) -> str:
        """Where a picture file is stored, relative to a raw or crawl folder: once under the SHA-256 of its bytes."""
        return stored_path(self.sha256, self.format)


def stored_path(image_sha256: str, image_format: str) -> str:
    """Return where a picture file of a format (a key of `EXTENSIONS`) is stored, see `Checked.path`."""
    return f"pictures/{image_sha256[:2]}/{image_sha256}.{EXTENSIONS[image_format]}"


@dataclass(frozen=True)
class Geometry:
    """How a picture is cropped: resize it, then keep the centre `crop_px` x `crop_px`, with black where it is smaller.

    Attributes:
        resize_px: the length of the shorter side after resizing, or of both sides.
        crop_px: the side of the crop.
        interpolation: a name of Pillow's `Resampling`, in small letters.
        is_squashed: both sides become `resize_px`, whatever the proportions.
    """

    resize_px: int
    crop_px: int
    interpolation: str
    is_squashed: bool = False

    @property
    def crop_bytes(self) -> int:
        """The size of a crop, (crop_px, crop_px, 3) uint8."""
        return 3 * self.crop_px**2


@dataclass(frozen=True)
class Cropped:
    """What a decoder made of a picture: its crop, its JPEG as it is, or nothing, and then the reason."""

    content: memoryview
    is_jpeg: bool = False
    reason: str = ""
