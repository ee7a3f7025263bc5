"""A broken or hostile file costs itself alone: it gives its frames or a reason, in time."""

import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from films import film, noise, ramp

from dataset.errors import PipelineError
from dataset.pictures.protocol import UnreadablePicture
from dataset.videos.pool import VideoPool

pytest.importorskip("av")

EXAMPLES = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "40"))
ENCRYPTION = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "00112233445566778899aabbccddeeff",
}
NO_VIDEO = "not a video that can be read: damaged, or another format"
FRAGILE = """
import os, sys, time
from dataset.videos import process
from dataset.videos.operations import OPERATIONS
whole = OPERATIONS["take"]
def take(path, **fields):
    if path.name == "crash.mp4": os.kill(os.getpid(), 11)
    if path.name == "hang.mp4": time.sleep(60)
    if path.name == "greedy.mp4": bytearray(8 << 30)
    return whole(path, **fields)
process.main(sys.argv[1:], OPERATIONS | {"take": take})
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[VideoPool]:
    with VideoPool(2, timeout_s=20) as opened:
        yield opened


@cache
def content(kind: str) -> bytes:
    """A video of 60 frames that no codec makes small."""
    import tempfile

    made: dict[str, dict[str, Any]] = {
        "mp4": {"codec": "libx264"},
        "front.mp4": {"codec": "libx264", "container": {"movflags": "faststart"}},
        "fragments.mp4": {
            "codec": "libx264",
            "container": {"movflags": "frag_keyframe+empty_moov"},
            "options": {"g": "10"},
        },
        "sound.mp4": {"codec": "mpeg4", "audio_s": 6, "container": {"movflags": "faststart"}},
        "mkv": {"codec": "libx264"},
        "sound.mkv": {"codec": "mpeg4", "audio_s": 6},
        "webm": {"codec": "libvpx"},
        "avi": {"codec": "mpeg4"},
        "ts": {"codec": "mpeg2video", "fps": 25},
    }
    with tempfile.TemporaryDirectory() as folder:
        return film(Path(folder, f"a.{kind}"), noise(60), **made[kind]).read_bytes()


def reason(pool: VideoPool, path: Path, n_frames: int = 4) -> str:
    """Return why a file gives no frames; empty if it gives some."""
    try:
        taken = pool.take(path, n_frames, "even")
    except UnreadablePicture as problem:
        return str(problem)
    assert taken.stills
    assert all(still.content.startswith(b"\xff\xd8") for still in taken.stills)
    return ""


@pytest.mark.parametrize("share", [0.001, 0.02, 0.2, 0.5, 0.7, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("kind", ["mp4", "front.mp4", "fragments.mp4", "sound.mp4", "mkv", "sound.mkv", "webm", "avi"])
def test_a_video_that_is_cut_off_gives_no_frames(kind: str, share: float, pool: VideoPool, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content(kind)[: int(share * len(content(kind)))])
    assert reason(pool, path).startswith("cut off: ")
    path.write_bytes(content(kind))
    assert reason(pool, path) == ""


@pytest.mark.parametrize("n_bytes", range(1, 41))
def test_a_fragment_that_is_cut_off_anywhere_in_its_headers_is_noticed(
    n_bytes: int, pool: VideoPool, tmp_path: Path
) -> None:
    whole = content("fragments.mp4")
    path = tmp_path / "a.mp4"
    for name in (b"moof", b"mdat"):
        path.write_bytes(whole[: whole.rindex(name) - 4 + n_bytes])
        assert reason(pool, path).startswith("cut off: ")


@pytest.mark.parametrize("kind", ["front.mp4", "mkv", "webm"])
def test_a_byte_that_is_missing_at_the_end_is_noticed(kind: str, pool: VideoPool, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content(kind)[:-1])
    assert reason(pool, path).startswith("cut off: ")


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_damage_anywhere_costs_at_most_the_video(seed: int, pool: VideoPool, tmp_path: Path) -> None:
    generator = random.Random(seed)
    kind = generator.choice(["mp4", "front.mp4", "fragments.mp4", "sound.mp4", "mkv", "webm", "avi", "ts"])
    damaged = bytearray(content(kind))
    for _ in range(generator.choice([1, 1, 3, 20])):
        start = generator.randrange(len(damaged))
        if generator.random() < 0.3:  # the headers, where sizes and counts stand
            start = generator.randrange(min(600, len(damaged)))
        end = min(start + generator.choice([1, 4, 40, 400]), len(damaged))
        damaged[start:end] = generator.choice([generator.randbytes(end - start), b"\xff" * (end - start), b""])
    path = tmp_path / f"a.{kind}"
    path.write_bytes(damaged)
    assert str(tmp_path) not in reason(pool, path)


def test_a_damaged_frame_is_replaced_by_the_next_whole_one(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", noise(40), "libx264", options={"g": "1"})
    whole = [still.time_s for still in pool.take(path, 4, "even").stills]
    damaged = bytearray(path.read_bytes())
    place = len(damaged) * 3 // 8  # in the second frame that is wanted, or beside it
    damaged[place : place + 2000] = random.Random(0).randbytes(2000)
    path.write_bytes(damaged)
    taken = pool.take(path, 4, "even")
    assert len(taken.stills) + taken.n_damaged == 4
    assert [still.time_s for still in taken.stills] == pytest.approx(whole, abs=0.4)


OTHERS = {
    "empty.mp4": (b"", "the file is empty"),
    "text.mp4": (b"hello world\n" * 100, NO_VIDEO),
    "page.mp4": (b"<html><body>404 Not Found</body></html>", NO_VIDEO),
    "zeros.mkv": (bytes(5000), NO_VIDEO),
    "start.mp4": (b"\0\0\0\x18ftypisom" + bytes(80), NO_VIDEO),
    "start.webm": (b"\x1a\x45\xdf\xa3" + bytes(100), NO_VIDEO),
    "subtitles.mp4": (b"1\n00:00:00,000 --> 00:00:02,000\nhello\n", NO_VIDEO),
    "list.mp4": (b"ffconcat version 1.0\nfile whole.mp4\n", NO_VIDEO),
    "hls.mp4": (b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nwhole.mp4\n#EXT-X-ENDLIST\n", NO_VIDEO),
    "remote.mp4": (b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n", NO_VIDEO),
    "dash.mp4": (b"<?xml version='1.0'?><MPD><Period><BaseURL>whole.mp4</BaseURL></Period></MPD>", NO_VIDEO),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_no_video_is_told_by_its_content(name: str, pool: VideoPool, tmp_path: Path) -> None:
    (tmp_path / "whole.mp4").write_bytes(content("mp4"))
    (tmp_path / name).write_bytes(OTHERS[name][0])
    assert reason(pool, tmp_path / name) == OTHERS[name][1]


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "avif"])
def test_a_picture_is_no_video(kind: str, pool: VideoPool, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    ramp(1)[0].save(path, kind)
    assert reason(pool, path) in (NO_VIDEO, "it is a picture, not a video")


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "mp4"), ("a.mkv", "matroska"), ("a.m4a", "mp4")])
def test_sound_alone_is_no_video(name: str, kind: str, pool: VideoPool, tmp_path: Path) -> None:
    assert reason(pool, film(tmp_path / name, [], audio_s=2, kind=kind)) == "it has no video stream"


def test_a_cover_is_no_video(pool: VideoPool, tmp_path: Path) -> None:
    assert reason(pool, film(tmp_path / "a.mp4", [], audio_s=2, has_cover=True)) == "it has no video stream"
    film(tmp_path / "b.mp4", ramp(10), audio_s=2, has_cover=True)
    assert [still.time_s for still in pool.take(tmp_path / "b.mp4", 2, "even").stills] == [0.2, 0.7]


def test_an_encrypted_video_gives_no_frames(pool: VideoPool, tmp_path: Path) -> None:
    assert reason(pool, film(tmp_path / "a.mp4", noise(20), "libx264", container=ENCRYPTION)) == "it is encrypted"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_codec_that_is_not_known_is_named_as_such(name: str, pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / name, ramp(10), "libx264")
    known, unknown = (b"avc1", b"zzzz") if name == "a.mp4" else (b"V_MPEG4/ISO/AVC", b"V_UNKNOWN/CODEC")
    path.write_bytes(path.read_bytes().replace(known, unknown))
    assert reason(pool, path) == "there is no decoder for its codec"


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (65_535, 2_000)])
def test_absurd_dimensions_are_refused_before_decoding(
    width: int, height: int, pool: VideoPool, tmp_path: Path
) -> None:
    path = film(tmp_path / "a.avi", ramp(10), "rawvideo", pix_fmt="bgr24")
    damaged = path.read_bytes().replace(struct.pack("<ii", 64, -48), struct.pack("<ii", width, height))
    path.write_bytes(damaged)
    assert reason(pool, path).startswith(("too large: ", "cannot be decoded", "damaged: "))


def test_absurd_durations_are_refused(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", ramp(3), "libx264", times=[0, 1000, 900_000_000])
    assert reason(pool, path).startswith("its timestamps are broken: they span 900,0")


def test_a_video_that_kills_or_hangs_its_decoder_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.videos.pool.DECODER", [sys.executable, "-c", FRAGILE])
    names = ["a.mp4", "crash.mp4", "b.mp4", "hang.mp4", "c.mp4", "greedy.mp4", "d.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(content("mp4"))
    with VideoPool(2, timeout_s=4) as fragile:
        reasons = dict(zip(names, fragile.each(lambda name: reason(fragile, tmp_path / name), names, 4), strict=True))
    assert [name for name in names if not reasons[name]] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert reasons["crash.mp4"] == "cannot be decoded: the decoder process died (exit status -11)"
    assert reasons["hang.mp4"] == "took longer than 4 s to decode"
    assert reasons["greedy.mp4"] == "it needs too much memory"


def test_a_decoder_ends_with_a_parent_that_is_killed_while_it_decodes(tmp_path: Path) -> None:
    code = f"""
import os, threading, time
from pathlib import Path
from dataset.videos import pool as module
module.DECODER = [{sys.executable!r}, "-c", {FRAGILE!r}]
pool = module.VideoPool(1)
threading.Thread(target=pool.take, args=[Path("hang.mp4"), 1, "even"], daemon=True).start()
while not pool.process_ids:
    time.sleep(0.05)
time.sleep(1)
print(pool.process_ids[0], flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    decoder = int(done.stdout)
    deadline = time.monotonic() + 15
    while Path(f"/proc/{decoder}").exists() and "Z" not in Path(f"/proc/{decoder}/stat").read_text().split()[2]:
        if time.monotonic() > deadline:
            os.kill(decoder, 9)
            pytest.fail("the decoder goes on without its parent")
        time.sleep(0.1)


def test_a_decoder_that_does_not_start_is_an_error_and_no_verdict_on_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.videos.pool.DECODER", [sys.executable, "-c", "raise SystemExit(1)"])
    with VideoPool() as broken, pytest.raises(PipelineError, match=r"run `python -m dataset.videos.process` to see"):
        broken.take(tmp_path / "a.mp4", 1, "even")


def test_frames_of_more_bytes_than_an_answer_may_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataset.videos import operations

    monkeypatch.setattr(operations, "MAX_ANSWER_BYTES", (1 << 20) + 20_000)
    path = tmp_path / "a.mp4"
    path.write_bytes(content("mp4"))
    assert operations.take(path, 2, "even")
    with pytest.raises(UnreadablePicture, match="its frames need more than 1 MiB: take fewer of each video"):
        operations.take(path, 30, "even")
