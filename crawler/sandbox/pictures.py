"""Paints the picture of a frame and encodes it. The same frame gives the same bytes, for a given version of Pillow.

A theme's scene paints the frames that show the theme; a neutral filler paints the others. The frame's seed
varies colours and shapes.
"""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

from crawler.sandbox import fillers, scenes

THEMES = {
    scene.__name__: scene
    for scene in (
        scenes.sunset_sea,
        scenes.neon_city,
        scenes.misty_forest,
        scenes.bauhaus,
        scenes.desert_dunes,
        scenes.aurora_peaks,
        scenes.paper_lanterns,
        scenes.ink_wash,
    )
}
FILLERS = {
    filler.__name__: filler
    for filler in (
        fillers.plain_room,
        fillers.out_of_focus,
        fillers.title_card,
        fillers.crowd,
        fillers.turned_away,
        fillers.corridor,
    )
}
# The site's picture sizes with the width of a still. Size `m` is painted, the others are scaled from it.
SIZES_PX = {"sqxs": 100, "s": 270, "m": 600, "l": 960}
SHAPES_PX = {"still": (600, 338), "wallpaper": (600, 375), "poster": (405, 600)}
FORMATS = {"jpg": "JPEG", "webp": "WEBP"}

_QUALITY = 86


@dataclass(frozen=True)
class Picture:
    """The picture of a frame: the name of its theme or filler, the kind of frame (its shape) and a seed."""

    scene: str
    kind: str
    seed: int


@lru_cache(maxsize=64)
def paint(picture: Picture) -> Image.Image:
    """Return the picture in size `m`, as an RGB image."""
    width, height = SHAPES_PX[picture.kind]
    painter = THEMES.get(picture.scene) or FILLERS[picture.scene]
    return painter((height, width), np.random.default_rng(picture.seed))


def resized(picture: Picture, size: str) -> Image.Image:
    """Return the picture in one of the `SIZES_PX`."""
    image = paint(picture)
    if size == "sqxs":
        return _square(image).resize((SIZES_PX[size], SIZES_PX[size]), Image.Resampling.LANCZOS)
    if size == "m":
        return image
    scale = SIZES_PX[size] / SIZES_PX["m"]
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


@lru_cache(maxsize=512)
def encode(picture: Picture, size: str = "m", suffix: str = "jpg") -> bytes:
    """Return the picture as a file in this size and format (`jpg`, `webp`)."""
    file = BytesIO()
    resized(picture, size).save(file, FORMATS[suffix], quality=_QUALITY)
    return file.getvalue()


def avatar(seed: int) -> bytes:
    """Return a small round avatar on white, as JPEG."""
    generator = np.random.default_rng(seed)
    side = 96
    canvas = np.full((side, side, 3), 255, np.float32)
    hue = np.array([generator.uniform(90, 230) for _ in range(3)], np.float32)
    rows = np.arange(side, dtype=np.float32)[:, None] - side / 2
    inside = np.hypot(rows, rows.T) < side / 2
    canvas[inside] = hue
    head = np.hypot(rows + 10, rows.T) < 15
    shoulders = np.hypot((rows - 40) / 1.1, rows.T) < 31
    canvas[inside & (head | shoulders)] = hue * 0.45 + 140
    file = BytesIO()
    Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
