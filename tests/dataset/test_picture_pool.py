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


def write_files(folder: Path, contents: list[bytes]) -> list[tuple[str, str]]:
    """Write files and return their SHA-256 and names."""
    for number, content in enumerate(contents):
        (folder / f"{number}").write_bytes(content)
    return [(hashlib.sha256(content).hexdigest(), f"{number}") for number, content in enumerate(contents)]


def in_chunks(pictures: list[tuple[str, str]], size: int) -> list[list[tuple[str, str]]]:
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


@pytest.mark.parametrize(("n_processes", "size"), [(1, 1), (1, 4), (3, 4), (2, 100)])
def test_crops_in_shared_memory_come_in_order_and_equal_those_one_by_one(
    n_processes: int, size: int, tmp_path: Path
) -> None:
    colours = [(number, 255 - number, 3 * number) for number in range(50)]
    pictures = write_files(tmp_path, [png(colour) for colour in colours])
    geometry = Geometry(64, 56, "bilinear")
    with PicturePool(n_processes) as pool:
        found = [
            bytes(one.content)
            for chunk in pool.crops(tmp_path, in_chunks(pictures, size), size, geometry, True)
            for one in chunk
        ]
        assert found[:3] == [bytes(pool.crop(tmp_path / name, digest, geometry, True)) for digest, name in pictures[:3]]
    assert found == [bytes(colour) * 56 * 56 for colour in colours]


def test_a_broken_picture_among_others_has_its_reason_and_the_others_their_crops(tmp_path: Path) -> None:
    pictures = write_files(tmp_path, [png("red"), b"", b"text", png("lime"), png()[:-30]])
    pictures += [("0" * 64, "none"), ("0" * 64, "0"), (pictures[0][0], f"../{tmp_path.name}/0"), pictures[0]]
    with PicturePool() as pool:
        (found,) = pool.crops(tmp_path, [pictures], len(pictures), Geometry(8, 7, "bilinear"), True)
        reasons = [one.reason for one in found]
        contents = [bytes(one.content) for one in found]
    expected = ["", "is empty", "not a JPEG", "", "cannot be decoded", "is missing", "has changed", "leads out", ""]
    assert [part in reason for part, reason in zip(expected, reasons, strict=True)] == [True] * 9, reasons
    assert [bool(reason) for reason in reasons] == [bool(part) for part in expected]
    assert contents[0] == contents[-1] == b"\xff\0\0" * 49
    assert contents[3] == b"\0\xff\0" * 49
    assert set(contents[1:3] + contents[4:8]) == {b""}


FRAGILE_CROPS = """
import os, sys, time
import dataset.pictures.process as process
whole = process.crop_or_jpeg
def crop_or_jpeg(source, *rest, **how):
    content = source.read_bytes()
    if content == b"segfault": os.kill(os.getpid(), 11)
    if content == b"endless": time.sleep(60)
    if content == b"greedy": bytearray(3 << 30)
    if content.startswith(b"once") and not os.path.exists(content[5:]):
        open(content[5:], "w").close()
        os._exit(9)
    return whole(source, *rest, **how)
process.crop_or_jpeg = crop_or_jpeg
process.main(sys.argv[1:])
"""


def test_a_picture_that_kills_or_hangs_a_process_costs_only_itself_in_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", FRAGILE_CROPS])
    once = b"once " + os.fsencode(tmp_path / "seen")
    asked = [png("red"), b"segfault", png("blue"), b"endless", png("lime"), b"greedy", png("pink"), once, png()]
    pictures = write_files(tmp_path, asked)
    started = time.monotonic()
    with PicturePool(2, timeout_s=2) as pool:
        chunks = pool.crops(tmp_path, in_chunks(pictures, 5), 5, Geometry(8, 7, "bilinear"), True)
        found = [(one.reason, bytes(one.content[:3])) for chunk in chunks for one in chunk]
    assert [reason == "" for reason, _ in found] == [content.startswith(b"\x89PNG") for content in asked]
    assert "the decoder process died (exit status -11)" in found[1][0]
    assert found[3][0] == "took longer than 2 s to decode"
    assert found[5][0] == "it needs too much memory"
    assert found[7][0].startswith("not a JPEG"), "the second process has read it"
    assert [content for _, content in found[::2]] == [
        b"\xff\0\0",
        b"\0\0\xff",
        b"\0\xff\0",
        b"\xff\xc0\xcb",
        b"\xff\0\0",
    ]
    assert time.monotonic() - started < 20


def test_a_process_that_hangs_ends_itself_at_the_time_limit_of_one_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.pictures.pool.DECODER", [sys.executable, "-c", FRAGILE_CROPS])
    pictures = write_files(tmp_path, [b"endless"] + [png("red")] * 19)
    started = time.monotonic()
    with PicturePool(1, timeout_s=1) as pool:
        (found,) = pool.crops(tmp_path, [pictures], 20, Geometry(8, 7, "bilinear"), True)
    assert [one.reason != "" for one in found] == [True] + [False] * 19
    assert time.monotonic() - started < 15


def test_shared_memory_is_used_again(tmp_path: Path) -> None:
    pictures = write_files(tmp_path, [png("red")])
    with PicturePool() as pool:
        for _ in range(5):
            list(pool.crops(tmp_path, [pictures] * 20, 1, Geometry(64, 56, "bilinear"), True))
            size = os.fstat(pool._memory.file).st_size
            assert size <= 3 * 16384
