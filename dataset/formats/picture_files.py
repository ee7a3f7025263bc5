"""Finds the files of a folder of pictures or videos, and what their names say: each one's item, and its frame id.

The ratings' item ids decide. A file belongs to the first of these that is an item's id:

1. its path in the folder, then the same without what follows the picture's extension or a `?`, longest first:
   `a.jpg`, `a.jpg_large`, `a.jpg?size=large`, `a.jpg.1` and `a` belong to `a`, but to `a.jpg` if that is an item;
2. the folders it is in, longest path first: `a/any.jpg` belongs to `a`.

A picture in a shard (`dataset.shards`) belongs to the item that a column or a file beside it names, or else to the item
of its name in the shard: as above, and then without its folders, one after the other. `images/a.jpg` belongs to `a`.

Ids and names are compared as they are, and then in Unicode's composed form (macOS writes names decomposed).
"""

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from dataset.errors import TooLittleDataError
from dataset.shards.members import Member

_PICTURE = "jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?|avif"
_VIDEO = "mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|m2ts|mts|flv|wmv|asf|ogv|3gp|3g2"
_EXTENSION = re.compile(rf"\.(?:{_PICTURE}|{_VIDEO})(?![a-z0-9])", re.IGNORECASE)
_VIDEO_EXTENSION = re.compile(rf"\.(?:{_VIDEO})(?![a-z0-9])", re.IGNORECASE)
_N_LEVELS = 2
"""How often a clashing id gives way: to the name in composed form, then to the name as it is."""
_ANY_EXTENSION = re.compile(r"\.[a-z]\w*$", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A file in a folder.

    Attributes:
        path: where it is.
        name: its path in the folder, with `/`; bytes that are not UTF-8 are escaped as lone surrogates.
        problem: why it cannot be opened; empty if it can.
        member: the picture in a shard, if `path` is a shard; `name` is then the shard's name and the picture's.
        reference: the picture's path in images.parquet, if it is in a shard.
    """

    path: Path
    name: str
    problem: str = ""
    member: Member | None = None
    reference: str = ""

    @property
    def n_bytes(self) -> int:
        """How many bytes of the picture are in memory: none of a file."""
        return len(self.member.content) if self.member else 0

    @property
    def is_utf8(self) -> bool:
        """Whether the name is text."""
        return not any("\ud800" <= character <= "\udfff" for character in self.name)

    @property
    def printable_name(self) -> str:
        """The name on one line, with what cannot be printed escaped."""
        return "".join(c if c.isprintable() else _escaped(c) for c in self.name)

    @property
    def is_named_as_video(self) -> bool:
        """Whether the last known extension in the name is one of videos."""
        extensions = _EXTENSION.findall(_base_of(self.name))
        return bool(extensions) and _VIDEO_EXTENSION.fullmatch(extensions[-1]) is not None

    @property
    def frame_id(self) -> str:
        """The name without its extension, in composed form; in a shard, that of the picture there."""
        name = self.name if self.member is None else self.member.entry.name or self.name
        return composed(_folder_of(name) + (_stems(_base_of(name)) or [""])[0])


def files_of(folder: Path) -> list[Found]:
    """Return all files in a folder and its subfolders, sorted by name.

    Links are followed. What cannot be followed or read is also returned, with its problem: a link to nothing, a pipe,
    a folder without permission. In a folder of the first level, each real folder is read only once, so links that
    lead back end.
    """
    return sorted(_walk(folder), key=lambda file: file.name)


@dataclass
class _Place:
    """A folder to read; `seen` are the folders (device, inode) that must not be read again under the same item."""

    path: Path
    name: str
    seen: set[tuple[int, int]]


def _walk(root: Path) -> Iterator[Found]:
    here = root.resolve()
    above = {_identity(folder.stat()) for folder in (here, *here.parents)}
    folders, links = [_Place(root, "", above)], list[_Place]()
    while folders or links:
        place = folders.pop() if folders else links.pop()  # a real folder before links to it
        if place.name:
            try:
                identity = _identity(place.path.stat())
            except OSError as error:
                yield Found(place.path, place.name, error.strerror or "cannot be read")
                continue
            if identity in place.seen:
                yield Found(place.path, place.name, "a link to a folder above it, or to one that is read already")
                continue
            place.seen.add(identity)
        try:
            with os.scandir(place.path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(place.path, place.name, f"a folder that cannot be read ({error.strerror})")
            continue
        for entry in entries:
            found = Found(Path(entry.path), f"{place.name}/{entry.name}".removeprefix("/"))
            kind = _kind_of(entry)
            if kind == "folder":
                seen = place.seen if place.name else set(above)
                (links if entry.is_symlink() else folders).append(_Place(found.path, found.name, seen))
            else:
                yield found if kind == "file" else Found(found.path, found.name, kind)


def _kind_of(entry: "os.DirEntry[str]") -> str:
    """Return `file`, `folder`, or why the entry is neither."""
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return "a link to nothing" if entry.is_symlink() else error.strerror or "cannot be read"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "not a file but a pipe, socket or device"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@dataclass
class Items:
    """The items of the ratings, found by the names of files."""

    ids: set[str]
    _by_composed: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        counts = Counter(map(composed, self.ids))
        self._by_composed = {composed(item): item for item in self.ids if counts[composed(item)] == 1}

    def of(self, file: Found) -> tuple[str, str] | None:
        """Return the (item id, frame id) of a file, None if its name holds no item's id."""
        if file.member is None:
            return self._of_name(file.name)
        entry, named = file.member.entry, file.member.item
        if named is not None:
            item = self._find(named)
            return None if item is None else (item, file.frame_id if entry.name else composed(named))
        name = entry.name
        while name:
            if (found := self._of_name(name)) is not None:
                return found
            name = name.partition("/")[2]
        return None

    def _of_name(self, name: str) -> tuple[str, str] | None:
        folder, base = _folder_of(name), _base_of(name)
        for stem in sorted(_stems(base), key=len, reverse=True):
            if (item := self._find(folder + stem)) is not None:
                return item, composed(folder + stem)
        for parent in PurePosixPath(name).parents:
            if (item := self._find(str(parent))) is not None:
                return item, composed(folder + (_stems(base) or [""])[0])
        return None

    def _find(self, name: str) -> str | None:
        return name if name in self.ids else self._by_composed.get(composed(name))


def named(file: Found) -> str:
    """Return the item's id that a file's name would be for, if there were such an item."""
    if file.member is not None:
        return file.member.item or _base_of(file.frame_id)
    folders = file.name.split("/")[:-1]
    return folders[0] if folders else file.frame_id


def distinct_ids(preferred: pl.Series, names: pl.Series) -> pl.Series:
    """Return a frame id for each file: the file's name where several files prefer the same id.

    The ids depend on the set of files alone, not on their order.

    Args:
        preferred: the id that each file prefers.
        names: the files' names, which are distinct.
    """
    files = pl.DataFrame({"id": preferred, "level": pl.zeros(len(names), pl.UInt8, eager=True), "name": names})
    while True:
        is_clashing = files["id"].is_duplicated() & (files["level"] < _N_LEVELS)
        if not is_clashing.any():
            return files["id"]
        up = pl.when(pl.col("level") == 0).then(pl.col("name").str.normalize("NFC")).otherwise("name")
        files = files.with_columns(
            id=pl.when(is_clashing).then(up).otherwise("id"), level=pl.col("level") + is_clashing.cast(pl.UInt8)
        )


def composed(text: str) -> str:
    """Return a text in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def _stems(base: str) -> list[str]:
    """Return what a file name may be without its extension, the usual one first, and the whole name last."""
    extensions = [match.start() for match in _EXTENSION.finditer(base)][::-1]
    last = _ANY_EXTENSION.search(base)
    ends: Iterable[int] = (*extensions, base.find("?"), last.start() if last else -1, len(base))
    return [base[:end] for end in dict.fromkeys(ends) if end > 0]


def _folder_of(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _base_of(name: str) -> str:
    return name[name.rfind("/") + 1 :]


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # one byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def require_names(folder: Path, nameless: Sequence[str], n_files: int, kind: str, suffix: str) -> None:
    """Raise an error if a folder has no files, or pictures or videos but none that belongs to an item.

    Args:
        folder: the folder.
        nameless: the printable names of the files that belong to no item.
        n_files: the number of files.
        kind: "picture" or "video".
        suffix: of the name to recommend.
    """
    if nameless or not n_files:
        example = f" (for example {nameless[0]})" if nameless else ""
        raise TooLittleDataError(
            f"{folder}: no {kind} belongs to an item in the ratings; it has {len(nameless):,} {kind}s{example}; name "
            f"them <item>.{suffix} or <item>/<any>.{suffix}, with the item ids of the ratings file"
            f"{' (or name a column or field with --picture-item)' if kind == 'picture' else ''}"
        )
