from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.images import UnreadablePicture, read_picture


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
        ("empty", b"", "not a picture"),
        ("text", b"hello", "not a picture"),
        ("cut", whole[: len(whole) // 2], "cannot be decoded"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadablePicture, match=reason):
            read_picture(tmp_path / name)
    with pytest.raises(UnreadablePicture, match="missing"):
        read_picture(tmp_path / "none")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.images.MAX_PIXELS", 100)
    Image.new("1", (11, 10)).save(tmp_path / "p.png")
    with pytest.raises(UnreadablePicture, match="too large: 11 x 10"):
        read_picture(tmp_path / "p.png")
