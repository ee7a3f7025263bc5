from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from crawler.sandbox.pictures import FILLERS, SHAPES_PX, THEMES, Picture, avatar, encode, paint


@pytest.mark.parametrize("scene", [*THEMES, *FILLERS])
@pytest.mark.parametrize("kind", SHAPES_PX)
def test_a_picture_has_its_kinds_shape_and_always_the_same_bytes(scene: str, kind: str) -> None:
    picture = Picture(scene, kind, 11)
    body = encode(picture)
    paint.cache_clear()
    assert encode(picture) == body
    assert encode(Picture(scene, kind, 12)) != body
    assert Image.open(BytesIO(body)).size == SHAPES_PX[kind]


@pytest.mark.parametrize(
    ("size", "expected"), [("sqxs", (100, 100)), ("s", (270, 152)), ("m", (600, 338)), ("l", (960, 541))]
)
def test_a_picture_comes_in_the_sites_sizes(size: str, expected: tuple[int, int]) -> None:
    assert Image.open(BytesIO(encode(Picture("bauhaus", "still", 1), size))).size == expected


def test_a_picture_comes_as_jpeg_and_as_webp() -> None:
    formats = {
        suffix: Image.open(BytesIO(encode(Picture("crowd", "still", 1), "s", suffix))).format
        for suffix in ("jpg", "webp")
    }
    assert formats == {"jpg": "JPEG", "webp": "WEBP"}


def _thumbnail(scene: str, seed: int) -> np.ndarray:
    small = paint(Picture(scene, ("still", "poster")[seed % 2], seed)).resize((6, 6), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()


def test_the_theme_is_in_the_pixels() -> None:
    centres = {scene: np.mean([_thumbnail(scene, seed) for seed in range(6)], axis=0) for scene in [*THEMES, *FILLERS]}
    told = {scene: [] for scene in THEMES}
    for scene in THEMES:
        for seed in range(100, 106):
            seen = _thumbnail(scene, seed)
            told[scene].append(min(centres, key=lambda other: float(np.linalg.norm(centres[other] - seen))))
    right = [guess == scene for scene, guesses in told.items() for guess in guesses]
    assert np.mean(right) > 0.9, told


def test_fillers_are_greyer_than_themes() -> None:
    def colourfulness(scene: str) -> float:
        pixels = np.asarray(paint(Picture(scene, "still", 5)), np.float32)
        return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())

    greyest_theme = sorted(colourfulness(scene) for scene in THEMES if scene != "ink_wash")[0]  # ink is grey by nature
    assert max(colourfulness(filler) for filler in FILLERS) < greyest_theme


def test_avatars_differ_and_are_jpegs() -> None:
    assert avatar(1) == avatar(1) != avatar(2)
    assert Image.open(BytesIO(avatar(1))).format == "JPEG"
