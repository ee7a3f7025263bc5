"""The lock of a crawl folder: only one command writes at a time. The lock is released when its process ends.

File locks (`fcntl`) exist on POSIX systems only. Importing this module works everywhere.
"""

import os
import time
from pathlib import Path
from typing import TextIO

from dataset.errors import PipelineError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock(path: Path) -> TextIO:
    """Take the lock of a folder.

    Raises:
        PipelineError: another process holds it, or the system has no file locks.
    """
    if fcntl is None:
        raise PipelineError(
            "crawling needs POSIX file locks, which Windows does not have; run the crawler on Linux or macOS"
        )
    file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+")
    if not _try_lock(file):
        file.close()
        raise PipelineError(
            f"{path.parent}: another command is crawling into this folder; wait until it ends "
            "(python -m crawler status shows its progress)"
        )
    return file


def is_locked(path: Path) -> bool:
    """Return whether a command holds the lock of a folder right now."""
    if fcntl is None:
        return False
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # the file does not exist yet
        return False
    return False


def _try_lock(file: TextIO) -> bool:
    """Try twice, because `is_locked` holds a shared lock for a moment."""
    for wait_s in (0.0, 0.05):
        time.sleep(wait_s)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
