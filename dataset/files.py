"""Files: atomic writes, digests, and whether a file has changed.

A write is atomic: a reader sees the whole new file or the old one, never a part. Because writers replace
files and never edit them, a file's size and time of change tell whether it is still the same (`FileState`).
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dataset.errors import PipelineError

_READ_SIZE_BYTES = 1 << 20


class FileState(NamedTuple):
    """A file's size and time of last change; the file has changed when they have. In JSON, a list of two numbers."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the present state of a file.

        Raises:
            OSError: the file is missing or cannot be examined.
        """
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    Raises:
        PipelineError: the folder cannot be written (read-only, or the disk is full).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Turn a write to `place` that fails in here into one line.

    Raises:
        PipelineError: the system says that it cannot be written.
    """
    try:
        yield
    except Exception as error:
        reason = _why_not_written(error)
        if reason is None:
            raise
        raise PipelineError(
            f"{place}: cannot be written ({reason}); "
            "make room or choose another folder, then run the same command again"
        ) from error


def _why_not_written(error: BaseException) -> str | None:
    """Return the system's reason if a write has failed, None for any other error.

    polars gives an error of its own that quotes the system's, as Rust prints it; torch gives one that
    followed upon the system's.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    quoted = re.search(r"([^:]+) \(os error \d+\)", str(error))
    if quoted:
        return quoted[1].strip()
    return _why_not_written(error.__context__) if isinstance(error.__context__, OSError) else None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_SIZE_BYTES):
            digest.update(block)
    return digest.hexdigest()
