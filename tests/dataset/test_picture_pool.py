import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dataset.errors import PipelineError
from dataset.pictures.pool import PicturePool, shared_pool
from dataset.pictures.protocol import Checked, Geometry, UnreadablePicture

FRAGILE = """
import os, sys, time
import dataset.pictures.process as process
whole = process.OPERATIONS["check"]
def check(source):
    if source == b"segfault": os.kill(os.getpid(), 11)
    if source == b"endless": time.sleep(60)
    if source == b"greedy": bytearray(3 << 30)
    if source.startswith(b"once") and not os.path.exists(source[5:]):
        open(source[5:], "w").close()
        os._exit(9)
    return whole(source)
process.OPERATIONS["check"] = check
process.main(sys.argv[1:])
"""


def png(colour: object = "red") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (80, 70), colour).save(content, "PNG")
    return content.getvalue()


def test_a_picture_is_checked_as_a_file_or_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.png", "no extension", "line\nbreak.png", "caf\udce9.png", "[1]*?.png"]
    expected = Checked(hashlib.sha256(png()).hexdigest(), "png", 80, 70, len(png()), 81 * "ff0000")
    monkeypatch.chdir(tmp_path)
    with PicturePool() as pool:
        assert pool.check(png()) == expected
        for name in names:
            Path(name).write_bytes(png())
            assert pool.check(Path(name)) == expected  # relative to the folder of this process
        assert pool.identify(Path("a.png")) == "png"


def test_a_large_body_is_checked_too() -> None:
    content = io.BytesIO()
    Image.effect_noise((3000, 2000), 90).save(content, "BMP")  # many times what a pipe holds
    with PicturePool() as pool:
        assert pool.check(content.getvalue()).width_px == 3000
        with pytest.raises(UnreadablePicture, match="too large"):
            pool.check(bytes((1 << 29) + 1))


def test_a_picture_that_kills_or_hangs_the_decoder_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", FRAGILE])
    reasons = {}
    with PicturePool(2, timeout_s=3) as pool:

        def check(content: bytes) -> bool:
            try:
                return pool.check(content).width_px == 80
            except UnreadablePicture as reason:
                reasons[content] = str(reason)
                return False

        once = b"once " + os.fsencode(tmp_path / "seen")
        asked = [png("red"), b"segfault", png("blue"), b"endless", png("lime"), b"greedy", png("pink"), once, png()]
        fine = list(pool.each(check, asked, 4))
    assert fine == [content.startswith(b"\x89PNG") for content in asked]
    assert "the decoder process died (exit status -11)" in reasons[b"segfault"]
    assert reasons[b"endless"] == "took longer than 3 s to decode"
    assert reasons[b"greedy"] == "it needs too much memory"
    assert reasons[once].startswith("not a JPEG")  # the second process has read it


def test_a_jpeg_of_thousands_of_scans_takes_no_longer_than_the_limit() -> None:
    content = io.BytesIO()
    Image.effect_noise((4000, 4000), 90).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    started = time.monotonic()
    with PicturePool(timeout_s=2) as pool:
        pool.check(png())
        with pytest.raises(UnreadablePicture, match="took longer than 2 s"):
            pool.check(whole[:-2] + last_scan * 30 + last_scan[:200] * 20_000 + b"\xff\xd9")
    assert time.monotonic() - started < 20


def test_a_decoder_that_does_not_start_is_an_error_and_no_verdict_on_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", "raise SystemExit(1)"])
    with PicturePool() as pool, pytest.raises(PipelineError, match=r"run `python -m dataset.pictures.process` to see"):
        pool.check(png())


def test_a_closed_pool_starts_no_process() -> None:
    with PicturePool() as pool:
        pool.check(png())
    with pytest.raises(UnreadablePicture, match="stopped"):
        pool.check(png())
    assert not pool.process_ids


def test_a_folder_of_the_users_hides_no_module_from_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dataset", "PIL", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    with PicturePool() as pool:
        assert pool.check(png()).format == "png"


def test_threads_share_the_processes_of_a_pool() -> None:
    with PicturePool(2, n_threads=8) as pool:
        assert len(list(pool.each(pool.check, [png()] * 50, 20))) == 50
        assert len(pool.process_ids) <= 2
    assert shared_pool() is shared_pool()


def test_a_thumbnail_is_a_small_upright_webp() -> None:
    picture, content = Image.new("RGB", (1600, 800)), io.BytesIO()
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(content, "JPEG", exif=exif)
    with PicturePool() as pool, Image.open(io.BytesIO(pool.thumbnail(content.getvalue(), (280, 190)))) as small:
        assert (small.format, small.size) == ("WEBP", (95, 190))


def test_a_crop_has_the_bytes_of_its_size() -> None:
    with PicturePool() as pool:
        crop = pool.crop(png((1, 2, 3)), hashlib.sha256(png((1, 2, 3))).hexdigest(), Geometry(64, 56, "bilinear"), True)
    assert crop == bytes((1, 2, 3)) * 56 * 56


def test_no_program_is_started_by_a_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = tmp_path / "witness"
    for name in ("gs", "gswin32c", "gswin64c", "convert", "inkscape"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho $0 >> {witness}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\nshowpage\n%%EOF\n"
    with PicturePool() as pool:
        for ask in (pool.check, pool.identify, lambda content: pool.thumbnail(content, (10, 10))):
            with pytest.raises(UnreadablePicture, match="not a JPEG"):
                ask(drawing)
    assert not witness.exists()


@pytest.mark.parametrize("hangs", [False, True])
def test_decoders_end_with_a_parent_that_is_killed(hangs: bool) -> None:
    """One that hangs at that time is ended by an alarm, `timeout_s` plus 5 seconds after it began."""
    code = f"""
import os, sys, threading, time
from dataset.pictures import pool as module
module.DECODER = [sys.executable, "-c", {FRAGILE!r}]
pool = module.PicturePool(1, timeout_s=1)
pool.check({png()!r})
if {hangs}:
    threading.Thread(target=pool.check, args=[b"endless"], daemon=True).start()
    time.sleep(0.3)
print(pool.process_ids[0], flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    decoder = int(done.stdout)
    for _ in range(200):
        if not Path(f"/proc/{decoder}").exists() or "Z" in Path(f"/proc/{decoder}/stat").read_text().split()[2]:
            break
        time.sleep(0.1)
    else:
        os.kill(decoder, 9)
        pytest.fail("the decoder goes on without its parent")
