import hashlib
import io
import sys

import pytest
from PIL import Image

from crawler.archive import pictures
from crawler.archive.pictures import verify_picture, write_picture
from crawler.page import BadPicture
from dataset.errors import PipelineError
from dataset.pictures.pool import PicturePool

FRAGILE = """
import os, sys, time
import dataset.pictures.process as process
whole = process.OPERATIONS["check"]
def check(source):
    if source == b"segfault": os.kill(os.getpid(), 11)
    if source == b"endless": time.sleep(60)
    return whole(source)
process.OPERATIONS["check"] = check
process.main(sys.argv[1:])
"""


def _store(crawl_dir, body):
    picture = verify_picture(body)
    write_picture(crawl_dir, picture, body)
    return picture


def _picture(form="JPEG", size=(40, 30)):
    buffer = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert("RGB").save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("AVIF", "avif")]
)
def test_a_picture_is_stored_under_its_hash_with_the_format_of_its_bytes(tmp_path, form, extension):
    body = _picture(form)
    picture = _store(tmp_path, body)
    sha256 = hashlib.sha256(body).hexdigest()
    assert picture.path == f"pictures/{sha256[:2]}/{sha256}.{extension}"
    assert (picture.format, picture.width_px, picture.height_px) == (form.lower(), 40, 30)
    assert (picture.sha256, picture.size_bytes) == (sha256, len(body))
    assert (tmp_path / picture.path).read_bytes() == body


def test_the_same_bytes_are_stored_once(tmp_path):
    assert _store(tmp_path, _picture()) == _store(tmp_path, _picture())
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_off_picture_is_bad(tmp_path, form):
    body = _picture(form, (200, 200))
    with pytest.raises(BadPicture):
        _store(tmp_path, body[: len(body) * 2 // 3])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("body", [b"", b"<html>418</html>", b"\xff\xd8\xff\xe0 not a jpeg"])
def test_bytes_that_are_not_a_picture_are_bad(body):
    with pytest.raises(BadPicture):
        verify_picture(body)


def test_too_many_pixels_or_bytes_are_bad():
    buffer = io.BytesIO()
    Image.new("1", (20_000, 6_000)).save(buffer, "PNG")
    with pytest.raises(BadPicture, match="too large: 20000 x 6000 pixels"):
        verify_picture(buffer.getvalue())
    with pytest.raises(BadPicture, match="too large: more than 512 MiB"):
        verify_picture(bytes((512 << 20) + 1))


def test_a_picture_that_hangs_or_kills_its_decoder_fails_its_page_alone(monkeypatch):
    with PicturePool(timeout_s=2) as pool:
        monkeypatch.setattr(pictures, "shared_pool", lambda: pool)
        monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", FRAGILE])
        with pytest.raises(BadPicture, match="took longer than 2 s"):
            verify_picture(b"endless")
        with pytest.raises(BadPicture, match="the decoder process died"):
            verify_picture(b"segfault")
        assert verify_picture(_picture()).format == "jpeg"


def test_a_decoder_that_does_not_start_says_nothing_about_the_picture(monkeypatch):
    with PicturePool() as pool:
        monkeypatch.setattr(pictures, "shared_pool", lambda: pool)
        monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", "raise SystemExit(1)"])
        with pytest.raises(PipelineError, match="did not start"):
            verify_picture(_picture())
