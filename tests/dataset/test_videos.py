"""Which frames a video gives, and what they look like: times, scenes, repeats, rotation, pixel shapes and formats."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from films import QUARTER_TURN, UPRIGHT, film, noise, ramp, scenes
from PIL import Image

from dataset.pictures.protocol import UnreadablePicture
from dataset.videos import moments
from dataset.videos.pool import VideoPool
from dataset.videos.protocol import Still, Taken

pytest.importorskip("av")

RED, GREEN, BLUE, BLACK = (220, 30, 30), (30, 200, 30), (30, 30, 220), (0, 0, 0)


@pytest.fixture(scope="module")
def pool() -> Any:
    with VideoPool(2, timeout_s=60) as opened:
        yield opened


def picture(still: Still) -> Image.Image:
    opened = Image.open(io.BytesIO(still.content))
    assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (still.width_px, still.height_px))
    return opened


def colour(still: Still, share: tuple[float, float] = (0.5, 0.5)) -> tuple[int, ...]:
    found = picture(still).getpixel((int(share[0] * still.width_px), int(share[1] * still.height_px)))
    assert isinstance(found, tuple)
    return found


def near(one: tuple[int, ...], other: tuple[int, ...], levels: int = 12) -> bool:
    return all(abs(a - b) <= levels for a, b in zip(one, other, strict=True))


KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"codec": "libx264"},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "h265.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "front.mp4": {"codec": "libx264", "container": {"movflags": "faststart"}},
    "fragments.mp4": {"codec": "libx264", "container": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "7"}},
    "prores.mov": {"codec": "prores", "pix_fmt": "yuv422p10le"},
    "apple.m4v": {"codec": "mpeg4"},
    "h264.mkv": {"codec": "libx264"},
    "open.mkv": {"codec": "libx264", "options": {"g": "7", "bf": "3", "x264-params": "open-gop=1"}},
    "b.mp4": {"codec": "libx264", "options": {"g": "7", "bf": "3"}},
    "ten_bits.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "grey.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "full.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "xvid.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "flash.flv": {"codec": "flv"},
    "windows.wmv": {"codec": "msmpeg4", "kind": "asf", "options": {"b": "2000000"}},
    "sound.mp4": {"codec": "libx264", "audio_s": 6},
    "sound.mkv": {"codec": "libx264", "audio_s": 9},
    "recorded.webm": {"codec": "libvpx", "container": {"live": "1"}},
}


@pytest.mark.parametrize("name", KINDS)
def test_even_frames_are_those_on_screen_in_the_middle_of_equal_parts(
    name: str, pool: VideoPool, tmp_path: Path
) -> None:
    path = film(tmp_path / name, ramp(60), **KINDS[name])
    taken = pool.take(path, 4, "even")
    assert [still.time_s for still in taken.stills] == pytest.approx([0.7, 2.2, 3.7, 5.2], abs=0.002)
    assert (taken.n_repeated, taken.n_damaged) == (0, 0)
    for still, number in zip(taken.stills, (7, 22, 37, 52), strict=True):
        assert near(colour(still), (20 + 200 * number // 60,) * 3, 6)


@pytest.mark.parametrize("name", KINDS)
def test_scenes_are_taken_where_they_start(name: str, pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / name, scenes((30, 30, 30), (220, 220, 220), (90, 90, 90)), **KINDS[name])
    taken = pool.take(path, 12, "scenes")
    assert [still.time_s for still in taken.stills] == pytest.approx([0, 1, 2], abs=0.002)
    assert near(colour(taken.stills[1]), (220, 220, 220))


def test_a_transport_stream_has_times_from_its_first_frame(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", ramp(60), "mpeg2video", fps=25)
    assert [still.time_s for still in pool.take(path, 3, "even").stills] == pytest.approx([0.4, 1.2, 2.0], abs=0.05)


def test_of_more_scenes_than_wanted_those_at_equal_steps_are_taken(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", scenes(RED, GREEN, BLUE, BLACK, RED, GREEN))
    assert [still.time_s for still in pool.take(path, 3, "scenes").stills] == [0, 2, 4]


def test_a_change_of_colour_alone_is_a_scene(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", scenes((200, 0, 0), (0, 101, 0)), "libx264")
    assert len(pool.take(path, 12, "scenes").stills) == 2


def test_in_a_long_video_only_key_frames_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataset.videos import operations

    path = film(tmp_path / "a.mp4", scenes(RED, GREEN, BLUE), "libx264", options={"g": "4", "keyint_min": "4"})
    monkeypatch.setattr(operations, "_MAX_COMPARED", 5)
    stills = Taken.unpack(operations.take(path, 12, "scenes")).stills
    assert [still.time_s for still in stills] == pytest.approx([0, 1, 2], abs=0.4)
    assert near(colour(stills[2]), BLUE)


@pytest.mark.parametrize("n_frames", [1, 2, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.webm", "a.mkv"])
def test_a_video_of_fewer_frames_than_wanted_gives_each_of_them_once(
    name: str, n_frames: int, pool: VideoPool, tmp_path: Path
) -> None:
    codec = "libvpx" if name.endswith("webm") else "mpeg4"
    taken = pool.take(film(tmp_path / name, ramp(n_frames), codec), 12, "even")
    assert [still.time_s for still in taken.stills] == pytest.approx([0, 0.1, 0.2][:n_frames], abs=0.002)
    assert (taken.n_repeated, taken.n_damaged) == (0, 0)


def test_frames_are_even_in_time_where_the_frame_rate_varies(pool: VideoPool, tmp_path: Path) -> None:
    times = [0, 1000, 2000, 3000, 4000, *range(4020, 5000, 20)]  # most frames in the last second
    path = film(tmp_path / "a.mkv", ramp(len(times)), "libx264", times=times)
    assert [still.time_s for still in pool.take(path, 5, "even").stills] == pytest.approx([0, 1, 2, 3, 4.5], abs=0.1)


def test_frames_that_repeat_the_one_before_are_counted_and_left_out(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", scenes(RED, RED, RED, GREEN, RED), "libx264")
    taken = pool.take(path, 5, "even")
    assert [still.time_s for still in taken.stills] == [0.5, 3.5, 4.5]
    assert taken.n_repeated == 2


@pytest.mark.parametrize("divisor", [1, 4, 16])
def test_frames_that_only_an_encoder_tells_apart_repeat_each_other(
    divisor: int, pool: VideoPool, tmp_path: Path
) -> None:
    still = noise(1, size=(8, 6))[0].resize((320, 240), Image.Resampling.BICUBIC).point(lambda level: level // divisor)
    path = film(tmp_path / "a.mp4", [still] * 40, "libx264", options={"crf": "28", "g": "5"})
    taken = pool.take(path, 8, "even")
    assert (len(taken.stills), taken.n_repeated) == (1, 7)


def test_a_frame_is_turned_upright_as_a_player_shows_it(pool: VideoPool, tmp_path: Path) -> None:
    halves = Image.new("RGB", (64, 48), RED)
    halves.paste(BLUE, (32, 0, 64, 48))
    path = film(tmp_path / "a.mp4", [halves] * 5)
    content = path.read_bytes()
    assert content.count(UPRIGHT) >= 1
    header = content.index(b"tkhd")
    path.write_bytes(content[:header] + content[header:].replace(UPRIGHT, QUARTER_TURN, 1))
    (still,) = pool.take(path, 1, "even").stills
    assert (still.width_px, still.height_px) == (48, 64)
    assert near(colour(still, (0.5, 0.2)), RED)
    assert near(colour(still, (0.5, 0.8)), BLUE)


@pytest.mark.parametrize(
    ("ratio", "size"), [(Fraction(2), (128, 48)), (Fraction(1, 2), (64, 96)), (Fraction(16, 15), (68, 48))]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pixels_that_are_not_square_become_square(
    name: str, ratio: Fraction, size: tuple[int, int], pool: VideoPool, tmp_path: Path
) -> None:
    path = film(tmp_path / name, ramp(10), "libx264", pixel_ratio=ratio)
    (still,) = pool.take(path, 1, "even").stills
    assert (still.width_px, still.height_px) == size


def test_of_an_interlaced_frame_only_one_field_is_shown(pool: VideoPool, tmp_path: Path) -> None:
    comb = Image.new("RGB", (64, 48), BLACK)
    for row in range(0, 48, 2):
        comb.paste((200, 200, 200), (0, row, 64, row + 1))
    flags = {"flags": "+ilme+ildct", "top": "1", "b": "9000000"}
    path = film(tmp_path / "a.ts", [comb] * 10, "mpeg2video", fps=25, options=flags)
    (still,) = pool.take(path, 1, "even").stills
    assert near(colour(still, (0.5, 0.5)), (200, 200, 200), 20)
    assert near(colour(still, (0.5, 0.52)), (200, 200, 200), 20)


def test_transparency_becomes_white(pool: VideoPool, tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    path = film(tmp_path / "a.mkv", [clear] * 3, "ffv1", pix_fmt="bgra")
    (still,) = pool.take(path, 1, "even").stills
    assert near(colour(still), (255, 255, 255))


def test_dark_frames_of_different_things_are_no_repeats(pool: VideoPool, tmp_path: Path) -> None:
    night = [Image.new("RGB", (64, 48), (8, 8, 8)) for _ in range(20)]
    for number, picture_ in enumerate(night):
        picture_.paste((14, 14, 14), (20 * (number // 10), 0, 20 * (number // 10) + 30, 48))
    path = film(tmp_path / "a.mkv", night, "ffv1", pix_fmt="yuv444p")
    assert len(pool.take(path, 2, "even").stills) == 2


@pytest.mark.parametrize("sampling", ["even", "scenes"])
def test_the_same_video_gives_the_same_bytes_in_each_process(sampling: Any, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", noise(50), "libx264", options={"g": "9", "bf": "2"})
    packed = []
    for _ in range(2):
        with VideoPool() as fresh:
            packed.append(fresh.take(path, 6, sampling).pack())
    assert packed[0] == packed[1]


def test_a_frame_is_the_same_whether_it_was_searched_or_reached(pool: VideoPool, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", noise(60), "libx264", options={"g": "20", "bf": "3", "x264-params": "open-gop=1"})
    every = {still.time_s: still.content for still in pool.take(path, 60, "even").stills}
    few = pool.take(path, 7, "even").stills
    assert len(every) == 60
    assert all(every[still.time_s] == still.content for still in few)


def test_times_are_chosen_by_arithmetic_alone() -> None:
    assert moments.evenly_spaced(range(0, 100, 10), 100, 2) == [20, 70]
    assert moments.evenly_spaced([5], 5, 12) == [5]
    assert moments.evenly_spaced([0, 90], 100, 4) == [0]
    assert moments.thinned([1, 2, 3], 12) == [1, 2, 3]
    assert moments.thinned(range(10), 4) == [0, 2, 5, 7]


def test_a_scene_shorter_than_half_a_second_is_part_of_the_next() -> None:
    flash = [(0, 0.0), (10, 90.0), (11, 90.0), (20, 3.0), (30, 40.0)]
    assert moments.scene_starts(flash, 20, 10) == [0, 11, 30]


def test_what_is_packed_is_unpacked() -> None:
    taken = Taken([Still(0.5, 4, 3, b"one"), Still(2.25, 4, 3, b"two and")], 3, 1)
    assert Taken.unpack(taken.pack()) == taken
    assert Taken.unpack(bytearray(Taken([], 0, 0).pack())) == Taken([], 0, 0)


def test_a_missing_file_is_named_as_missing(pool: VideoPool, tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="the file is missing"):
        pool.take(tmp_path / "a.mp4", 1, "even")
