"""Painters of the visual themes, one function per theme.

A person (or VGG-19) can tell the themes apart by palette, composition and shapes.
"""

import numpy as np
from PIL import Image

from crawler.sandbox.brush import (
    Canvas,
    Colour,
    Curve,
    Figure,
    Shape,
    below,
    crags,
    depth_below,
    finish,
    glow,
    gradient,
    jitter,
    lay,
    lay_disc,
    lay_figures,
    mix,
    shine,
    wave,
)

Generator = np.random.Generator


def sunset_sea(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a low sun over the sea: violet to gold, a flat horizon, a path of light."""
    height, width = shape
    horizon = generator.uniform(0.6, 0.74)
    rose, gold = jitter((236, 112, 96), generator), jitter((255, 196, 110), generator, 8)
    canvas = gradient(
        shape, (0, jitter((62, 48, 110), generator)), (horizon * 0.55, rose), (horizon, gold),
        (horizon + 0.004, mix(gold, (120, 60, 90), 0.45)), (1, jitter((36, 30, 70), generator, 8)),
    )  # fmt: skip
    line, sun_x = int(horizon * height), generator.uniform(0.25, 0.75) * width
    radius = generator.uniform(0.06, 0.1) * height
    sun_y = line - radius * generator.uniform(-0.1, 1.5)
    sky = canvas[:line]
    glow(sky, sun_x, sun_y, radius * 5, (90, 60, 10), flat=1.6)
    for _ in range(generator.integers(5, 9)):
        x, y = generator.uniform(0, width), generator.uniform(0.1, 0.85) * line
        glow(sky, x, y, generator.uniform(3, 8), (46, 14, 18), flat=generator.uniform(8, 22))
    lay_disc(sky, sun_x, sun_y, radius, (255, 240, 200), edge=2.5)
    lay(sky, below((line, width), line - 6 + wave(generator, width, 7, width * 0.8)), (110, 60, 98), 0.75)
    depth = np.arange(height - line, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)
    ripple = np.sin(depth * 2.4 / (1 + depth * 0.02) + wave(generator, width, 1.6, width / 4)) * 0.5 + 0.5
    path = np.exp(-(((columns - sun_x) / (radius * 0.9 + depth * 0.75)) ** 2)) * ripple**2
    lay(canvas[line:], path * np.exp(-depth / height), (255, 214, 140), 0.85)
    lay(canvas[line:], ripple * (depth > 3), (255, 170, 130), 0.07)
    if generator.random() < 0.7:
        x, y, size = generator.uniform(0.15, 0.85) * width, line + 0.06 * height, 0.05 * height
        hull = [x - size, y, x + size, y, x + size * 0.7, y + size * 0.32, x - size * 0.7, y + size * 0.32]
        sail = [x, y - 2 * size, x, y - size * 0.1, x + size * 0.85, y - size * 0.1]
        lay_figures(canvas, [("polygon", hull), ("polygon", sail)], (40, 26, 52))
    return finish(canvas, generator)


def neon_city(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a city at night: dark blocks, lit windows, upright neon and a wet street."""
    height, width = shape
    street = int(height * generator.uniform(0.74, 0.82))
    canvas = gradient(shape, (0, (10, 10, 34)), (0.5, jitter((38, 20, 74), generator, 6)), (0.8, (120, 30, 110)))
    city = canvas[:street]
    neon: tuple[Colour, ...] = ((20, 225, 235), (255, 45, 150), (150, 80, 255))
    for layer, tone in enumerate(((40, 28, 84), (24, 18, 56), (10, 9, 28))):
        x = -float(generator.uniform(0, 40))
        while x < width:
            wide = generator.uniform(0.06, 0.13) * width
            roof = int(street * generator.uniform(0.12 + 0.13 * layer, 0.55 + 0.1 * layer))
            block = city[roof:, max(0, int(x)) : max(0, int(x + wide))]
            block[:] = tone
            _light_windows(block, layer, generator)
            x += wide * generator.uniform(1.0, 1.3 + 0.25 * layer)
    for _ in range(generator.integers(5, 9)):
        colour = neon[generator.integers(3)]
        x, top = generator.uniform(0.04, 0.96) * width, generator.uniform(0.2, 0.6) * street
        tall, thick = generator.uniform(0.14, 0.34) * street, generator.uniform(1.5, 4)
        for y in np.arange(top, top + tall, 9):
            glow(city, x, y, 13, mix((0, 0, 0), colour, 0.22))
        bar = [x - thick, top, x + thick, top + tall]
        lay_figures(canvas, [("rectangle", bar)], mix(colour, (255, 255, 255), 0.45))
    wet = height - street
    mirror = city[::-1][: wet * 2 : 2]  # half as tall as the city
    sway = (wave(generator, wet, 5, 40) * np.linspace(0.2, 1.5, wet)).astype(int)
    for row in range(wet):
        canvas[street + row] = np.roll(mirror[row], sway[row], axis=0) * 0.62 + 8
    canvas[street : street + 2] *= 0.4
    return finish(canvas, generator)


def _light_windows(block: Canvas, layer: int, generator: Generator) -> None:
    """Light some of a building's windows, in place; nearer layers have larger windows."""
    pitch, size = 7 + 2 * layer, 3 + layer
    rows, columns = block.shape[0] // pitch, block.shape[1] // pitch
    lit = generator.random((rows, columns)) < 0.32
    warm = np.array(((255, 205, 120), (130, 215, 255), (255, 120, 190)), np.float32)
    colours = warm[generator.choice(3, size=(rows, columns), p=(0.6, 0.25, 0.15))] * (0.5 + 0.2 * layer)
    for dy in range(2, 2 + size):
        for dx in range(2, 1 + size):
            target = block[dy : rows * pitch : pitch, dx : columns * pitch : pitch]
            target[:] = np.where(lit[..., None], colours, target)


def misty_forest(shape: Shape, generator: Generator) -> Image.Image:
    """Paint rows of firs in the mist: green-grey, upright, soft."""
    height, width = shape
    mist, dark = jitter((206, 220, 210), generator, 8), jitter((18, 48, 40), generator, 6)
    canvas = gradient(shape, (0, mix(mist, (150, 185, 180), 0.6)), (0.55, mist), (1, mist))
    glow(canvas, generator.uniform(0.2, 0.8) * width, 0.12 * height, 0.3 * height, (38, 34, 20), flat=1.5)
    columns = np.arange(width, dtype=np.float32)
    n_rows = 5
    for row in range(n_rows):
        near = row / (n_rows - 1)
        ground = height * (0.42 + 0.5 * near) + wave(generator, width, 10 + 14 * near, width * 0.9, 2)
        outline = ground.copy()
        x = -20.0
        while x < width + 20:
            tall = height * (0.1 + 0.3 * near) * generator.uniform(0.6, 1.25)
            distance = np.abs(columns - x) / (tall * 0.21)
            tiers = distance + 0.09 * np.sin(distance * 21)  # branches
            outline = np.minimum(outline, ground - tall * np.clip(1 - tiers, 0, None))
            x += tall * generator.uniform(0.16, 0.5)
        tone = mix(mist, dark, 0.14 + 0.86 * near**1.4)
        lay(canvas, below(shape, outline), tone)
        haze = np.clip(depth_below(shape, ground - 12 - 30 * near) / (height * (0.12 + 0.25 * near)), 0, 1)
        lay(canvas, haze, mist, 0.82 * (1 - near) ** 0.5)
    return finish(canvas, generator)


def bauhaus(shape: Shape, generator: Generator) -> Image.Image:
    """Paint a poster of circles, quarters and bars in primary colours on cream."""
    height, width = shape
    inks: list[Colour] = [(214, 58, 44), (30, 84, 160), (240, 184, 44), (28, 28, 32), (236, 226, 204)]
    inks = [jitter(ink, generator, 6) for ink in inks]
    canvas = gradient(shape, (0, (240, 231, 211)), (1, (232, 221, 198)))
    n_across, n_down = (4, 3) if width <= height else (5, 3)
    wide, tall = width / n_across, height / n_down
    drawn: list[list[Figure]] = [[] for _ in inks]
    for row in range(n_down):
        for column in range(n_across):
            ground, ink = generator.choice(5, size=2, replace=False)
            left, top = column * wide, row * tall
            cell = (left, top, left + wide, top + tall)
            if generator.random() < 0.55:
                lay_figures(canvas, [("rectangle", cell)], inks[ground])
            drawn[ink].extend(_bauhaus_figure(cell, generator))
    for ink, figures in zip(inks, drawn, strict=True):
        lay_figures(canvas, figures, ink)
    return finish(canvas, generator, grain=3.0, vignette=0.1)


def _bauhaus_figure(cell: tuple[float, float, float, float], generator: Generator) -> list[Figure]:
    left, top, right, bottom = cell
    wide, tall = right - left, bottom - top
    pick = generator.integers(5)
    if pick == 0:
        radius = min(wide, tall) * generator.uniform(0.3, 0.46)
        x, y = (left + right) / 2, (top + bottom) / 2
        return [("ellipse", [x - radius, y - radius, x + radius, y + radius])]
    if pick == 1:  # a quarter disc in a corner
        angles = np.linspace(0, np.pi / 2, 24)
        across, down = left + wide * np.cos(angles), top + tall * np.sin(angles)
        if generator.random() < 0.5:
            across, down = left + right - across, top + bottom - down
        corner = [left, top] if across[0] > left + wide / 2 else [right, bottom]
        return [("polygon", [*corner, *np.stack([across, down], axis=1).ravel().tolist()])]
    if pick == 2:
        return [("polygon", [left, bottom, right, bottom, left if generator.random() < 0.5 else right, top])]
    if pick == 3:
        return [("rectangle", [left, top + tall * k / 6, right, top + tall * (k + 0.9) / 6]) for k in (0, 2, 4)]
    return [("rectangle", [left + wide * k / 6, top, left + wide * (k + 0.9) / 6, bottom]) for k in (0, 2, 4)]


def desert_dunes(shape: Shape, generator: Generator) -> Image.Image:
    """Paint sweeping dunes under a pale sky: sand, long curves, light on one side."""
    height, width = shape
    canvas = gradient(shape, (0, jitter((112, 178, 196), generator, 8)), (0.5, jitter((244, 226, 196), generator, 6)))
    glow(canvas, generator.uniform(0.15, 0.85) * width, 0.16 * height, 0.14 * height, (70, 62, 40))
    columns = np.arange(width, dtype=np.float32)
    n_rows = 4
    for row in range(n_rows):
        near = row / (n_rows - 1)
        crest = height * (0.44 + 0.4 * near) + wave(generator, width, height * 0.09, width * 1.1, 2)
        sand = mix(jitter((240, 200, 146), generator, 5), jitter((214, 132, 68), generator, 5), near)
        lay(canvas, below(shape, crest), sand)
        depth = depth_below(shape, crest)
        slip = wave(generator, width, 0.16 * height, width * 0.7, 2) + 0.1 * height  # the edge of the shaded face
        shade = np.clip(slip - depth, 0, 26) / 26 * (depth > 0) * np.clip(slip / (0.1 * height), 0, 1)
        lay(canvas, shade, mix(sand, (110, 52, 44), 0.75), 0.7)
        ripples = np.sin(depth * 1.1 + columns * 0.1 + wave(generator, width, 5, width / 3)) * 0.5 + 0.5
        lay(canvas, ripples * np.clip(depth / 30, 0, 1), (150, 84, 44), 0.05 + 0.1 * near)
        lay(canvas, np.exp(-((depth - 1) ** 2) / 3), (255, 236, 200), 0.5)
    return finish(canvas, generator, vignette=0.15)


def aurora_peaks(shape: Shape, generator: Generator) -> Image.Image:
    """Paint snow mountains under northern lights: night blue, green ribbons, white ridges."""
    height, width = shape
    canvas = gradient(shape, (0, (8, 14, 40)), (0.7, jitter((24, 62, 92), generator, 6)), (1, (30, 80, 104)))
    n_stars = int(generator.integers(90, 160))
    rows, columns = generator.integers(0, int(height * 0.6), n_stars), generator.integers(0, width, n_stars)
    canvas[rows, columns] += generator.uniform(60, 200, size=(n_stars, 1)).astype(np.float32)
    sky = canvas[: int(height * 0.72)]
    for _ in range(generator.integers(2, 4)):
        foot = height * generator.uniform(0.34, 0.56) + wave(generator, width, height * 0.12, width * 0.8, 3)
        rise = -depth_below((len(sky), width), foot)
        rays = 0.55 + 0.45 * np.clip(wave(generator, width, 1.4, 60, 4), -1, 1)
        shine(sky, np.exp(-np.maximum(rise / (height * 0.17), -rise / 5)) * rays, (17, 144, 92))
        shine(sky, np.exp(-(((rise - height * 0.22) / (height * 0.13)) ** 2)) * rays, (46, 17, 63))
    for near, base, tall in ((0.0, 0.68, 0.3), (0.5, 0.8, 0.3), (1.0, 0.95, 0.22)):
        ridge = height * base + crags(generator, width, height * tall)
        _raise_mountain(canvas, ridge, near)
    return finish(canvas, generator)


def _raise_mountain(canvas: Canvas, ridge: Curve, near: float) -> None:
    """Paint a snow mountain below `ridge`, in place; its left faces are lit."""
    height, width = canvas.shape[:2]
    body, depth = below((height, width), ridge), depth_below((height, width), ridge)
    lay(canvas, body, mix((74, 108, 146), (34, 56, 96), near))
    slope = np.convolve(np.gradient(ridge), np.ones(9) / 9, mode="same")
    lit = np.clip(0.42 - slope * 1.1, 0, 1).astype(np.float32)
    columns = np.arange(width)[None, :] + (np.maximum(depth, 0) * 0.45).astype(int)
    facets = lit[np.minimum(columns, width - 1)]  # sheared, so that the faces follow the slope
    snow = mix((178, 208, 228), (232, 242, 250), near)
    lay(canvas, body * facets * np.exp(-np.maximum(depth, 0) / (height * 0.16)), snow, 0.95)
    lay(canvas, body * np.exp(-np.maximum(depth, 0) / 2.5), snow, 0.6)


def paper_lanterns(shape: Shape, generator: Generator) -> Image.Image:
    """Paint paper lanterns in front of warm blurred lights: dark red and amber, round shapes."""
    height, width = shape
    canvas = gradient(shape, (0, (30, 10, 14)), (0.6, jitter((74, 24, 16), generator, 6)), (1, (26, 10, 12)))
    for _ in range(generator.integers(22, 34)):
        x, y = generator.uniform(0, width), generator.uniform(0.05, 1) * height
        radius = generator.uniform(0.02, 0.065) * min(shape) * 1.3
        tone = jitter(((255, 176, 70), (255, 120, 60), (255, 214, 130))[generator.integers(3)], generator, 8)
        lay_disc(canvas, x, y, radius, tone, generator.uniform(0.12, 0.42), edge=3)
    for _ in range(generator.integers(3, 6)):
        x, y = generator.uniform(0.08, 0.92) * width, generator.uniform(0.2, 0.66) * height
        _hang_lantern(canvas, x, y, generator.uniform(0.075, 0.14) * min(shape) * 1.2, generator)
    return finish(canvas, generator)


def _hang_lantern(canvas: Canvas, x: float, y: float, size: float, generator: Generator) -> None:
    wide, tall = size, size * generator.uniform(0.85, 1.2)
    glow(canvas, x, y, size * 1.7, (96, 42, 10))
    lay_figures(canvas, [("rectangle", [x - 0.7, 0, x + 0.7, y - tall])], (24, 10, 8))
    left, top = max(0, int(x - wide) - 1), max(0, int(y - tall) - 1)
    patch = canvas[top : int(y + tall) + 2, left : int(x + wide) + 2]
    columns = (np.arange(left, left + patch.shape[1], dtype=np.float32) - x) / wide
    rows = (np.arange(top, top + patch.shape[0], dtype=np.float32)[:, None] - y) / tall
    body = np.clip((1 - np.hypot(rows, columns)) * wide + 0.5, 0, 1)
    lay(patch, body, jitter((226, 66, 30), generator, 10))
    lay(patch, body * np.exp(-((columns / 0.75) ** 2) - ((rows - 0.15) / 0.8) ** 2), (255, 214, 120), 0.95)
    swell = np.sqrt(np.clip(1 - rows**2, 0.02, 1))
    ribs = np.exp(-(((np.abs(columns / swell * 3) % 1) - 0.5) ** 2) / 0.006)
    lay(patch, body * ribs, (170, 44, 18), 0.32)
    cap, foot = wide * 0.42, size * 0.1
    ends = [
        [x - cap, y - tall - foot * 0.6, x + cap, y - tall + foot],
        [x - cap, y + tall - foot, x + cap, y + tall + foot * 0.6],
    ]
    lay_figures(canvas, [("rectangle", end) for end in ends], (58, 22, 14))
    lay_figures(canvas, [("rectangle", [x - 1.5, y + tall, x + 1.5, y + tall + size * 0.7])], (226, 120, 50))


def ink_wash(shape: Shape, generator: Generator) -> Image.Image:
    """Paint ink on paper: mostly white, washed hills, a few thin lines, one red seal."""
    height, width = shape
    canvas = gradient(shape, (0, (248, 246, 240)), (1, (241, 237, 228)))
    ink = (34, 36, 42)
    for row in range(generator.integers(2, 4)):
        ridge = height * (0.46 + 0.15 * row) + wave(
            generator, width, height * 0.12, width * generator.uniform(0.6, 1.2), 4
        )
        depth = depth_below(shape, ridge)
        fade = np.exp(-np.maximum(depth, 0) / (height * (0.06 + 0.03 * row))) * below(shape, ridge)
        lay(canvas, fade, ink, 0.3 + 0.2 * row)
        lay(canvas, np.exp(-(depth**2) / 1.2), ink, 0.55)
    if generator.random() < 0.75:
        x, y = generator.uniform(0.15, 0.85) * width, generator.uniform(0.12, 0.3) * height
        radius = generator.uniform(0.05, 0.09) * height
        lay_disc(canvas, x, y, radius, jitter((196, 52, 40), generator, 6), 0.9, edge=2)
    x, y = generator.uniform(0.1, 0.8) * width, generator.uniform(0.1, 0.34) * height
    birds: list[Figure] = []
    for _ in range(generator.integers(3, 8)):
        bx, by, span = x + generator.normal(0, 40), y + generator.normal(0, 18), generator.uniform(4, 8)
        birds.append(("polygon", [bx - span, by - span * 0.5, bx, by, bx + span, by - span * 0.5, bx, by + 1.4]))
    water = height * generator.uniform(0.84, 0.92)
    bx, size = generator.uniform(0.2, 0.8) * width, height * 0.05
    boat = [
        bx - size * 1.6,
        water,
        bx + size * 1.6,
        water,
        bx + size,
        water + size * 0.4,
        bx - size,
        water + size * 0.4,
    ]
    mast = [bx - 0.6, water - size * 1.7, bx + 0.6, water]
    lay_figures(canvas, [*birds, ("polygon", boat), ("rectangle", mast)], ink, 0.9)
    sx, sy, side = 0.93 * width, 0.86 * height, 0.032 * height
    lay_figures(canvas, [("rectangle", [sx - side, sy - side, sx + side, sy + side])], (186, 44, 36), 0.85)
    return finish(canvas, generator, grain=1.6, vignette=0.06)
