"""Drawing functions for the scenes. A canvas is a float32 array (height, width, 3) of RGB values from 0 to 255."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Canvas = npt.NDArray[np.float32]
Mask = npt.NDArray[np.float32] | npt.NDArray[np.float64]  # (height, width), 0 to 1
Curve = npt.NDArray[np.float32]  # (width,), a height in pixels for each column
Colour = tuple[float, float, float]
Shape = tuple[int, int]  # (height, width)
Figure = tuple[str, Sequence[float]]  # an `ImageDraw` method (polygon, ellipse, rectangle), and x, y, x, y, …

_GRAIN_TILE = np.random.default_rng(7).normal(0, 1, size=(700, 1024, 1)).astype(np.float32)


def gradient(shape: Shape, *stops: tuple[float, Colour]) -> Canvas:
    """Return a vertical gradient through `stops`: pairs of a position (0 top, 1 bottom) and a colour."""
    height, width = shape
    places = np.linspace(0, 1, height)
    at, colours = [place for place, _ in stops], np.array([colour for _, colour in stops])
    planes = np.empty((3, height, width), np.float32)  # one contiguous plane per channel: blending is 3 times faster
    for channel in range(3):
        planes[channel] = np.interp(places, at, colours[:, channel])[:, None]
    return planes.transpose(1, 2, 0)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return the colour that is `share` of the way from `a` to `b`."""
    red, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return red, green, blue


def jitter(colour: Colour, generator: np.random.Generator, amount: float = 12.0) -> Colour:
    """Return the colour with a little random noise."""
    red, green, blue = np.clip(np.array(colour) + generator.normal(0, amount, size=3), 0, 255).tolist()
    return red, green, blue


def lay(canvas: Canvas, mask: Mask, colour: Colour, opacity: float = 1.0) -> None:
    """Blend `colour` into the canvas where the mask is, in place."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return
    band = slice(rows[0], rows[-1] + 1)
    canvas[band] += (np.array(colour, np.float32) - canvas[band]) * (mask[band] * np.float32(opacity))[..., None]


def shine(canvas: Canvas, light: Mask, colour: Colour) -> None:
    """Add coloured light to the canvas, in place."""
    for channel in range(3):
        canvas[..., channel] += light * np.float32(colour[channel])


def glow(canvas: Canvas, x: float, y: float, radius: float, colour: Colour, flat: float = 1.0) -> None:
    """Add soft light around a point, in place; `flat` above 1 stretches it sideways."""
    height, width = canvas.shape[:2]
    reach_x, reach_y = int(radius * flat * 2.6) + 1, int(radius * 2.6) + 1
    left, right = max(0, int(x) - reach_x), min(width, int(x) + reach_x)
    top, bottom = max(0, int(y) - reach_y), min(height, int(y) + reach_y)
    if left >= right or top >= bottom:
        return
    across = np.exp(-(((np.arange(left, right, dtype=np.float32) - x) / (radius * flat)) ** 2))
    down = np.exp(-(((np.arange(top, bottom, dtype=np.float32) - y) / radius) ** 2))
    shine(canvas[top:bottom, left:right], down[:, None] * across, colour)


def disc(shape: Shape, x: float, y: float, radius: float, edge: float = 1.0) -> Mask:
    """Return the mask of a disc with a soft rim of `edge` pixels."""
    height, width = shape
    columns = (np.arange(width, dtype=np.float32) - x) ** 2
    rows = (np.arange(height, dtype=np.float32) - y) ** 2
    return np.asarray(np.clip((radius - np.sqrt(rows[:, None] + columns)) / edge + 0.5, 0, 1))


def lay_disc(
    canvas: Canvas, x: float, y: float, radius: float, colour: Colour, opacity: float = 1.0, edge: float = 1.0
) -> None:
    """Blend a disc into the canvas, in place."""
    left, top = max(0, int(x - radius - edge)), max(0, int(y - radius - edge))
    patch = canvas[top : max(0, int(y + radius + edge) + 2), left : max(0, int(x + radius + edge) + 2)]
    if patch.size:
        lay(patch, disc((patch.shape[0], patch.shape[1]), x - left, y - top, radius, edge), colour, opacity)


def lay_figures(canvas: Canvas, figures: Sequence[Figure], colour: Colour, opacity: float = 1.0) -> None:
    """Blend figures into the canvas, in place; they are drawn at twice the size for smooth edges."""
    xs = [x for _, numbers in figures for x in numbers[0::2]]
    ys = [y for _, numbers in figures for y in numbers[1::2]]
    if not figures:
        return
    left, top = max(0, int(min(xs)) - 1), max(0, int(min(ys)) - 1)
    patch = canvas[top : max(0, int(max(ys)) + 2), left : max(0, int(max(xs)) + 2)]
    if not patch.size:
        return
    image = Image.new("L", (patch.shape[1] * 2, patch.shape[0] * 2))
    pen = ImageDraw.Draw(image)
    for method, numbers in figures:
        inside = [(number - (top if i % 2 else left)) * 2 for i, number in enumerate(numbers)]
        getattr(pen, method)(inside, fill=255)
    lay(patch, np.asarray(image.reduce(2), np.float32) / 255, colour, opacity)


def wave(generator: np.random.Generator, width: int, amplitude: float, length: float, octaves: int = 4) -> Curve:
    """Return a smooth random curve around 0; `length` is the longest wavelength in pixels."""
    columns = np.arange(width, dtype=np.float32)
    curve = np.zeros(width, np.float32)
    for octave in range(octaves):
        phase, stretch = generator.uniform(0, 2 * np.pi), generator.uniform(0.8, 1.25)
        curve += np.sin(columns * (2 * np.pi * 2**octave * stretch / length) + phase) / 1.9**octave
    return curve * np.float32(amplitude / 1.6)


def crags(generator: np.random.Generator, width: int, amplitude: float, rough: float = 0.52) -> Curve:
    """Return a jagged random curve around 0, like a mountain's outline (midpoint displacement)."""
    points = generator.uniform(-0.5, 0.5, size=4)
    step = 0.5
    while points.size < width / 3:
        middles = (points[:-1] + points[1:]) / 2 + generator.uniform(-step, step, size=points.size - 1)
        woven = np.empty(points.size + middles.size)
        woven[0::2], woven[1::2] = points, middles
        points, step = woven, step * rough
    columns = np.interp(np.linspace(0, points.size - 1, width), np.arange(points.size), points)
    return (columns * amplitude).astype(np.float32)


def below(shape: Shape, curve: Curve) -> Mask:
    """Return the mask of everything below a curve, with a smooth edge."""
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    return np.asarray(np.clip(rows - curve + 0.5, 0, 1))


def depth_below(shape: Shape, curve: Curve) -> Mask:
    """Return how far each pixel is below a curve, in pixels (negative above it)."""
    return np.arange(shape[0], dtype=np.float32)[:, None] - curve


def finish(canvas: Canvas, generator: np.random.Generator, grain: float = 2.2, vignette: float = 0.22) -> Image.Image:
    """Return the picture with a little film grain and darker corners."""
    height, width = canvas.shape[:2]
    canvas *= 1 - vignette * _corners((height, width))
    top, left = (
        int(generator.integers(size)) for size in (_GRAIN_TILE.shape[0] - height, _GRAIN_TILE.shape[1] - width)
    )
    canvas += _GRAIN_TILE[top : top + height, left : left + width] * np.float32(grain)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8, order="C"))


@lru_cache(maxsize=8)
def _corners(shape: Shape) -> Canvas:
    down = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] ** 2
    across = np.linspace(-1, 1, shape[1], dtype=np.float32) ** 2
    return np.asarray(((down + across) / 2)[..., None])
