import io
import json
import random
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.pictures import decoding
from dataset.pictures.decoding import read_picture
from dataset.pictures.operations import check, cut
from dataset.pictures.protocol import Geometry, UnreadablePicture


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
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"]))
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
        ("text", b"hello", "not a JPEG"),
        ("cut", whole[: len(whole) // 2], "cannot be decoded"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadablePicture, match=reason):
            read_picture(tmp_path / name)
    with pytest.raises(UnreadablePicture, match="missing"):
        read_picture(tmp_path / "none")


OTHER_FORMATS = ["EPS", "PDF", "ICO", "ICNS", "JPEG2000", "PPM", "TGA", "PCX", "SGI", "DDS", "MSP", "XBM", "DIB"]


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_a_picture_of_any_other_format_is_refused_whatever_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_a, **_k: pytest.fail("Ghostscript is run"))
    mode = "1" if kind in ("MSP", "XBM") else "RGB"
    Image.new(mode, (64, 64)).save(tmp_path / "p", kind)
    with pytest.raises(UnreadablePicture, match="not a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture"):
        read_picture((tmp_path / "p").rename(tmp_path / "p.jpg"))


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\nshowpage\n%%EOF\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html>",
        b"\xd7\xcd\xc6\x9a" + bytes(60),  # WMF
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(40),
        b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic" + bytes(40),
        b"\x00\x00\x00\x01Bud1" + bytes(60),  # .DS_Store
    ],
    ids=["endless PostScript", "SVG", "HTML", "WMF", "HEIC", "HEIC of another brand", "DS_Store"],
)
def test_what_is_no_allowed_picture_is_refused_without_being_run(content: bytes) -> None:
    with pytest.raises(UnreadablePicture, match=r"not a JPEG|cannot be decoded"):
        read_picture(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_allowed_format_is_read(kind: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (250, 10, 10)).save(content, kind)
    picture = read_picture(content.getvalue())
    assert (picture.mode, picture.size) == ("RGB", (40, 30))
    assert np.abs(np.subtract(picture.getpixel((20, 15)), (250, 10, 10))).max() <= 6


def test_a_phones_jpeg_with_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (10, 10))
    first.save(tmp_path / "p.jpg", "MPO", save_all=True, append_images=[second])
    assert json.loads(check(tmp_path / "p.jpg"))["format"] == "jpeg"
    assert read_picture(tmp_path / "p.jpg").getpixel((20, 15)) == (255, 255, 255)


def test_broken_exif_data_is_no_reason_to_reject_a_picture() -> None:
    content = io.BytesIO()
    Image.new("RGB", (40, 20)).save(content, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_picture(content.getvalue()).size == (40, 20)


def test_a_damaged_png_is_unreadable_whatever_pillow_raises() -> None:
    content = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(content, "PNG")
    whole = content.getvalue()
    start = whole.index(b"IDAT") + 8
    for length in range(1, 40):  # a tail of zeros is an IndexError in some places, an OSError or SyntaxError in others
        with pytest.raises(UnreadablePicture):
            read_picture(whole[: start + 100 * length] + bytes(4000))


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    Image.new("1", (11, 10)).save(content, "PNG")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(UnreadablePicture, match="too large: 11 x 10"):
        read_picture(content.getvalue())
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 10)
    with pytest.raises(UnreadablePicture, match="too large: more than"):
        read_picture(content.getvalue())


def test_a_reason_holds_no_path_and_no_address(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "none", tmp_path / "folder", tmp_path / "text", tmp_path / "text" / "below"):
        with pytest.raises(UnreadablePicture) as raised:
            read_picture(path)
        assert str(tmp_path) not in str(raised.value)
        assert "0x" not in str(raised.value)


def tiff(levels: np.ndarray, order: str = "<", photometric: int = 1, bits: int | None = None) -> bytes:
    """Return a grey TIFF as other programs write it; Pillow writes neither big-endian ones nor inverted ones."""
    data = levels.astype(levels.dtype.newbyteorder(order)).tobytes() if bits is None else pack(levels, bits)
    kind = {"u": 1, "i": 2, "f": 3}[levels.dtype.kind]
    height, width = levels.shape
    tags = ((256, width), (257, height), (258, bits or levels.dtype.itemsize * 8), (259, 1), (262, photometric))
    tags += ((273, 8 + 2 + 12 * 10 + 4), (277, 1), (278, height), (279, len(data)), (339, kind))
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags)) + entries + bytes(4) + data


def pack(levels: np.ndarray, bits: int) -> bytes:
    """Return rows of levels of so many bits, each row from a byte of its own."""
    binary = ["".join(f"{level:0{bits}b}" for level in row) for row in levels.tolist()]
    return b"".join(int(row, 2).to_bytes(-(-len(row) // 8), "big") for row in binary)


def grey(content: bytes) -> list[int]:
    pixels = np.asarray(read_picture(content))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].ravel().tolist()


DEEP = np.arange(65_536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_16_bit_tiff_keeps_its_upper_8_bits_in_either_byte_order(order: str) -> None:
    assert grey(tiff(DEEP, order)) == (DEEP >> 8).ravel().tolist()


def test_a_16_bit_png_keeps_its_upper_8_bits() -> None:
    content = io.BytesIO()
    Image.fromarray(DEEP).save(content, "PNG")
    assert grey(content.getvalue()) == (DEEP >> 8).ravel().tolist()


def test_a_12_bit_tiff_keeps_its_upper_8_bits() -> None:
    levels = np.array([[0, 15, 16, 255, 256, 2048, 4080, 4095]], np.uint16)
    assert grey(tiff(levels, bits=12)) == (levels >> 4).ravel().tolist()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_tiff_in_which_0_is_white_is_no_negative(dtype: type) -> None:
    assert grey(tiff(np.array([[0, 65_535]], dtype), photometric=0)) == [255, 0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        ([0.0, 0.002, 0.1, 0.9], [0, 1, 26, 230]),  # dark or pale, but still in 0–1
        ([0.0, 64.0, 127.6, 255.0], [0, 64, 128, 255]),
        ([0.0, 256.0, 32_768.0, 65_535.0], [0, 1, 128, 255]),
        ([0.0, 1e6, 2e6, 4e6], [0, 64, 128, 255]),  # no known white: stretched
        ([-1.0, -0.5, 0.0, 1.0], [0, 64, 128, 255]),
        ([-0.01, 0.0, 0.5, 1.0], [0, 0, 128, 255]),  # a filter has overshot
        ([0.0, np.nan, 0.5, 1.0], [0, 0, 128, 255]),
        ([np.nan, 0.5, np.inf, 1.0], [0, 128, 0, 255]),
        ([0.0, 0.0, 0.0, 0.0], [0, 0, 0, 0]),
        ([-5.0, -5.0, -5.0, -5.0], [0, 0, 0, 0]),
        ([np.nan, np.nan, np.nan, np.nan], [0, 0, 0, 0]),
    ],
)
def test_the_range_of_float_levels_says_what_white_is(levels: list[float], expected: list[int], order: str) -> None:
    assert grey(tiff(np.array([levels], np.float32), order)) == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [([0, 64, 255], [0, 64, 255]), ([0, 256, 65_535], [0, 1, 255]), ([0, 1 << 29, 1 << 30], [0, 128, 255])],
)
def test_the_range_of_32_bit_levels_says_what_white_is(levels: list[int], expected: list[int]) -> None:
    assert grey(tiff(np.array([levels], np.int32))) == expected


def test_unsigned_32_bit_levels_may_use_their_highest_bit() -> None:
    assert grey(tiff(np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32))) == [0, 128, 255]
    assert grey(tiff(np.array([[0, 300, 65_535]], np.uint32))) == [0, 1, 255]


def test_the_transparent_level_of_a_16_bit_png_becomes_white() -> None:
    content = io.BytesIO()
    Image.fromarray(np.array([[0, 1000, 1001, 65_535]], np.uint16)).save(content, "PNG", transparency=1000)
    assert grey(content.getvalue()) == [0, 255, 3, 255]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
def test_what_is_transparent_becomes_white_in_every_mode(mode: str) -> None:
    content = io.BytesIO()
    options = {"transparency": (0, 0, 0) if mode == "RGB" else 0} if mode in ("P", "L", "RGB") else {}
    Image.new(mode, (4, 4)).save(content, "PNG", **options)
    assert grey(content.getvalue()) == [255] * 16
