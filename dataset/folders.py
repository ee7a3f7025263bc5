"""Replaces a whole folder in one step: whoever looks, at any moment, sees the old folder or the new one.

A process that is killed may leave a hidden folder `.<name>.<id>.part` beside the folder. The next call removes it.
"""

import ctypes
import errno
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataset.files import copy_file, explain_write_errors

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_CURRENT_FOLDER = {"linux": -100, "darwin": -2}  # AT_FDCWD
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success, put it in the place of `folder`, whose files are then deleted.

    On Linux and macOS, the two folders are exchanged in one step. A file system that cannot do that (some network
    disks), and Windows, need two steps: after a kill between them, the old folder is restored by the next call.

    Raises:
        PipelineError: the folder cannot be written.
    """
    with explain_write_errors(folder):
        target = folder.resolve()  # a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        _clean_up(target)
        staging, lock = _new_staging(target)
        try:
            yield staging
            if target.is_dir():
                shutil.copymode(target, staging)
            _put_in_place(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # the new folder after an error, else the old one
            if lock is not None:
                os.close(lock)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        copy_file(source, target)
        shutil.copystat(source, target)


def _new_staging(target: Path) -> tuple[Path, int | None]:
    """Create a staging folder; return it and the lock that says that its process lives (None on Windows)."""
    while True:
        staging = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.part")
        staging.mkdir()
        lock = None
        with suppress(OSError):  # some network disks cannot lock a folder; then nothing removes it either
            lock = _lock(staging)
        if staging.exists():  # another process may have removed it before it was locked
            return staging, lock
        if lock is not None:
            os.close(lock)


def _clean_up(target: Path) -> None:
    """Remove the staging folders of killed processes; restore a folder that one of them had moved aside."""
    for aside in target.parent.glob(f".{_escaped(target.name)}.*.old"):
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)
    for staging in target.parent.glob(f".{_escaped(target.name)}.*.part"):
        with suppress(OSError):
            lock = _lock(staging)
            if lock is not None:
                shutil.rmtree(staging, ignore_errors=True)
                os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as this process lives; None where the system has no such locks.

    Raises:
        OSError: another process holds the lock, or the folder is gone.
    """
    try:
        import fcntl
    except ImportError:
        return None
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        raise
    return opened


def _put_in_place(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`; if `target` is a folder with files, it becomes `staging`, or is deleted."""
    if not target.exists() or not any(target.iterdir()):
        with suppress(FileNotFoundError):
            target.rmdir()
        staging.rename(target)
    elif not _exchange(staging, target):
        aside = staging.with_suffix(".old")
        target.rename(aside)
        try:
            staging.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; return False if the system or the file system cannot.

    Raises:
        OSError: the system refuses for another reason.
    """
    here = _CURRENT_FOLDER.get(sys.platform)
    library = ctypes.CDLL(None, use_errno=True) if here is not None else None
    rename = getattr(library, "renameat2", None) or getattr(library, "renameatx_np", None)
    if rename is None:
        return False
    if rename(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))
