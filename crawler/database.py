"""A private SQLite file: opened alone or to look, changed in transactions."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TextIO

from dataset.errors import PipelineError


class Database:
    """An open SQLite file, and the lock that keeps others from writing to it."""

    def __init__(self, connection: sqlite3.Connection, lock: TextIO | None = None) -> None:
        self._connection = connection
        self._lock = lock
        self.execute = connection.execute
        self.executemany = connection.executemany

    def close(self) -> None:
        """Close the file and let the next command in."""
        self._connection.close()
        if self._lock:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's changes, or none."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of a query's first row, or None."""
        row = self.execute(query, parameters).fetchone()
        return row[0] if row else None

    def replace_by(self, new: "Database") -> None:
        """Put another file in this one's place, and close both; the lock is kept until `close`.

        Raises:
            PipelineError: another command is looking at this one.
        """
        path, new_path = (Path(one.value("SELECT file FROM pragma_database_list")) for one in (self, new))
        if self.value("PRAGMA wal_checkpoint(TRUNCATE)"):
            raise PipelineError(f"{path}: another command is reading it; end that, then run the same command again")
        self._connection.close()
        new._connection.close()
        with new_path.open("rb") as file:
            os.fsync(file.fileno())
        new_path.replace(path)


def explained(error: sqlite3.DatabaseError, folder: Path) -> Exception:
    """Return what to tell whoever ran a command on a folder; an error that they cannot cause is returned as it is."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            remedy = "make room and see that the folder can be written, then run the same command again"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            remedy = "another program holds it; end that, then run the same command again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            remedy = "move it away, then build it anew from the archive: python -m crawler reparse"
        case _:
            return error
    return PipelineError(f"{folder / 'ledger.sqlite'}: cannot be used ({error}); {remedy}")


def connect(path: Path) -> sqlite3.Connection:
    """Open a file for transactions that survive the end of the process."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    with suppress(sqlite3.DatabaseError):  # not a database: `_check` says so
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 8192")  # 32 MiB: pages that change often are merged first
        connection.execute("PRAGMA foreign_keys = ON")
    return connection


def lock(path: Path) -> TextIO:
    """Take the lock of a folder, which ends with the process.

    Raises:
        PipelineError: another process has it.
    """
    file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+")
    if not _try_lock(file):
        file.close()
        raise PipelineError(
            f"{path.parent}: another command is crawling into this folder; wait until it ends "
            "(python -m crawler status shows how far it is)"
        )
    return file


def is_locked(path: Path) -> bool:
    """Return whether a command holds the lock of a folder right now."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none yet
        return False
    return False


def _try_lock(file: TextIO) -> bool:
    """Try for a moment, as long as `is_locked` may take to look."""
    for wait_s in (0.0, 0.05):
        time.sleep(wait_s)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
