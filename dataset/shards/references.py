"""Opens the pictures of a raw folder by their `path` in images.parquet: files of the folder, or parts of shards.

The path of a picture in a shard is `shard:<number>:<place>`. The number counts the lines of `shards.json` in the raw
folder, which names the shards; the place is one of `Shard.read`. A shard stays where it is, and is never written.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field

from dataset.documents import Whole, read_document
from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.files import path_below, write_text
from dataset.pictures.protocol import OUTSIDE, UnreadablePicture
from dataset.shards.opening import open_shard
from dataset.shards.shard import Kind, PictureColumns, Shard

FILE_NAME = "shards.json"
_PREFIX = "shard:"
_REFERENCE = re.compile(rf"{_PREFIX}\d{{1,9}}(?::\d{{1,18}}){{2,3}}", re.ASCII)
_IMPORT_AGAIN = "import the pictures again with `python -m dataset import --pictures`"
_OPEN_AT_ONCE = 8


class _Known(BaseModel):
    path: Annotated[str, Field(min_length=1)]
    kind: Kind
    size_bytes: Whole
    column: str


def is_reference(path: str) -> bool:
    """Return whether a picture's path leads into a shard."""
    return _REFERENCE.fullmatch(path) is not None


def reference(number: int, place: str) -> str:
    """Return the path of a picture in a shard.

    Args:
        number: the shard's number in `shards.json`.
        place: the picture's place in it.
    """
    return f"{_PREFIX}{number}:{place}"


def reading_order(path: str) -> tuple[int, ...]:
    """Return by what to sort pictures so that each shard is read once, from its start; files come first."""
    return tuple(map(int, path.split(":")[1:3])) if is_reference(path) else ()


def size_of(path: str) -> int:
    """Return how many bytes a picture in a shard has; 0 for a file, which a decoder process opens itself."""
    return int(path.rpartition(":")[2]) if is_reference(path) else 0


def write_shards(raw: Path, shards: Iterable[Shard]) -> None:
    """Write `shards.json`, or remove an earlier one if there are no shards.

    Args:
        raw: the raw folder.
        shards: the shards that pictures have been taken from.
    """
    known = [
        {
            "path": str(shard.path.absolute()),
            "kind": shard.kind,
            "size_bytes": shard.path.stat().st_size,
            "column": shard.column,
        }
        for shard in shards
    ]
    if known:
        write_text(raw / FILE_NAME, "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in known) + "\n]\n")
    else:
        (raw / FILE_NAME).unlink(missing_ok=True)


class PictureFiles:
    """The pictures of a raw folder; a context manager, which keeps a few shards open. Threads may share it.

    Args:
        raw: the raw folder.
    """

    def __init__(self, raw: Path) -> None:
        self._raw = raw
        self._known: Sequence[_Known] | None = None
        self._open: dict[int, Shard] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards."""
        with self._lock, ExitStack() as closing:
            for shard in self._open.values():
                closing.callback(shard.close)
            self._open.clear()

    def find(self, path: str, image_sha256: str) -> Path | bytes:
        """Return a picture's file, or its bytes if it is in a shard.

        Args:
            path: its `path` in images.parquet.
            image_sha256: the expected SHA-256. The bytes from a shard have it; a file is not opened here.

        Raises:
            UnreadablePicture: the path of a file leads out of the folder.
            MissingInputError: the shard is missing.
            InvalidTableError: the shard is no longer what it was when it was imported.
        """
        if not is_reference(path):
            found = path_below(self._raw, path)
            if found is None:
                raise UnreadablePicture(OUTSIDE)
            return found
        return self.read(path, image_sha256)

    def read(self, path: str, image_sha256: str) -> bytes:
        """Return the bytes of a picture in a shard; see `find`."""
        with self._lock:
            number, _, place = path.removeprefix(_PREFIX).partition(":")
            shard = self._shard(int(number))
            try:
                content = shard.read(place)
            except (InvalidTableError, ValueError):
                content = b""
        if hashlib.sha256(content).hexdigest() != image_sha256:
            raise InvalidTableError(
                f"{shard.path}: has changed since the import (a picture is not where it was); {_IMPORT_AGAIN}"
            )
        return content

    def _shard(self, number: int) -> Shard:
        path = self._raw / FILE_NAME
        if self._known is None:
            self._known = read_document(list[_Known], path, _IMPORT_AGAIN, InvalidTableError)
        if number >= len(self._known):
            raise InvalidTableError(f"{path}: has no shard {number:,}; {_IMPORT_AGAIN}")
        if number not in self._open:
            while len(self._open) >= _OPEN_AT_ONCE:
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = _open(self._known[number])
        return self._open[number]


def _open(known: _Known) -> Shard:
    path = Path(known.path)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: this file, which pictures were imported from, is missing; put it back, or {_IMPORT_AGAIN}"
        )
    if path.stat().st_size != known.size_bytes:
        raise InvalidTableError(f"{path}: has changed since the import (its size differs); {_IMPORT_AGAIN}")
    try:
        return open_shard(path, PictureColumns(picture_column=known.column or None))
    except (InvalidTableError, UsageError):
        raise InvalidTableError(f"{path}: has changed since the import (no {known.kind}); {_IMPORT_AGAIN}") from None
