"""Files: atomic writes, digests, whether a file has changed, and names that stay below a folder.

A write is atomic: a reader sees the old file or the whole new one, never a part. Writers replace files and
never edit them, so a file's size and modification time show whether it has changed (`FileState`).
"""

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, TextIO

from dataset.errors import PipelineError

_READ_SIZE_BYTES = 1 << 20
_COPY_SIZE_BYTES = 1 << 30
_WAIT_S = 0.1
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)


class FileState(NamedTuple):
    """A file's size and modification time; if either differs, the file has changed. In JSON, a list of two numbers."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the current state of a file.

        Raises:
            OSError: the file is missing or cannot be examined.
        """
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success, flush the file to disk and rename it to `path`.

    Raises:
        PipelineError: the file cannot be written (read-only folder, full disk).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def explain_write_errors(place: object) -> Iterator[None]:
    """Turn a failed write to `place` inside this context into a one-line error.

    Raises:
        PipelineError: the operating system refused the write.
    """
    try:
        yield
    except Exception as error:
        reason = _why_not_written(error)
        if reason is None:
            raise
        raise PipelineError(
            f"{place}: cannot be written ({reason}); "
            "free some disk space or choose another folder, then run the same command again"
        ) from error


def _why_not_written(error: BaseException) -> str | None:
    """Return the operating system's reason for a failed write, None for any other error.

    polars raises its own error, whose message quotes the system's error as Rust prints it. torch raises its
    own error with the system's error as context.
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


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes, sharing the blocks on disk where the file system can (Btrfs, XFS and others on Linux).

    Shared blocks are copied on write: a later change to either file does not change the other, as it would
    with a hard link.
    """
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            while os.copy_file_range(reader.fileno(), writer.fileno(), _COPY_SIZE_BYTES):
                pass
        if target.stat().st_size == source.stat().st_size:  # some virtual file systems report an empty file
            return
    except (AttributeError, OSError):  # not on Linux, or not between these two file systems
        pass
    shutil.copyfile(source, target)


@contextmanager
def exclusive_lock(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock on the file `path` inside this context, or until the process dies. POSIX only.

    Raises:
        PipelineError: another process holds the lock (the message is `refusal`), or the system is not POSIX.
    """
    try:
        file = _try_lock(path)
    except ImportError:
        raise PipelineError(f"{path}: file locks need Linux or macOS; on Windows, use WSL") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise PipelineError(f"{path}: cannot be locked ({error.strerror}); choose a folder on another disk") from None
    if file is None:
        raise PipelineError(refusal)
    with file:
        yield
        path.unlink(missing_ok=True)


@contextmanager
def waiting_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock on the file `path` inside this context; wait while another process holds it.

    Where a system or a file system has no locks, nothing is locked.

    Args:
        path: the file; its folder is made if it is missing.
        on_wait: called once, before the wait.
    """
    with explain_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _wait_for_lock(path, on_wait)
    try:
        yield
    finally:
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()


@contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """Hold a lock on the file `path` inside this context if no other process holds it; yield whether it is held.

    Where a system or a file system has no locks, nothing is locked, and this yields true.
    """
    try:
        with waiting_lock(path, _refuse):
            yield True
    except _TakenError:
        yield False


class _TakenError(Exception):
    """Another process holds the lock."""


def _refuse() -> None:
    raise _TakenError


def _wait_for_lock(path: Path, on_wait: Callable[[], None]) -> TextIO | None:
    """Return the locked file, None where there are no locks."""
    is_said = False
    while True:
        try:
            file = _try_lock(path)
        except ImportError:
            return None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            raise
        if file is not None:
            return file
        if not is_said:
            on_wait()
        is_said = True
        time.sleep(_WAIT_S)


def _try_lock(path: Path) -> TextIO | None:
    """Return the locked file, None if another process holds the lock."""
    import fcntl

    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        except FileNotFoundError:  # the holder has deleted the file that we opened
            pass
        except BlockingIOError:
            file.close()
            return None
        except OSError:
            file.close()
            raise
        file.close()


def is_below(name: str) -> bool:
    """Return whether a name that data give for a file is relative, on any system, and has no `..`."""
    parts, windows = PurePosixPath(name).parts, PureWindowsPath(name)
    is_absolute = name.startswith("/") or bool(windows.drive or windows.root)
    return bool(parts) and not is_absolute and ".." not in (*parts, *windows.parts) and "\0" not in name


def path_below(folder: Path, name: str) -> Path | None:
    """Return the path of the file that data name, None if it is outside of `folder`, also by a link."""
    if not is_below(name):
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) else None
    except (OSError, RuntimeError):  # a loop of links
        return None


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_SIZE_BYTES):
            digest.update(block)
    return digest.hexdigest()
