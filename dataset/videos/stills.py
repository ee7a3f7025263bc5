"""Turns a decoded frame of a video into a picture: upright, in square pixels, as RGB with 8 bits per channel."""

import io

from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image, ImageChops, ImageStat

from dataset.pictures.levels import as_rgb
from dataset.pictures.protocol import MAX_PIXELS
from dataset.videos.protocol import JPEG_QUALITY

_EXACT = 0x40000 | 0x80000 | 0x2000  # SWS_ACCURATE_RND, SWS_BITEXACT, SWS_FULL_CHR_H_INT: equal bytes on any processor
_MAX_STRETCH = 10.0
_SIGNATURE_PX = 32
_SAME_LEVELS, _SAME_SHARE = (0.5, 2.0), 0.15
"""Frames are nearly identical if they differ by at most this share of their contrast, within these levels of 255.

Encoded 320 x 240 photographs that do not move differ by up to 1.1 levels (x264 at crf 28), dark ones by up to 0.4.
"""
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
    270: Image.Transpose.ROTATE_270,
}


def as_jpeg(picture: Image.Image) -> bytes:
    """Return a picture as a JPEG file with colours at full resolution."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def as_picture(frame: VideoFrame, pixel_ratio: float) -> Image.Image:
    """Return a frame as RGB, upright and in square pixels; transparency becomes white.

    Levels of more than 8 bits are scaled; high dynamic range is not mapped to the range of a screen. Of an interlaced
    frame, only the upper field is used.

    Args:
        frame: the decoded frame.
        pixel_ratio: the width of a pixel divided by its height.
    """
    width, height = _square(frame.width, frame.height, pixel_ratio)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    mode, layout = ("RGBA", "rgba") if has_alpha else ("RGB", "rgb24")
    flags = Interpolation.BICUBIC.value | _EXACT
    same = frame.reformat(format=layout, interpolation=flags, threads=1)
    plane = same.planes[0]
    n_fields = 2 if frame.interlaced_frame and frame.height > 1 else 1
    size = (frame.width, frame.height // n_fields)
    picture = Image.frombuffer(mode, size, bytes(plane), "raw", mode, plane.line_size * n_fields, 1)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    turn = _TURNS.get(round(frame.rotation))
    return as_rgb(picture if turn is None else picture.transpose(turn))


class Signatures:
    """Makes small copies of frames, and compares them."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def of(self, frame: VideoFrame) -> Image.Image:
        """Return a frame as 32 x 32 pixels of RGB."""
        small = self._reformatter.reformat(
            frame, _SIGNATURE_PX, _SIGNATURE_PX, "rgb24", interpolation=Interpolation.AREA.value | _EXACT, threads=1
        )
        plane = small.planes[0]
        size = (_SIGNATURE_PX, _SIGNATURE_PX)
        return Image.frombuffer("RGB", size, bytes(plane), "raw", "RGB", plane.line_size, 1)


def is_repeat(frame: Image.Image, before: Image.Image) -> bool:
    """Return whether a small copy of a frame is nearly identical to another: in dark or flat ones, less may differ."""
    contrast = sum(ImageStat.Stat(before).stddev) / 3
    return difference(frame, before) <= min(max(_SAME_LEVELS[0], _SAME_SHARE * contrast), _SAME_LEVELS[1])


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures of one size, in levels from 0 to 255."""
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)


def _square(width: int, height: int, pixel_ratio: float) -> tuple[int, int]:
    """Return the size in square pixels; the side that is too short grows, so that nothing is lost."""
    if not 1 / _MAX_STRETCH <= pixel_ratio <= _MAX_STRETCH:
        return width, height
    stretched = (round(width * pixel_ratio), height) if pixel_ratio >= 1 else (width, round(height / pixel_ratio))
    return stretched if stretched[0] * stretched[1] <= MAX_PIXELS else (width, height)
