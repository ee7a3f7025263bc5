import hashlib
import io
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ConvNeXt_Base_Weights, EfficientNet_B3_Weights, VGG19_Weights
from torchvision.transforms.functional import normalize, pil_to_tensor

from features.images import Geometry, UnreadablePicture, cut, read_crop, read_picture

PHOTOGRAPHS = sorted(
    path
    for path in (Path(skimage.__file__).parent / "data").iterdir()
    if path.name in {"astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg"}
)


@pytest.mark.parametrize("weights", [VGG19_Weights, ConvNeXt_Base_Weights, EfficientNet_B3_Weights])
@settings(max_examples=12, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_a_cut_picture_is_what_torchvisions_preset_makes_of_it(weights, width: int, height: int, seed: int) -> None:
    transforms = weights.IMAGENET1K_V1.transforms()
    geometry = Geometry(transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value)
    width, height = max(width, height // 30 + 1), max(height, width // 30 + 1)
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    ours = normalize(pil_to_tensor(cut(picture, geometry)).float().div(255), transforms.mean, transforms.std)
    torch.testing.assert_close(ours, transforms(picture), rtol=0, atol=1e-6)


def test_photographs_are_at_hand() -> None:
    assert len(PHOTOGRAPHS) == 6


@pytest.mark.parametrize("side_px", [256, 128, 64])  # so that all the fractions of fast decoding occur
@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_fast_decoding_of_a_photograph_shows_the_same_picture(path: Path, side_px: int, tmp_path: Path) -> None:
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.convert("RGB").save(tmp_path / "p.jpg", quality=90)
        path = tmp_path / "p.jpg"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    geometry = Geometry(side_px, side_px * 7 // 8, "bilinear")
    fast, full = (
        np.frombuffer(read_crop(path, digest, geometry, way), np.uint8).astype(float) for way in (True, False)
    )
    with Image.open(path) as picture:
        short = min(picture.size)
    error = np.square(fast - full).mean()
    assert error <= 255**2 / 10**3.5, "less than 35 dB"
    assert (error > 0) == (short >= 2 * 1.4 * side_px)
    cosine = (fast - fast.mean()) @ (full - full.mean()) / np.linalg.norm(fast - fast.mean())
    assert cosine / np.linalg.norm(full - full.mean()) >= 0.995


def test_a_progressive_picture_is_read_as_any_other(tmp_path: Path) -> None:
    noise = Image.effect_noise((300, 200), 90).convert("RGB")
    for name, progressive in (("plain", False), ("progressive", True)):
        noise.save(tmp_path / name, "JPEG", progressive=progressive)
    assert read_picture(tmp_path / "progressive").tobytes() == read_picture(tmp_path / "plain").tobytes()


def test_a_fast_decoded_picture_is_upright_too(tmp_path: Path) -> None:
    picture = Image.new("RGB", (1200, 800))
    picture.paste((255, 255, 255), (0, 0, 600, 800))
    exif = picture.getexif()
    exif[0x0112] = 6  # its left side is up
    picture.save(tmp_path / "p.jpg", exif=exif)
    upright = read_picture(tmp_path / "p.jpg", min_side_px=359)
    assert upright.size == (400, 600)
    assert upright.getpixel((200, 30)) == (255, 255, 255)
    assert upright.getpixel((200, 570)) == (0, 0, 0)


def test_a_line_of_pixels_is_no_bomb() -> None:
    with pytest.raises(UnreadablePicture, match="too thin: 1 x 20000"):
        cut(Image.new("RGB", (1, 20_000)), Geometry(256, 224, "bilinear"))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_broken_bytes_are_a_picture_or_unreadable_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "JPEG2000"]))
    content = io.BytesIO()
    noise = random.Random(0).randbytes(40 * 30 * 3)  # the same at each try: Hypothesis repeats what it drew
    Image.frombytes("RGB", (40, 30), noise).save(content, kind)
    broken = bytearray(content.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken"
    path.write_bytes(broken[: data.draw(st.integers(0, len(broken)))])
    with suppress(UnreadablePicture):
        assert read_picture(path).mode == "RGB"


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "p.jpg", exif=exif)
    assert read_picture(tmp_path / "p.jpg").size == (20, 40)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "p.png")
    assert read_picture(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "I;16"])
def test_every_mode_becomes_rgb_and_keeps_its_brightness(mode: str, tmp_path: Path) -> None:
    name = tmp_path / ("p.tiff" if mode == "CMYK" else "p.png")
    if mode == "I;16":
        Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(name)
    else:
        Image.new("L", (4, 4), 255).convert(mode).save(name)
    picture = read_picture(name)
    assert picture.mode == "RGB"
    assert picture.getpixel((1, 1)) == (255, 255, 255)


def test_of_an_animation_the_first_picture_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "p.gif").getpixel((0, 0)) == (255, 0, 0)


def test_what_is_no_picture_is_unreadable_with_a_reason(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 90).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    for name, content, reason in (
        ("empty", b"", "the file is empty"),
        ("text", b"hello", "not a picture"),
        ("cut", whole[: len(whole) // 2], "cannot be decoded"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadablePicture, match=reason):
            read_picture(tmp_path / name)
    with pytest.raises(UnreadablePicture, match="missing"):
        read_picture(tmp_path / "none")


def test_a_drawing_that_would_run_as_a_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_a, **_k: pytest.fail("Ghostscript is run"))
    Image.new("RGB", (40, 30)).save(tmp_path / "p.eps")
    with pytest.raises(UnreadablePicture, match="EPS is refused"):
        read_picture(tmp_path / "p.eps")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.images.MAX_PIXELS", 100)
    Image.new("1", (11, 10)).save(tmp_path / "p.png")
    with pytest.raises(UnreadablePicture, match="too large: 11 x 10"):
        read_picture(tmp_path / "p.png")
