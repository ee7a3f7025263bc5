"""Imports pictures as frames of items; `dataset.formats.picture_files` says which belongs to which item.

Pictures are files of a folder, or lie in shards (`dataset.shards`), in a folder or named. Every file becomes a frame or
a row of the quarantine table. A file's content decides whether it is a picture, never its name. The raw folder gets
copies of files: neither links to the folder nor its permissions. Of a picture in a shard, it gets only the place.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.files import atomic_path, copy_file
from dataset.formats.picture_files import Found, Items, composed, distinct_ids, files_of, named, require_names
from dataset.pictures.pool import PicturePool
from dataset.pictures.protocol import Checked, UnreadablePicture
from dataset.placeholders.fingerprints import FingerprintWriter
from dataset.progress import progress
from dataset.schema import Frame, Image, Quarantine
from dataset.shards.budget import BytesBudget
from dataset.shards.members import Members
from dataset.shards.opening import files_named, is_named_as_shard, kind_of, open_shard
from dataset.shards.references import reference
from dataset.shards.shard import NoPicturesError, PictureColumns, Shard
from dataset.tables import empty, fill_columns, quarantine_rows

UNREADABLE = "not a readable picture"
NO_ITEM = "picture of an item without a rating"
NOT_TEXT = "file name is not UTF-8"

_MAX_PROCESSES = 8
_N_THREADS = 16  # most of them wait for the disk
_ROWS_PER_PART = 10_000
_BYTES_IN_PROGRESS = 64 << 20
_KEPT = {
    "name": pl.String, "frame_id": pl.String, "movie_id": pl.String, "image_sha256": pl.String, "format": pl.String,
    "width_px": pl.UInt32, "height_px": pl.UInt32, "size_bytes": pl.UInt64, "path": pl.String,
}  # fmt: skip
_LOST = dict.fromkeys(("reason", "movie_id", "frame_id", "detail"), pl.String)


@dataclass(frozen=True)
class _Outcome:
    """What became of a file: the picture of an item, or a row of the quarantine table."""

    file: Found
    item: str | None = None
    frame_id: str | None = None
    picture: Checked | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class ImportedPictures:
    """The pictures of a folder or of shards.

    Attributes:
        frames: `Frame` rows.
        images: `Image` rows.
        quarantine: `Quarantine` rows: all other files.
        shards: the shards that they are in, in the order of their numbers; closed.
        n_beside: the files beside pictures in tar and zip files, such as .json, which are no pictures by their names.
    """

    frames: pl.DataFrame
    images: pl.DataFrame
    quarantine: pl.DataFrame
    shards: Sequence[Shard] = ()
    n_beside: int = 0

    @property
    def n_files(self) -> int:
        """The number of files: each is a picture or was dropped."""
        return self.images.height + self.quarantine.height

    @property
    def reasons(self) -> dict[str, int]:
        """For each reason of a dropped file, the number of files."""
        return dict(self.quarantine.group_by("reason").len().sort("reason").iter_rows())


def import_pictures(
    source: Path,
    items: set[str],
    destination: Path,
    has_videos: bool = False,
    columns: PictureColumns = PictureColumns(),  # noqa: B008 - frozen
    item_column: str | None = None,
) -> ImportedPictures:
    """Take the pictures of known items: store copies of files in `destination/pictures`, and note places in shards.

    The pictures' fingerprints are written to `destination`.

    Args:
        source: a folder, a shard, or a name with braces or `*` that stands for several.
        items: the items' ids.
        destination: the raw folder.
        has_videos: whether files that are named like videos are left to `dataset.formats.videos`.
        columns: what in a shard names the item and holds the picture.
        item_column: the ratings' column of items; a column of a shard with this name names the item.

    Raises:
        MissingInputError: `source` is missing.
        InvalidTableError: a shard is damaged.
        UsageError: a column that is named is missing.
        TooLittleDataError: there are no files, or the pictures' names hold no item's id.
        PipelineError: a picture cannot be written.
    """
    files = _Files(source, columns, [item_column] if item_column else [], has_videos)
    kept, lost = _Rows(_KEPT), _Rows(_LOST)
    nameless, has_owner = list[str](), False
    with FingerprintWriter(destination) as fingerprints:
        for outcome in _look_at_all(files, Items(items), destination):
            has_owner |= outcome.item is not None or outcome.reason == NOT_TEXT
            if outcome.picture is not None:
                kept.add(_kept_row(outcome, outcome.picture))
                fingerprints.add(outcome.picture.sha256, outcome.picture.cells)
                continue
            lost.add(_quarantine_row(outcome))
            if outcome.reason == NO_ITEM:
                nameless.append(outcome.file.printable_name if not nameless else "")
        if not has_owner:
            require_names(source, nameless, kept.n_rows + lost.n_rows, "picture", "jpg")
    pictures, dropped = kept.table(), lost.table()
    pictures = pictures.with_columns(frame_id=distinct_ids(pictures["frame_id"], pictures["name"]))
    return ImportedPictures(
        fill_columns(pictures.with_columns(kind=pl.lit("still")), Frame),
        pictures.select(empty(Image).columns),
        quarantine_rows(dropped, "frames"),
        files.shards,
        files.n_beside,
    )


def no_pictures() -> ImportedPictures:
    """Return what an import without pictures has."""
    return ImportedPictures(empty(Frame), empty(Image), empty(Quarantine))


class _Rows:
    """Rows of a table that grows; in memory as columns, because objects take several times as much."""

    def __init__(self, schema: Mapping[str, type[pl.DataType]]) -> None:
        self._schema = schema
        self._new = list[tuple[str | int | None, ...]]()
        self._parts = list[pl.DataFrame]()
        self.n_rows = 0

    def add(self, row: tuple[str | int | None, ...]) -> None:
        self._new.append(row)
        self.n_rows += 1
        if len(self._new) == _ROWS_PER_PART:
            self._parts.append(self._of_new())

    def table(self) -> pl.DataFrame:
        return pl.concat([*self._parts, self._of_new()])

    def _of_new(self) -> pl.DataFrame:
        part = pl.DataFrame(self._new, schema=self._schema, orient="row")
        self._new.clear()
        return part


class _Files:
    """The files of a source, one after the other: those of folders, and the pictures in shards; an iterator.

    Args:
        source: see `import_pictures`.
        columns: what in a shard names the item and holds the picture.
        likely: a column of a shard that names the item if none is named.
        has_videos: whether files that are named like videos are left out.

    Attributes:
        total: the number of files; None if they are in shards, which do not tell before they are read.
        shards: the shards that were read.
        n_beside: the files in them that lie beside pictures.
    """

    def __init__(self, source: Path, columns: PictureColumns, likely: Sequence[str], has_videos: bool) -> None:
        self._columns, self._likely = columns, likely
        self._places = list[tuple[Found, bool]]()  # and whether it must be a shard
        for path in [source] if source.exists() else files_named(source):
            if path.is_dir():
                found = (file for file in files_of(path) if not (has_videos and file.is_named_as_video))
                self._places += [(file, False) for file in found]
            else:
                self._places.append((Found(path, path.name), True))
        has_shards = any(is_shard or is_named_as_shard(file.name) for file, is_shard in self._places)
        self.total = None if has_shards else len(self._places)
        self.shards = list[Shard]()
        self.n_beside = 0

    def __iter__(self) -> Iterator[Found]:
        for file, is_shard in self._places:
            shard = self._opened(file, is_shard)
            if shard is None:
                yield file
            else:
                yield from self._in_shard(file, shard)

    def _opened(self, file: Found, is_shard: bool) -> Shard | None:
        """Return a file as a shard, None if it is none."""
        if not is_shard and (not is_named_as_shard(file.name) or file.problem or kind_of(file.path) is None):
            return None
        try:
            return open_shard(file.path, self._columns, self._likely)
        except NoPicturesError:
            if is_shard:
                raise
            return None

    def _in_shard(self, file: Found, shard: Shard) -> Iterator[Found]:
        number = len(self.shards)
        self.shards.append(shard)
        with closing(shard):
            members = Members(shard, self._columns.picture_item)
            for member in members:
                name = f"{file.name}/{member.entry.name or member.entry.place.partition(':')[0]}"
                yield Found(file.path, name, member.problem, member, reference(number, member.entry.place))
            self.n_beside += members.n_beside


def _look_at_all(files: _Files, items: Items, destination: Path) -> Iterator[_Outcome]:
    n_processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    storing: dict[str, Path] = {}
    budget = BytesBudget(_BYTES_IN_PROGRESS)

    def given() -> Iterator[Found]:
        for file in files:
            budget.take(file.n_bytes)
            yield file

    def look(file: Found) -> _Outcome:
        try:
            return _look_at(pool, items, destination, storing, file)
        finally:
            budget.give_back(file.n_bytes)

    with PicturePool(n_processes, n_threads=_N_THREADS) as pool, progress("files") as bar:
        task = bar.add_task("checking pictures", total=files.total)
        for outcome in pool.each(look, given(), 4 * _N_THREADS):
            bar.advance(task)
            yield outcome


def _look_at(pool: PicturePool, items: Items, destination: Path, storing: dict[str, Path], file: Found) -> _Outcome:
    """Check a file, and store it if it is a picture of an item. `storing` names one file for each path to write."""
    if not file.is_utf8:
        return _Outcome(file, reason=NOT_TEXT)
    owner = items.of(file)
    item, frame_id = owner or (None, file.frame_id)
    content = file.path if file.member is None else file.member.content
    try:
        if file.problem:
            raise UnreadablePicture(file.problem)
        if item is None:
            pool.identify(content)
            return _Outcome(file, None, frame_id, reason=NO_ITEM)
        picture = pool.check(content)
        if (
            file.member is None and storing.setdefault(picture.path, file.path) is file.path
        ):  # one of several equal files
            _store(file.path, destination / picture.path, picture.size_bytes)
    except UnreadablePicture as problem:
        return _Outcome(file, item, frame_id, reason=UNREADABLE, detail=str(problem))
    return _Outcome(file, item, frame_id, picture)


def _kept_row(outcome: _Outcome, picture: Checked) -> tuple[str | int | None, ...]:
    """Return the columns of a row of `_KEPT`."""
    file = outcome.file
    size = picture.width_px, picture.height_px, picture.size_bytes
    path = file.reference or picture.path
    return (file.name, outcome.frame_id, outcome.item, picture.sha256, picture.format, *size, path)


def _quarantine_row(outcome: _Outcome) -> tuple[str | None, ...]:
    """Return the columns of a row of `_LOST`; `detail` starts with the file's path in the folder."""
    name = outcome.file.printable_name
    item = composed(named(outcome.file)) if outcome.reason == NO_ITEM else outcome.item
    return outcome.reason, item, outcome.frame_id, f"{name}: {outcome.detail}" if outcome.detail else name


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
