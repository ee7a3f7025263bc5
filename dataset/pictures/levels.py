"""Converts a decoded picture of any mode to RGB with 8 bits per channel.

Pillow clips levels of more than 8 bits where they should be scaled, so they are scaled here.
"""

from collections.abc import Callable
from typing import Any

from PIL import Image, ImageMath, ImageOps

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_UNSIGNED = (1,)
_HIGHEST_LEVELS = (1.0, 255.0, 65_535.0)
_TOLERATED_BELOW_ZERO = 0.05
"""Filters overshoot: so far below 0, as a share of white, a level still counts as black."""


def as_8_bits(picture: Image.Image) -> Image.Image:
    """Return a grey picture with deeper levels (modes `I;16`, `I;16B`, `I`, `F`) as `L`, any other unchanged.

    16-bit levels reach from 0 to 65,535. 32-bit and float levels have no fixed white, so the highest level decides:
    white is 1, 255 or 65,535. If it is higher, or the lowest is below 0, they are stretched from lowest to highest.
    """
    tags = getattr(picture, "tag_v2", {})
    if picture.mode.startswith("I;16"):
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]  # 12 in some TIFF files
        grey = _scaled(picture.convert("I"), 0, 1 << (bits - 8))
    elif picture.mode == "I":
        is_unsigned = tags.get(_SAMPLE_FORMAT, ()) == _UNSIGNED  # Pillow reads these as signed
        grey = _scaled_by_range(_as_unsigned(picture) if is_unsigned else picture)
    elif picture.mode == "F":
        grey = _scaled_by_range(_without_gaps(picture))
    else:
        return picture
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white; Pillow inverts only levels of up to 8 bits
        grey = ImageOps.invert(grey)
    grey.info = dict(picture.info)
    see_through = grey.info.pop("transparency", None)  # a level
    if see_through is not None:
        grey.paste(255, mask=_mask(picture.convert("I"), lambda level: level == see_through))
    return grey


def as_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture with 8 bits per channel as RGB; transparency becomes white."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        white.alpha_composite(picture)
        picture = white
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _scaled_by_range(picture: Image.Image) -> Image.Image:
    lowest, highest = (float(level) for level in picture.getextrema())  # type: ignore[arg-type]
    white = next((level for level in _HIGHEST_LEVELS if highest <= level), highest)
    is_known = white in _HIGHEST_LEVELS and lowest >= -_TOLERATED_BELOW_ZERO * white
    if is_known and white == _HIGHEST_LEVELS[-1]:
        return _scaled(picture, 0, 256)  # as 16-bit levels are
    black, white = (0.0, white) if is_known else (min(lowest, 0.0), highest)
    step = (white - black) / 255 or 1.0
    return _scaled(picture, black - step / 2, step)  # to the nearest level


def _scaled(picture: Image.Image, black: float, step: float) -> Image.Image:
    """Return (level - black) / step, rounded down and clipped to 0–255."""
    scale, offset = 1 / step, -black / step
    return picture.convert("F").point(lambda level: level * scale + offset).convert("L")


def _as_unsigned(picture: Image.Image) -> Image.Image:
    """Return a picture of 32-bit levels as floats, the negative ones as the large ones that they stand for."""
    unsigned: Image.Image = ImageMath.lambda_eval(
        lambda names: names["picture"] + (names["picture"] < 0) * 2.0**32, picture=picture.convert("F")
    )
    return unsigned


def _without_gaps(picture: Image.Image) -> Image.Image:
    """Return a float picture whose missing levels (not a number, infinite) are 0."""
    is_number = _mask(picture, lambda level: level * 0.0 == 0.0)
    filled = Image.new("F", picture.size, 0)
    filled.paste(picture, mask=is_number)
    return filled


def _mask(picture: Image.Image, condition: Callable[[Any], Any]) -> Image.Image:
    """Return 255 where a condition on the level holds, 0 elsewhere."""
    holds = ImageMath.lambda_eval(lambda names: condition(names["picture"]) * 255, picture=picture)
    mask: Image.Image = holds.convert("L")
    return mask
