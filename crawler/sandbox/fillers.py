"""Painters of neutral pictures, which belong to no visual theme."""

import numpy as np
from PIL import Image

from crawler.sandbox.brush import Colour, Figure, Shape, below, finish, glow, gradient, lay, lay_disc, lay_figures, mix

Generator = np.random.Generator


def _grey(generator: Generator, light: float) -> Colour:
    """Return a slightly warm or slightly cool grey."""
    warm = float(generator.uniform(-7, 9))
    light += float(generator.normal(0, 8))
    return light + warm, light, light - warm


def plain_room(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a bare wall, light from a window, and the edge of a table."""
    height, width = shape
    wall = _grey(generator, 164)
    canvas = gradient(shape, (0, mix(wall, (90, 86, 84), 0.35)), (0.8, wall), (1, mix(wall, (80, 74, 70), 0.4)))
    x, y, size = generator.uniform(0.2, 0.6) * width, generator.uniform(0.16, 0.34) * height, 0.3 * height
    lean = size * generator.uniform(-0.5, 0.5)
    panes: list[Figure] = []
    for column in range(2):
        for row in range(2):
            left, top = x + column * size * 0.56 + row * lean * 0.5, y + row * size * 0.56
            right, bottom = left + size * 0.5, top + size * 0.5
            panes.append(("polygon", [left, top, right, top, right + lean * 0.45, bottom, left + lean * 0.45, bottom]))
    lay_figures(canvas, panes, (228, 220, 204), 0.5)
    edge = height * generator.uniform(0.78, 0.88)
    lay(canvas, below(shape, np.full(width, edge, np.float32)), mix(wall, (66, 60, 56), 0.75))
    return finish(canvas, generator)


def out_of_focus(shape: Shape, generator: Generator) -> Image.Image:
    """Paint blurred grey shapes."""
    height, width = shape
    canvas = gradient(shape, (0, _grey(generator, 106)), (1, _grey(generator, 62)))
    for _ in range(6):
        light = float(generator.uniform(-34, 40))
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        glow(
            canvas, x, y, generator.uniform(0.12, 0.3) * height, (light, light, light), flat=generator.uniform(0.7, 1.6)
        )
    return finish(canvas, generator)


def title_card(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a dark card with a few pale lines, like illegible credits."""
    height, width = shape
    canvas = gradient(shape, (0, _grey(generator, 30)), (1, (20, 20, 22)))
    lines: list[Figure] = []
    n_lines = int(generator.integers(2, 6))
    for line in range(n_lines):
        y = height * (0.5 + (line - (n_lines - 1) / 2) * 0.085)
        x = width / 2 - (half := width * generator.uniform(0.07, 0.2))
        while x < width / 2 + half:
            word = generator.uniform(0.02, 0.05) * width
            lines.append(("rectangle", [x, y - height * 0.012, x + word, y + height * 0.012]))
            x += word + 0.012 * width
    lay_figures(canvas, lines, (206, 204, 198), 0.85)
    return finish(canvas, generator)


def crowd(shape: Shape, generator: Generator) -> Image.Image:
    """Paint rows of heads and shoulders in front of grey light."""
    height, width = shape
    pale = _grey(generator, 150)
    canvas = gradient(shape, (0, mix(pale, (200, 200, 198), 0.6)), (1, pale))
    for row in range(3):
        tone: Colour = mix(pale, (34, 34, 38), 0.4 + 0.28 * row)
        size = height * (0.055 + 0.026 * row)
        people: list[Figure] = []
        x = -size
        while x < width + size:
            y = height * (0.5 + 0.17 * row) + generator.normal(0, size * 0.3)
            people.append(("ellipse", [x - size * 0.72, y - size, x + size * 0.72, y + size * 0.9]))
            people.append(("ellipse", [x - size * 1.7, y + size * 0.95, x + size * 1.7, y + size * 7]))
            x += size * generator.uniform(2.5, 3.8)
        lay_figures(canvas, people, tone)
    return finish(canvas, generator)


def turned_away(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a person from behind, close and blurred."""
    height, width = shape
    tone = _grey(generator, 168)
    canvas = gradient(shape, (0, mix(tone, (224, 222, 216), 0.5)), (1, mix(tone, (96, 94, 92), 0.6)))
    glow(canvas, generator.uniform(0.1, 0.9) * width, 0.3 * height, 0.4 * height, (26, 26, 24), flat=1.4)
    x, y = generator.uniform(0.3, 0.7) * width, generator.uniform(0.36, 0.46) * height
    size = min(shape) * generator.uniform(0.2, 0.25)
    dark = mix(tone, (40, 40, 44), 0.8)
    lay_disc(canvas, x, y + size * 3.6, size * 2.35, dark, edge=22)
    lay_disc(canvas, x, y + size * 1.05, size * 0.55, dark, edge=20)
    lay_disc(canvas, x, y, size, mix(dark, (28, 28, 30), 0.5), edge=16)
    return finish(canvas, generator)


def corridor(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a grey corridor in perspective."""
    height, width = shape
    tone = _grey(generator, 150)
    x, y = generator.uniform(0.4, 0.6) * width, generator.uniform(0.42, 0.52) * height
    wide, tall = 0.11 * width, 0.17 * height
    left, right, top, bottom = x - wide, x + wide, y - tall, y + tall
    canvas = gradient(shape, (0, mix(tone, (255, 255, 255), 0.3)), (1, tone))
    walls: tuple[tuple[list[float], float], ...] = (
        ([0, height, left, bottom, right, bottom, width, height], 0.62),
        ([0, 0, left, top, left, bottom, 0, height], 0.22),
        ([width, 0, right, top, right, bottom, width, height], 0.36),
    )
    for corners, shade in walls:
        lay_figures(canvas, [("polygon", corners)], mix(tone, (40, 40, 42), shade))
    for near in (0.12, 0.3, 0.62):  # doors on both sides, lamps between them
        for edge, side in ((0.0, left), (float(width), right)):
            x1, x2 = side + (edge - side) * near, side + (edge - side) * near * 1.5
            high = [top - top * share * 0.35 + tall * 0.5 for share in (near, near * 1.5)]
            low = [bottom + (height - bottom) * share for share in (near, near * 1.5)]
            lay_figures(canvas, [("polygon", [x1, high[0], x2, high[1], x2, low[1], x1, low[0]])], (58, 57, 58), 0.7)
        glow(canvas, x, top * (1 - near), 8 + 26 * near, (60, 58, 52), flat=2.2)
    return finish(canvas, generator)
