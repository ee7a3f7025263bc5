"""What a program and its video decoders share: limits, and the answer to a request. It loads neither Pillow nor PyAV.

The requests are those of `dataset.pictures.protocol`. The answer to `take` is a length (`_LENGTH`), a JSON object of
this length, and the bytes of the JPEG files one after another.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Sampling = Literal["even", "scenes"]

MAX_DURATION_S = 7 * 24 * 3600.0
"""A video that claims or shows more is rejected: its timestamps are broken."""
MAX_MEMORY_BYTES = 4 << 30
VIDEO_TIMEOUT_S = 600.0
"""Decoding of a video is stopped after this time."""
JPEG_QUALITY = 95

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Still:
    """A frame of a video as a JPEG file, and its time in seconds after the first frame, rounded to milliseconds."""

    time_s: float
    width_px: int
    height_px: int
    content: bytes


@dataclass(frozen=True)
class Taken:
    """The frames taken from a video, in order of time.

    Attributes:
        stills: the frames.
        n_repeated: how many were left out because they are nearly identical to the one before them.
        n_damaged: how many are missing because they cannot be decoded.
    """

    stills: Sequence[Still]
    n_repeated: int
    n_damaged: int

    def pack(self) -> bytes:
        """Return the frames as bytes."""
        stills = [(still.time_s, still.width_px, still.height_px, len(still.content)) for still in self.stills]
        header = json.dumps({"stills": stills, "n_repeated": self.n_repeated, "n_damaged": self.n_damaged}).encode()
        return b"".join((_LENGTH.pack(len(header)), header, *(still.content for still in self.stills)))

    @classmethod
    def unpack(cls, answer: bytes | bytearray) -> "Taken":
        """Return the frames in the bytes that `pack` made."""
        start = _LENGTH.size + _LENGTH.unpack_from(answer)[0]
        header = json.loads(answer[_LENGTH.size : start])
        stills = []
        for time_s, width_px, height_px, n_bytes in header["stills"]:
            stills.append(Still(time_s, width_px, height_px, bytes(answer[start : start + n_bytes])))
            start += n_bytes
        return cls(stills, header["n_repeated"], header["n_damaged"])
