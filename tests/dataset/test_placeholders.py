"""Pictures that say nothing: what counts as tiny, blank, shared or nearly equal, and what does not."""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dataset.pictures.operations import check
from dataset.pictures.protocol import N_CELL_LEVELS
from dataset.placeholders.config import PlaceholderConfig, thresholds_of
from dataset.placeholders.fingerprints import fingerprints_of
from dataset.placeholders.frames import judge_frames, near_duplicates
from dataset.placeholders.groups import difference_hashes, near_groups

Picture = Image.Image


def scene(seed: int, size: tuple[int, int] = (600, 400), contrast: float = 1.0) -> Picture:
    """Return a picture of large soft spots and small grain, as a photo has them."""
    rng = np.random.default_rng(seed)
    levels = 128 + contrast * (rng.integers(0, 256, (5, 7, 3)) - 128)
    soft = Image.fromarray(levels.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.normal(0, 4, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8))


def sign(words: str = "NO PICTURE", size: tuple[int, int] = (300, 450)) -> Picture:
    """Return a placeholder with words, the same on its left and right half but for these."""
    drawn = Image.new("RGB", (300, 450), (221, 221, 221))
    draw = ImageDraw.Draw(drawn)
    draw.rounded_rectangle((60, 120, 240, 260), 20, outline=(120, 120, 120), width=12)
    draw.ellipse((115, 155, 185, 225), outline=(120, 120, 120), width=12)
    draw.text((70, 300), words, fill=(120, 120, 120), font_size=26)
    return drawn.resize(size, Image.Resampling.LANCZOS)


def poster(title: str, ink: tuple[int, int, int], figure: int) -> Picture:
    """Return a poster of a series: one layout, but another title, colour and figure."""
    drawn = Image.new("RGB", (400, 600), (245, 240, 225))
    draw = ImageDraw.Draw(drawn)
    draw.rectangle((0, 0, 400, 90), fill=ink)
    draw.text((20, 20), title, fill=(255, 255, 255), font_size=44)
    draw.ellipse((60 + 40 * figure, 200, 220 + 40 * figure, 420), fill=ink)
    draw.rectangle((20, 520 - 60 * figure, 380, 540 - 60 * figure), fill=ink)
    return drawn


def gradient(direction: str, levels: tuple[int, int] = (0, 255)) -> Picture:
    """Return a gradient from left to right, from top to bottom, or from right to left."""
    ramp = np.linspace(*levels, 300)[None, :].repeat(300, axis=0)
    turned = {"right": ramp, "left": ramp[:, ::-1], "down": ramp.T}[direction]
    return Image.fromarray(turned.astype(np.uint8)).convert("RGB")


def night(*lights: tuple[int, int]) -> Picture:
    """Return a dark picture with small lights."""
    drawn = Image.new("RGB", (600, 400), (12, 12, 18))
    for x, y in lights:
        ImageDraw.Draw(drawn).ellipse((x - 18, y - 18, x + 18, y + 18), fill=(235, 225, 190))
    return drawn


def shirt(colour: str) -> Picture:
    drawn = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(drawn).polygon([(100, 80), (300, 80), (380, 160), (300, 360), (100, 360), (20, 160)], fill=colour)
    return drawn


def dotted(side: int) -> Picture:
    drawn = Image.new("RGB", (600, 800), "white")
    ImageDraw.Draw(drawn).rectangle((100, 100, 100 + side, 100 + side), fill="black")
    return drawn


def noisy(level: int, amplitude: int) -> Picture:
    levels = level + np.random.default_rng(0).integers(-amplitude, amplitude + 1, (300, 200, 3))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def encoded(picture: Picture, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def judged(owners: Sequence[tuple[str, bytes]], config: PlaceholderConfig = PlaceholderConfig()) -> pl.DataFrame:  # noqa: B008
    """Judge pictures, each given with its item; frames are called f000, f001, …"""
    return judge_frames(*tables(owners), config)


def tables(owners: Iterable[tuple[str, bytes]]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    frames, images, cells = [], [], {}
    for number, (item, content) in enumerate(owners):
        found = checked(content)
        frames.append({"frame_id": f"f{number:03}", "movie_id": item})
        images.append(
            {
                "frame_id": f"f{number:03}",
                "image_sha256": found["sha256"],
                "width_px": found["width_px"],
                "height_px": found["height_px"],
            }
        )
        cells[found["sha256"]] = found["cells"]
    return pl.DataFrame(frames), pl.DataFrame(images), fingerprints_of(cells)


def checked(content: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(check(content))
    return found


BLANK = {
    "black PNG": encoded(Image.new("RGB", (300, 200), "black")),
    "white PNG": encoded(Image.new("RGB", (300, 200), "white")),
    "grey WebP": encoded(Image.new("RGB", (300, 200), "#777777"), "WEBP"),
    "one colour of a palette, GIF": encoded(Image.new("P", (300, 200), 7), "GIF"),
    "one bit per pixel": encoded(Image.new("1", (300, 200), 1)),
    "16 bits per level": encoded(Image.new("I;16", (300, 200), 40_000)),
    "wholly transparent": encoded(Image.new("RGBA", (300, 200), (200, 10, 10, 0))),
    "white with grain": encoded(noisy(250, 5), "JPEG", quality=60),
    "black with strong grain": encoded(noisy(20, 15)),
    "white with a dot": encoded(dotted(8)),
    **{
        f"white JPEG, quality {quality}": encoded(Image.new("RGB", (301, 203), "white"), "JPEG", quality=quality)
        for quality in (5, 30, 75, 95)
    },
    **{
        f"red JPEG, quality {quality}": encoded(Image.new("RGB", (301, 203), "#aa1122"), "JPEG", quality=quality)
        for quality in (5, 30, 75, 95)
    },
}
TELLING = {
    "a gradient": encoded(gradient("right")),
    "a gradient of few levels": encoded(gradient("down", (100, 130))),
    "a dark gradient": encoded(gradient("left", (0, 30)), "JPEG"),
    "a night with one light": encoded(night((300, 200)), "JPEG"),
    "a white page with words": encoded(poster("THE END", (20, 20, 20), 3)),
    "a photo": encoded(scene(1), "JPEG"),
    "a photo in fog": encoded(scene(2, contrast=0.2), "JPEG"),
    "two colours of the same brightness": encoded(
        Image.merge(
            "RGB", [gradient("right").getchannel(0), gradient("left").getchannel(0), gradient("right").getchannel(0)]
        )
    ),
    "32 pixels": encoded(scene(3, (32, 32))),
}
TINY = {
    "1 x 1 GIF": encoded(Image.new("P", (1, 1)), "GIF"),
    "an icon": encoded(scene(4, (16, 16))),
    "a line": encoded(scene(5, (900, 31))),
    "a column": encoded(scene(6, (31, 900))),
}
KINDS = [
    (content, kind) for kinds, kind in ((BLANK, "blank"), (TELLING, None), (TINY, "tiny")) for content in kinds.values()
]


@pytest.mark.parametrize(("content", "kind"), KINDS, ids=[*BLANK, *TELLING, *TINY])
def test_a_picture_is_blank_tiny_or_says_something(content: bytes, kind: str | None) -> None:
    assert judged([("m", content)])["kind"].to_list() == [kind]


def test_what_is_blank_and_tiny_is_a_setting() -> None:
    foggy, small = encoded(gradient("right", (100, 110))), encoded(scene(1, (32, 40)))
    assert judged([("m", foggy)])["kind"][0] is None
    assert judged([("m", foggy)], PlaceholderConfig(blank_levels=12))["kind"][0] == "blank"
    assert judged([("m", small)], PlaceholderConfig(min_side_px=33))["kind"][0] == "tiny"
    dotted = encoded(Image.new("RGB", (300, 200), (10, 10, 10)), "JPEG")
    assert judged([("m", dotted)], PlaceholderConfig(blank_levels=0))["kind"][0] == "blank"


# Functions, because these pictures take seconds, and every process that runs tests imports this module.
SAME = {
    "two sizes": lambda: [
        encoded(scene(1, (600, 400)).resize(size), "JPEG") for size in ((600, 400), (300, 200), (90, 60))
    ],
    "several qualities": lambda: [encoded(scene(2), "JPEG", quality=quality) for quality in (15, 40, 75, 95)],
    "several formats": lambda: [encoded(scene(3), kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")],
    "a sign in qualities": lambda: [encoded(sign(), "JPEG", quality=quality) for quality in (10, 30, 50, 70, 90)],
    "a sign in sizes": lambda: [
        encoded(sign(size=size), "JPEG") for size in ((300, 450), (200, 300), (135, 201), (64, 96))
    ],
    "a night in qualities": lambda: [encoded(night((80, 90), (500, 300)), "JPEG", quality=q) for q in (15, 50, 95)],
    "a gradient in qualities": lambda: [
        encoded(gradient("right"), "JPEG", quality=quality) for quality in (15, 50, 95)
    ],
    "fog in qualities": lambda: [encoded(scene(4, contrast=0.2), "JPEG", quality=quality) for quality in (30, 60, 95)],
    "a poster in sizes": lambda: [
        encoded(poster("PART ONE", (160, 20, 30), 1).resize(s)) for s in ((400, 600), (100, 150))
    ],
}
DIFFERENT = {
    "posters of a series": lambda: [
        encoded(poster(f"PART {n}", ink, n)) for n, ink in enumerate([(160, 20, 30), (20, 60, 160)])
    ],
    "posters of a series, one colour": lambda: [encoded(poster(f"PART {n}", (20, 60, 160), n)) for n in range(4)],
    "photos": lambda: [encoded(scene(seed)) for seed in range(10, 40)],
    "photos in fog": lambda: [encoded(scene(seed, contrast=0.2)) for seed in range(10, 40)],
    "gradients": lambda: [encoded(gradient(direction)) for direction in ("right", "left", "down")],
    "nights": lambda: [
        encoded(night(*lights)) for lights in ([(80, 90)], [(500, 90)], [(500, 330)], [(80, 90), (500, 330)])
    ],
    "one shirt in several colours": lambda: [
        encoded(shirt(colour)) for colour in ("red", "#d00000", "blue", "navy", "black", "yellow")
    ],
    "gradients of other levels": lambda: [
        encoded(gradient("right", levels)) for levels in ((0, 90), (30, 120), (150, 240))
    ],
    "a picture and its negative": lambda: [encoded(gradient("right")), encoded(gradient("right", (255, 0)))],
    "a picture and its mirror image": lambda: [
        encoded(scene(7)),
        encoded(scene(7).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ],
}


@pytest.mark.parametrize("contents", SAME.values(), ids=SAME)
def test_one_picture_in_other_sizes_and_qualities_is_one_group(contents: Callable[[], list[bytes]]) -> None:
    assert judged([(f"m{n}", content) for n, content in enumerate(contents())])["group"].n_unique() == 1


@pytest.mark.parametrize("contents", DIFFERENT.values(), ids=DIFFERENT)
def test_different_pictures_are_different_groups(contents: Callable[[], list[bytes]]) -> None:
    found = judged([(f"m{n}", content) for n, content in enumerate(contents())])
    assert found["group"].n_unique() == found.height
    assert found["n_items"].to_list() == [1] * found.height


def test_a_picture_of_ten_items_is_shared_by_many_and_one_of_nine_is_not() -> None:
    for n_items, kind in ((9, None), (10, "shared")):
        found = judged([(f"m{n}", encoded(scene(1))) for n in range(n_items)])
        assert found["kind"].unique().to_list() == [kind]
        assert found["n_items"].unique().to_list() == [n_items]


def test_nearly_equal_signs_of_many_items_are_shared_by_many() -> None:
    signs = [encoded(sign(size=(150 + 10 * n, 225 + 15 * n)), "JPEG", quality=30 + 5 * n) for n in range(12)]
    real = [encoded(scene(seed)) for seed in range(12)]
    found = judged([(f"m{n}", content) for n, content in enumerate([*signs, *real])])
    assert found["kind"].to_list() == ["shared"] * 12 + [None] * 12


def test_many_pictures_of_one_item_are_not_shared_by_many() -> None:
    found = judged([("m", encoded(scene(1)))] * 30)
    assert found["kind"].null_count() == 30
    assert found["n_items"].unique().to_list() == [1]


def test_films_of_a_series_may_share_a_still() -> None:
    found = judged([("part one", encoded(scene(1))), ("part two", encoded(scene(1))), ("part two", encoded(scene(2)))])
    assert found["kind"].null_count() == 3


def test_a_blank_picture_under_many_items_is_blank() -> None:
    found = judged([(f"m{n}", BLANK["black PNG"]) for n in range(20)])
    assert found["kind"].unique().to_list() == ["blank"]
    assert found["n_items"].unique().to_list() == [20]


def test_identical_and_tiny_pictures_are_recognised_without_fingerprints() -> None:
    frames, images, fingerprints = tables([*((f"m{n}", encoded(scene(1))) for n in range(10)), ("n", TINY["an icon"])])
    found = judge_frames(frames, images, fingerprints.clear())
    assert found["kind"].to_list() == ["shared"] * 10 + ["tiny"]
    assert not found["is_known"].any()


def test_the_order_of_rows_changes_nothing() -> None:
    contents = [content for made in SAME.values() for content in made()]
    frames, images, fingerprints = tables((f"m{n % 7}", content) for n, content in enumerate(contents))
    shuffled = [table.sample(fraction=1, shuffle=True, seed=1) for table in (frames, images, fingerprints)]
    assert judge_frames(frames, images, fingerprints).equals(judge_frames(*shuffled))


def test_frames_of_an_item_that_are_nearly_equal_name_one_of_them() -> None:
    one, other = scene(1), scene(2)
    frames, images, fingerprints = tables(
        [
            ("a", encoded(one)),
            ("a", encoded(one.resize((300, 200)), "JPEG", quality=60)),
            ("a", encoded(other)),
            ("b", encoded(one)),
            ("b", TINY["an icon"]),
        ]
    )
    without_picture = pl.DataFrame({"frame_id": ["f999"], "movie_id": ["a"]})
    found = near_duplicates(pl.concat([frames, without_picture]), images, fingerprints)
    assert found.rows() == [
        ("f000", "a", "f000"),
        ("f001", "a", "f000"),
        ("f002", "a", "f002"),
        ("f003", "b", "f003"),
        ("f004", "b", "f004"),
        ("f999", "a", "f999"),
    ]


def test_no_frames_have_no_duplicates() -> None:
    frames, images, fingerprints = tables([("a", encoded(scene(1)))])
    assert near_duplicates(frames.clear(), images.clear(), fingerprints.clear()).rows() == []
    assert judge_frames(frames.clear(), images.clear(), fingerprints.clear()).rows() == []


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), near_bits=st.integers(0, 7))
def test_the_search_by_words_finds_what_comparing_all_pairs_finds(seed: int, n: int, near_bits: int) -> None:
    rng = np.random.default_rng(seed)
    originals = rng.integers(0, 256, (1 + n // 4, N_CELL_LEVELS))
    copies = originals[rng.integers(0, len(originals), n)] + rng.normal(
        0, rng.uniform(0, 40, (n, 1)), (n, N_CELL_LEVELS)
    )
    cells = np.clip(copies, 0, 255).astype(np.uint8)
    assert near_groups(cells, near_bits).tolist() == compared_in_pairs(cells, near_bits)


def compared_in_pairs(cells: np.ndarray, near_bits: int) -> list[int]:
    bits = np.unpackbits(difference_hashes(cells).view(np.uint8), axis=1).astype(int)
    levels = cells.reshape(-1, 81, 3).astype(float)
    group = [-1] * len(cells)
    for row in range(len(cells)):
        if group[row] >= 0:
            continue
        contrast = levels[row].var(axis=0).mean()
        for other in range(len(cells)):
            difference = levels[other] - levels[row]
            difference -= np.clip(difference.mean(axis=0), -6, 6)
            is_near = np.abs(bits[row] - bits[other]).sum() <= near_bits
            if group[other] < 0 and is_near and (difference**2).mean() <= min(contrast / 16, 16):
                group[other] = row
        group[row] = row
    return group


def test_the_hash_of_a_known_picture_is_known() -> None:
    """A bit is 1 where a cell is brighter than its neighbour, by more than a quarter of the contrast."""
    rising = np.repeat(np.arange(0, 180, 20, dtype=np.uint8)[None, :, None], 9, axis=0).repeat(3, axis=2).reshape(1, -1)
    assert difference_hashes(rising).tolist() == [[0xFF00] * 8]
    falling_down = rising[:, ::-1].reshape(9, 9, 3).transpose(1, 0, 2)[::-1].reshape(1, -1)
    assert difference_hashes(falling_down).tolist() == [[0x00FF] * 8]


@pytest.mark.parametrize(
    ("given_settings", "expected"),
    [
        ({}, PlaceholderConfig()),
        ({"placeholders": None}, PlaceholderConfig()),
        ({"placeholders": {"shared_by": 3}}, PlaceholderConfig(shared_by=3)),
        ({"placeholders": {"shared_by": 3, "of_a_later_version": 1}}, PlaceholderConfig(shared_by=3)),
        ({"placeholders": {"shared_by": "many"}}, PlaceholderConfig()),
        ({"placeholders": [3]}, PlaceholderConfig()),
        ({"placeholders": {"near_bits": 64}}, PlaceholderConfig()),
    ],
)
def test_thresholds_are_read_from_settings(given_settings: dict[str, Any], expected: PlaceholderConfig) -> None:
    assert thresholds_of(given_settings) == expected
