"""`dataset import --videos`: each file of the folder gives frames of its item, or a row of the quarantine."""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from films import film, noise, ramp, scenes
from PIL import Image

from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.errors import MissingExtraError, MissingInputError, TooLittleDataError, UsageError
from dataset.formats.importing import Imported, import_ratings
from dataset.formats.ratings import RatingsFormat
from dataset.formats.videos import Videos
from dataset.pictures.pool import PicturePool
from dataset.report.dataset_report import write_dataset_report
from dataset.snapshots.publish import publish
from dataset.tables import read_table

pytest.importorskip("av")

UNREADABLE, NO_ITEM = "not a readable video", "video of an item without a rating"


def ratings(folder: Path, *items: str) -> Path:
    path = folder / "ratings.csv"
    path.write_text("user,item\n" + "".join(f"u{user},{item}\n" for user in range(6) for item in items))
    return path


def imported(
    tmp_path: Path, *items: str, raw: str = "raw", pictures: Path | None = None, **options: Any
) -> tuple[Imported, Path]:
    """Import the folder `v` of videos."""
    videos = Videos(options.pop("videos", tmp_path / "v"), **options)
    columns = RatingsFormat(user_column="user", item_column="item")
    to = tmp_path / raw
    return import_ratings(ratings(tmp_path, *items), columns, pictures, to, videos=videos), to


def table(raw: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(raw / f"{name}.parquet")


def frame_ids(raw: Path) -> list[str]:
    return table(raw, "frames")["frame_id"].sort().to_list()


def test_each_video_gives_frames_of_its_item_with_their_time(tmp_path: Path) -> None:
    film(tmp_path / "v" / "a.mp4", ramp(60))
    film(tmp_path / "v" / "b" / "trailer.mkv", ramp(40), "libx264")
    done, raw = imported(tmp_path, "a", "b", "c", video_frames=2)
    frames = table(raw, "frames").sort("frame_id")
    assert frames.select("frame_id", "movie_id", "kind", "time_s").rows() == [
        ("a-t0001.500", "a", "still", 1.5),
        ("a-t0004.500", "a", "still", 4.5),
        ("b/trailer-t0001.000", "b", "still", 1.0),
        ("b/trailer-t0003.000", "b", "still", 3.0),
    ]
    assert frames.select("width_px", "height_px").unique().rows() == [(64, 48)]
    assert (done.n_pictures, done.videos.n_files, done.videos.n_videos) == (0, 2, 2)
    for row in table(raw, "images").iter_rows(named=True):
        content = (raw / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["image_sha256"]
        assert len(content) == row["size_bytes"]
        with PicturePool() as pool:
            assert pool.check(raw / row["path"]).format == row["format"] == "jpeg"


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("a.mp4", "a"),
        ("a.MP4", "a"),
        ("a.mkv", "a"),
        ("a.webm", "a"),
        ("a.m4v?size=large", "a"),
        ("a.mp4.1", "a"),
        ("a.3gp", "a"),
        ("a", "a"),
        ("a.dat", "a"),
        ("a/one.mp4", "a"),
        ("a.mp4/one.mp4", "a.mp4"),
        ("v1.5.mp4", "v1.5"),
        ("tt0111161.avi", "tt0111161"),
    ],
)
def test_a_video_under_any_name_is_one_of_its_item(name: str, item: str, tmp_path: Path) -> None:
    film(tmp_path / "v" / name, ramp(10), kind="matroska")
    _, raw = imported(tmp_path, item, "v1", video_frames=1)
    assert table(raw, "frames")["movie_id"].to_list() == [item]
    assert table(raw, "quarantine").is_empty()


def test_every_file_is_a_source_of_frames_or_a_row_of_the_quarantine(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    whole = film(folder / "a.mp4", ramp(20)).read_bytes()
    n_missing = whole.index(b"moov") - 4 - len(whole) // 2  # of the frames; the index after them is not known of
    film(folder / "stranger.mp4", ramp(20))
    film(folder / "sound.mp4", [], audio_s=1)
    (folder / "b.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "c.mp4").write_bytes(b"hello")
    (folder / "notes.txt").write_text("hello")
    (folder / "caf\udce9.mp4").write_bytes(whole)
    (folder / "lost.mp4").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.mp4")
    ramp(1)[0].save(folder / "d.jpg")
    done, raw = imported(tmp_path, *"abcd", "sound", "pipe", "lost", video_frames=3)
    lost = table(raw, "quarantine")
    assert done.videos.n_files == 10 == done.videos.n_videos + lost.height
    assert set(lost["table"]) == {"frames"}
    assert dict(lost.select("detail", "reason").iter_rows()) == {
        f"b.mp4: cut off: at least {n_missing:,} bytes are missing": UNREADABLE,
        "c.mp4: not a video that can be read: damaged, or another format": UNREADABLE,
        "caf\\xe9.mp4": "file name is not UTF-8",
        "d.jpg: not a video that can be read: damaged, or another format": UNREADABLE,
        "lost.mp4: a link to nothing": UNREADABLE,
        "notes.txt: not a video that can be read: damaged, or another format": UNREADABLE,
        "pipe.mp4: not a file but a pipe, socket or device": UNREADABLE,
        "sound.mp4: it has no video stream": UNREADABLE,
        "stranger.mp4": NO_ITEM,
    }
    assert lost.filter(pl.col("reason") == NO_ITEM)["movie_id"].to_list() == ["stranger"]
    assert {path.suffix for path in raw.iterdir()} == {"", ".json", ".parquet"}
    assert {path.suffix for path in (raw / "pictures").rglob("*") if path.is_file()} == {".jpg"}


@pytest.mark.parametrize("sampling", ["even", "scenes"])
def test_the_same_folder_gives_the_same_tables_and_bytes(sampling: Any, tmp_path: Path) -> None:
    for number, name in enumerate(("a.mp4", "b.mp4", "c/x.mp4", "c/y.mp4")):
        film(tmp_path / "v" / name, noise(30, number), "libx264")
    raws = [imported(tmp_path, *"abc", raw=raw, video_sampling=sampling)[1] for raw in ("one", "two", "one")]
    states = [
        {path.relative_to(raw).as_posix(): path.read_bytes() for path in sorted(raw.rglob("*")) if path.is_file()}
        for raw in raws
    ]
    assert states[0] == states[1] == states[2]
    assert len([name for name in states[0] if name.startswith("pictures/")]) == table(raws[0], "frames").height


def test_videos_of_one_stem_get_frame_ids_of_their_own(tmp_path: Path) -> None:
    film(tmp_path / "v" / "a.mp4", ramp(10))
    film(tmp_path / "v" / "a.mkv", ramp(10))
    _, raw = imported(tmp_path, "a", video_frames=1)
    assert frame_ids(raw) == ["a.mkv-t0000.500", "a.mp4-t0000.500"]


def test_items_have_pictures_and_videos_whose_ids_never_clash(tmp_path: Path) -> None:
    film(tmp_path / "v" / "a" / "x.mp4", ramp(10))
    film(tmp_path / "v" / "b.mp4", ramp(10))
    posters = tmp_path / "posters"
    for name in ("a/x-t0000.500.jpg", "b.jpg", "c.jpg"):
        (posters / name).parent.mkdir(parents=True, exist_ok=True)
        noise(1)[0].save(posters / name)
    done, raw = imported(tmp_path, *"abc", pictures=posters, video_frames=1)
    assert frame_ids(raw) == ["a/x-t0000.500", "a/x.mp4-t0000.500", "b", "b-t0000.500", "c"]
    times = dict(table(raw, "frames").select("frame_id", "time_s").iter_rows())
    assert (times["b"], times["b-t0000.500"], times["a/x-t0000.500"]) == (None, 0.5, None)
    assert (done.n_pictures, done.videos.frames.height) == (3, 2)


def test_one_folder_of_pictures_and_videos_is_looked_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    film(folder / "a" / "trailer.mp4", ramp(10))
    noise(1)[0].save(folder / "a" / "poster.jpg")
    noise(1)[0].save(folder / "b.mp4.jpg")
    (folder / "a" / "cut.mp4").write_bytes(b"x")
    (folder / "a" / "notes.txt").write_text("x")
    done, raw = imported(tmp_path, *"ab", pictures=tmp_path / "." / "v", video_frames=1)
    assert frame_ids(raw) == ["a/poster", "a/trailer-t0000.500", "b"]
    assert table(raw, "quarantine").select("reason", "frame_id").sort("frame_id").rows() == [
        (UNREADABLE, "a/cut"),
        ("not a readable picture", "a/notes"),
    ]
    assert done.videos.n_files == 2


def test_equal_videos_of_two_items_share_their_files(tmp_path: Path) -> None:
    whole = film(tmp_path / "v" / "a.mp4", ramp(20)).read_bytes()
    (tmp_path / "v" / "b.mp4").write_bytes(whole)
    _, raw = imported(tmp_path, *"ab", video_frames=2)
    assert table(raw, "frames").height == 4
    assert len(list((raw / "pictures").rglob("*.jpg"))) == 2


def test_frames_left_out_are_counted_in_the_provenance(tmp_path: Path) -> None:
    import json

    film(tmp_path / "v" / "a.mp4", scenes((9, 9, 9)))
    (tmp_path / "v" / "b.mp4").write_bytes(b"x")
    _, raw = imported(tmp_path, *"ab", video_frames=5)
    told = json.loads((raw / "provenance.json").read_text())["videos"]
    assert told.pop("decoder").startswith("av ")
    assert told == {
        "given": 2,
        "used": 1,
        "quarantined": 1,
        "frames": 1,
        "repeated_frames": 4,
        "damaged_frames": 0,
        "sampling": "even",
        "frames_per_video": 5,
        "encoding": "JPEG, quality 95",
    }


def test_videos_that_name_no_item_end_the_import_with_an_example(tmp_path: Path) -> None:
    film(tmp_path / "v" / "x.mp4", ramp(10))
    with pytest.raises(
        TooLittleDataError, match=r"no video belongs .* 1 videos \(for example x.mp4\); name them <item>"
    ):
        imported(tmp_path, "a")


def test_an_empty_or_missing_folder_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such folder of videos"):
        imported(tmp_path, "a")
    (tmp_path / "v").mkdir()
    with pytest.raises(TooLittleDataError, match="it has 0 videos"):
        imported(tmp_path, "a")
    assert not (tmp_path / "raw").exists()


def test_options_of_videos_need_videos() -> None:
    with pytest.raises(UsageError, match="need --videos"):
        Videos(video_frames=3)
    with pytest.raises(UsageError, match="need --videos"):
        Videos(video_sampling="scenes")


def test_without_the_extra_one_line_names_it_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    told = r"--videos needs av: install the extra 'video' with pip install 'douban-keyframes\[video\]'"
    with pytest.raises(MissingExtraError, match=told):
        imported(tmp_path, "a")
    assert not (tmp_path / "raw").exists()


@pytest.fixture
def command(run_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """A function that runs `dataset import` in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return partial(run_command, app, "import")


def test_the_readmes_command_says_what_it_took(command: Callable[..., Any], tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "dataset" / "README.md").read_text("utf-8")
    (printed,) = re.findall(r"^python -m dataset import (.* --videos .*)$", readme, re.MULTILINE)
    film(tmp_path / "trailers" / "a.mp4", scenes((200, 9, 9), (9, 9, 200), (9, 9, 200)))
    (tmp_path / "trailers" / "b.mp4").write_bytes(b"x")
    ratings(tmp_path, "a", "b")
    done = command(*printed.split(), "--user-column", "user", "--item-column", "item")
    assert done.returncode == 0, done.stderr
    assert "  files in the folder of videos: 2 = 1 videos + 1 dropped; 2 frames" in done.stdout
    assert "(further ones: 10 left out as nearly identical to the one before)" in done.stdout
    assert table(tmp_path / "data" / "mine" / "raw", "frames").height == 2


@pytest.mark.parametrize("value", ["0", "1001", "1.5", "many"])
def test_an_impossible_number_of_frames_is_an_error_of_one_line(
    value: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "v").mkdir()
    ratings(tmp_path, "a")
    done = command("ratings.csv", "--videos", "v", "--video-frames", value, "--to", "raw")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--video-frames" in done.stderr


def test_frames_of_videos_go_into_a_snapshot_with_their_seconds(tmp_path: Path) -> None:
    for number, item in enumerate("abc"):
        film(tmp_path / "v" / f"{item}.mp4", noise(20, number))
    Image.new("RGB", (40, 30), "red").save(tmp_path / "poster.jpg")
    (tmp_path / "p").mkdir()
    (tmp_path / "poster.jpg").rename(tmp_path / "p" / "a.jpg")
    _, raw = imported(tmp_path, *"abc", pictures=tmp_path / "p", video_frames=2)
    built = build(raw, tmp_path / "dataset", DatasetConfig(k_user=0, k_item=0))
    assert built.description["statistics"]["n_frames"] == 7
    assert built.description["statistics"]["n_frames_from_videos"] == 6
    snapshot, _ = publish(tmp_path / "dataset", "films", tmp_path / "snapshots")
    assert snapshot.read("frames")["time_s"].sort().to_list() == [None, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5]
    card = (snapshot.path / "README.md").read_text("utf-8")
    assert "7 frames (6 of them from videos)" in card
    assert "a folder of pictures and frames of 3 videos" in card
    page = write_dataset_report(snapshot, raw, tmp_path / "report").read_text("utf-8")
    assert re.search(r">6</data> of the <data [^>]*>7</data> frames are taken from videos", page)


def test_a_raw_table_without_times_is_still_read(tmp_path: Path) -> None:
    from dataset.schema import Frame

    film(tmp_path / "v" / "a.mp4", ramp(20))
    _, raw = imported(tmp_path, "a")
    table(raw, "frames").drop("time_s").write_parquet(raw / "frames.parquet")
    assert read_table(raw / "frames.parquet", Frame)["time_s"].null_count() == 12
    assert build(raw, tmp_path / "d", DatasetConfig(0, 0)).description["statistics"]["n_frames_from_videos"] == 0
