"""Imports a folder of videos as frames of items: `<item>.mp4` or `<item>/<any>.mp4`, as with pictures.

Every file of the folder is the source of frames or a row of the quarantine table. A file's content decides whether it
is a video, never its name. Each frame is a JPEG file of quality 95 in the raw folder, of the video's size in square
pixels; equal videos give equal bytes.
"""

import hashlib
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pydantic
from cyclopts import Group, Parameter

from dataset.cli import Count
from dataset.errors import MissingInputError, UsageError
from dataset.extras import require_library
from dataset.files import atomic_path
from dataset.formats.picture_files import Found, Items, composed, distinct_ids, files_of, named, require_names
from dataset.formats.pictures import NOT_TEXT, is_whole_file
from dataset.pictures.protocol import UnreadablePicture, stored_path
from dataset.progress import progress
from dataset.schema import Frame, Image, Quarantine
from dataset.tables import empty, fill_columns, quarantine_rows
from dataset.videos.pool import VideoPool
from dataset.videos.protocol import JPEG_QUALITY, Sampling, Still, Taken

UNREADABLE = "not a readable video"
NO_ITEM = "video of an item without a rating"

_MAX_PROCESSES = 8
_N_FRAMES = 12
_GROUP = Group.create_ordered("Frames from videos (needs the extra video)")


@pydantic.dataclasses.dataclass(frozen=True)
class Videos:
    """A folder of videos, and which frames are taken from each.

    Attributes:
        videos: folder with <item>.mp4 or <item>/<any>.mp4 (or .mkv, .webm and others)
        video_frames: how many frames to take from each video, at most
        video_sampling: which frames; even: in the middle of equal parts; scenes: where scenes start
    """

    videos: Annotated[Path | None, Parameter(group=_GROUP)] = None
    video_frames: Annotated[Count, pydantic.Field(le=1000), Parameter(group=_GROUP)] = _N_FRAMES
    video_sampling: Annotated[Sampling, Parameter(group=_GROUP)] = "even"

    def __post_init__(self) -> None:
        """Reject options of videos without videos."""
        if self.videos is None and (self.video_frames, self.video_sampling) != (_N_FRAMES, "even"):
            raise UsageError("--video-frames and --video-sampling need --videos, the folder of videos")


@dataclass(frozen=True)
class ImportedVideos:
    """The result of `import_videos`: `Frame`, `Image` and `Quarantine` rows, and counts.

    Attributes:
        n_files: the files in the folder: `n_videos` and the rows of `quarantine`.
        n_videos: those that frames were taken from.
        n_repeated: frames that were left out because they are nearly identical to the one before them.
        n_damaged: frames that could not be decoded.
    """

    frames: pl.DataFrame
    images: pl.DataFrame
    quarantine: pl.DataFrame
    n_files: int = 0
    n_videos: int = 0
    n_repeated: int = 0
    n_damaged: int = 0

    def provenance(self, options: Videos) -> dict[str, Any]:
        """Return what `provenance.json` says of the videos, empty if there are none."""
        if options.videos is None:
            return {}
        told = {
            "given": self.n_files,
            "used": self.n_videos,
            "quarantined": self.quarantine.height,
            "frames": self.frames.height,
            "repeated_frames": self.n_repeated,
            "damaged_frames": self.n_damaged,
            "sampling": options.video_sampling,
            "frames_per_video": options.video_frames,
            "encoding": f"JPEG, quality {JPEG_QUALITY}",
            "decoder": f"av {version('av')}",
        }
        return {"videos": told}


@dataclass(frozen=True)
class _Outcome:
    """What became of a file: the frames of an item, or a row of the quarantine table."""

    file: Found
    item: str | None
    stem: str
    taken: Taken | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Used:
    """A video whose frames are stored: for each frame its time, and the columns that say what its file is."""

    file: Found
    item: str | None
    stem: str
    pictures: list[tuple[float, dict[str, Any]]]

    def frame_ids(self, stem: str) -> list[str]:
        """Return the ids of its frames, which sort by time: `<stem>-t0012.500`."""
        return [f"{stem}-t{time_s:08.3f}" for time_s, _ in self.pictures]


def import_videos(
    options: Videos, items: set[str], destination: Path, used_ids: Set[str], has_pictures: bool = False
) -> ImportedVideos:
    """Store frames of the videos of known items in `destination/pictures`.

    Args:
        options: the folder of videos, and which frames to take.
        items: the items' ids.
        destination: the raw folder.
        used_ids: ids that other frames have.
        has_pictures: whether the folder also holds pictures; then files that are not named like videos are left to
            `dataset.formats.pictures`.

    Raises:
        MissingInputError: the folder is missing.
        MissingExtraError: PyAV is not installed.
        TooLittleDataError: there are no files, or the videos' names hold no item's id.
        PipelineError: a frame cannot be written.
    """
    folder = options.videos
    if folder is None:
        return ImportedVideos(empty(Frame), empty(Image), empty(Quarantine))
    files = [file for file in files_of(folder) if file.is_named_as_video or not has_pictures]
    used, lost = list[_Used](), list[_Outcome]()
    n_repeated = n_damaged = 0
    for outcome in _look_at_all(files, Items(items), options):
        if outcome.taken is None:
            lost.append(outcome)
            continue
        pictures = [(still.time_s, _store(still, destination)) for still in outcome.taken.stills]
        used.append(_Used(outcome.file, outcome.item, outcome.stem, pictures))
        n_repeated += outcome.taken.n_repeated
        n_damaged += outcome.taken.n_damaged
    if not used and all(outcome.item is None and outcome.reason != NOT_TEXT for outcome in lost):
        nameless = [outcome.file.printable_name for outcome in lost if outcome.reason == NO_ITEM]
        require_names(folder, nameless, len(lost), "video", "mp4")
    frames, images = _rows(used, used_ids)
    return ImportedVideos(frames, images, _quarantine(lost), len(files), len(used), n_repeated, n_damaged)


def _look_at_all(files: list[Found], items: Items, options: Videos) -> Iterator[_Outcome]:
    n_processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    with VideoPool(n_processes) as pool, progress("videos") as bar:
        task = bar.add_task("taking frames", total=len(files))
        for outcome in pool.each(partial(_look_at, pool, items, options), files, n_processes + 1):
            bar.advance(task)
            yield outcome


def _look_at(pool: VideoPool, items: Items, options: Videos, file: Found) -> _Outcome:
    """Take frames from a file if it is a video of an item."""
    if not file.is_utf8:
        return _Outcome(file, None, file.frame_id, reason=NOT_TEXT)
    item, stem = items.of(file) or (None, file.frame_id)
    try:
        if file.problem:
            raise UnreadablePicture(file.problem)
        if item is None:
            pool.identify(file.path)
            return _Outcome(file, None, stem, reason=NO_ITEM)
        taken = pool.take(file.path, options.video_frames, options.video_sampling)
    except UnreadablePicture as problem:
        return _Outcome(file, item, stem, reason=UNREADABLE, detail=str(problem))
    return _Outcome(file, item, stem, taken)


def _store(still: Still, destination: Path) -> dict[str, Any]:
    """Write a frame into the raw folder, unless it has a file of its own there; return its `Image` columns."""
    digest = hashlib.sha256(still.content).hexdigest()
    path, size_bytes = stored_path(digest, "jpeg"), len(still.content)
    if not is_whole_file(destination / path, size_bytes):
        with atomic_path(destination / path) as temporary:
            temporary.write_bytes(still.content)
    size = {"width_px": still.width_px, "height_px": still.height_px}
    return {"image_sha256": digest, "format": "jpeg", **size, "size_bytes": size_bytes, "path": path}


_WANTED = {"stem": pl.String, "name": pl.String}


def _rows(used: list[_Used], used_ids: Set[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the `Frame` and `Image` rows; ids that others have are avoided by the name of the video's file."""
    frames, images = [], []
    wanted = pl.DataFrame([(video.stem, video.file.name) for video in used], _WANTED, orient="row")
    stems = distinct_ids(wanted["stem"], wanted["name"])
    for video, stem in zip(used, stems, strict=True):
        is_taken = not used_ids.isdisjoint(video.frame_ids(stem))
        ids = video.frame_ids(composed(video.file.name) if is_taken else stem)
        for frame_id, (time_s, image) in zip(ids, video.pictures, strict=True):
            size = {"width_px": image["width_px"], "height_px": image["height_px"]}
            frames.append({"frame_id": frame_id, "movie_id": video.item, "kind": "still", "time_s": time_s, **size})
            images.append({"frame_id": frame_id, **image})
    return (
        fill_columns(pl.DataFrame(frames) if frames else empty(Frame), Frame),
        pl.DataFrame(images, schema=empty(Image).schema),
    )


def _quarantine(lost: list[_Outcome]) -> pl.DataFrame:
    """Return `Quarantine` rows; `detail` starts with the file's path in the folder, never with the folder's."""
    rows = []
    for outcome in lost:
        name = outcome.file.printable_name
        rows.append(
            {
                "reason": outcome.reason,
                "movie_id": composed(named(outcome.file)) if outcome.reason == NO_ITEM else outcome.item,
                "frame_id": None if outcome.reason == NOT_TEXT else outcome.stem,
                "detail": f"{name}: {outcome.detail}" if outcome.detail else name,
            }
        )
    text = dict.fromkeys(("reason", "movie_id", "frame_id", "detail"), pl.String)
    return quarantine_rows(pl.DataFrame(rows, schema=text), "frames")


def require_videos(options: Videos) -> None:
    """Check that the folder of videos, if one is named, is there, and the library that reads videos.

    Raises:
        MissingInputError: the folder is missing.
        MissingExtraError: the library is missing.
    """
    if options.videos is None:
        return
    require_library("av", "--videos")
    if not options.videos.is_dir():
        raise MissingInputError(
            f"{options.videos}: no such folder of videos; it should hold <item>.mp4 or <item>/<any>.mp4 (or omit "
            "--videos)"
        )
