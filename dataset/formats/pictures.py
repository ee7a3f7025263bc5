"""Imports a folder of pictures as frames of items; `dataset.formats.picture_files` says which belongs to which item.

Every file of the folder becomes a frame or a row of the quarantine table. A file's content decides whether it is a
picture, never its name. The raw folder gets files of its own: neither links to the folder nor its permissions.
"""

import os
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dataframely as dy
import polars as pl

from dataset.errors import MissingInputError
from dataset.files import atomic_path, copy_file
from dataset.formats.picture_files import Found, Items, composed, distinct_ids, files_of, named, require_names
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Checked, UnreadablePicture
from dataset.placeholders.fingerprints import Fingerprint, fingerprints_of
from dataset.progress import progress
from dataset.schema import Frame, Image, Quarantine
from dataset.tables import empty, fill_columns, quarantine_rows

UNREADABLE = "not a readable picture"
NO_ITEM = "picture of an item without a rating"
NOT_TEXT = "file name is not UTF-8"

_MAX_PROCESSES = 8
_N_THREADS = 16  # most of them wait for the disk


@dataclass(frozen=True)
class _Outcome:
    """What became of a file: the picture of an item, or a row of the quarantine table."""

    file: Found
    item: str | None = None
    frame_id: str | None = None
    picture: Checked | None = None
    reason: str = ""
    detail: str = ""


class ImportedPictures(NamedTuple):
    """The pictures of a folder: `Frame`, `Image`, `Quarantine` (all other files) and `Fingerprint` rows."""

    frames: pl.DataFrame
    images: pl.DataFrame
    quarantine: pl.DataFrame
    fingerprints: dy.DataFrame[Fingerprint]


def import_pictures(folder: Path, items: set[str], destination: Path, has_videos: bool = False) -> ImportedPictures:
    """Store copies of the pictures of known items in `destination/pictures`.

    With `has_videos`, files that are named like videos are left to `dataset.formats.videos`.

    Raises:
        MissingInputError: `folder` is missing.
        TooLittleDataError: there are no files, or the pictures' names hold no item's id.
        PipelineError: a picture cannot be written.
    """
    if not folder.is_dir():
        raise MissingInputError(
            f"{folder}: no such folder of pictures; it should hold <item>.jpg or <item>/<any>.jpg (or omit --pictures)"
        )
    files = [file for file in files_of(folder) if not (has_videos and file.is_named_as_video)]
    outcomes = _look_at_all(files, Items(items), destination)
    kept = [(outcome, outcome.picture) for outcome in outcomes if outcome.picture is not None]
    if all(outcome.item is None and outcome.reason != NOT_TEXT for outcome in outcomes):
        nameless = [outcome.file.printable_name for outcome in outcomes if outcome.reason == NO_ITEM]
        require_names(folder, nameless, len(outcomes), "picture", "jpg")
    ids = distinct_ids([(str(outcome.frame_id), outcome.file.name) for outcome, _ in kept])
    frames, images = [], []
    for frame_id, (outcome, picture) in zip(ids, kept, strict=True):
        size = {"width_px": picture.width_px, "height_px": picture.height_px}
        frames.append({"frame_id": frame_id, "movie_id": outcome.item, "kind": "still", **size})
        file = {"format": picture.format, "size_bytes": picture.size_bytes, "path": picture.path}
        images.append({"frame_id": frame_id, "image_sha256": picture.sha256, **size, **file})
    lost = [_quarantine_row(outcome) for outcome in outcomes if outcome.picture is None]
    text = dict.fromkeys(("reason", "movie_id", "frame_id", "detail"), pl.String)
    return ImportedPictures(
        fill_columns(pl.DataFrame(frames) if frames else empty(Frame), Frame),
        pl.DataFrame(images, schema=empty(Image).schema),
        quarantine_rows(pl.DataFrame(lost, schema=text), "frames") if lost else empty(Quarantine),
        fingerprints_of({picture.sha256: picture.cells for _, picture in kept}),
    )


def no_pictures() -> ImportedPictures:
    """Return what an import without pictures has."""
    return ImportedPictures(empty(Frame), empty(Image), empty(Quarantine), fingerprints_of({}))


def _look_at_all(files: list[Found], items: Items, destination: Path) -> list[_Outcome]:
    n_processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    storing: dict[str, Path] = {}
    outcomes = []
    with PicturePool(n_processes, n_threads=_N_THREADS) as pool, progress("files") as bar:
        task = bar.add_task("checking pictures", total=len(files))
        look = partial(_look_at, pool, items, destination, storing)
        for outcome in pool.each(look, files, 4 * _N_THREADS):
            bar.advance(task)
            outcomes.append(outcome)
    return outcomes


def _look_at(pool: PicturePool, items: Items, destination: Path, storing: dict[str, Path], file: Found) -> _Outcome:
    """Check a file, and store it if it is a picture of an item. `storing` names one file for each path to write."""
    if not file.is_utf8:
        return _Outcome(file, reason=NOT_TEXT)
    owner = items.of(file)
    item, frame_id = owner or (None, file.frame_id)
    try:
        if file.problem:
            raise UnreadablePicture(file.problem)
        if item is None:
            pool.identify(file.path)
            return _Outcome(file, None, frame_id, reason=NO_ITEM)
        picture = pool.check(file.path)
        if storing.setdefault(picture.path, file.path) is file.path:  # one of several equal files
            _store(file.path, destination / picture.path, picture.size_bytes)
    except UnreadablePicture as problem:
        return _Outcome(file, item, frame_id, reason=UNREADABLE, detail=str(problem))
    return _Outcome(file, item, frame_id, picture)


def _quarantine_row(outcome: _Outcome) -> dict[str, str | None]:
    """Return the columns of a row; `detail` starts with the file's path in the folder, never with the folder's."""
    name = outcome.file.printable_name
    return {
        "reason": outcome.reason,
        "movie_id": composed(named(outcome.file)) if outcome.reason == NO_ITEM else outcome.item,
        "frame_id": outcome.frame_id,
        "detail": f"{name}: {outcome.detail}" if outcome.detail else name,
    }


def _store(source: Path, target: Path, size_bytes: int) -> None:
    """Copy a picture into the raw folder, unless it has a file of its own there."""
    if is_whole_file(target, size_bytes):
        return
    with atomic_path(target) as temporary:
        copy_file(source, temporary)
        if temporary.stat().st_size != size_bytes:
            raise UnreadablePicture("the file has changed while it was read")


def is_whole_file(path: Path, size_bytes: int) -> bool:
    """Return whether a path is a file that can be changed and removed without harm to any other."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and bool(status.st_mode & stat.S_IWUSR)
    return is_own and status.st_size == size_bytes
