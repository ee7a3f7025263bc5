"""An SQLite file with nested transactions, and one-line messages for its errors."""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
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
        self._upsert_into = cache(self._upsert_statement)

    def close(self) -> None:
        """Close the file and release the lock."""
        self._connection.close()
        if self._lock:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all of the block's changes, or none of them. Blocks can be nested.

        An inner block that fails undoes its own changes only.
        """
        is_inner = self._connection.in_transaction
        begin, undo, end = _INNER if is_inner else _OUTER
        self.execute(begin)
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # after some errors (a full disk) SQLite has undone everything already
                for statement in undo:
                    self.execute(statement)
            raise
        self.execute(end)

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of a query's first row, or None."""
        row = self.execute(query, parameters).fetchone()
        return row[0] if row else None

    def upsert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, all with the same columns; a row whose key exists gets the new values."""
        if rows:
            self.executemany(self._upsert_into(table, tuple(rows[0])), rows)

    def _upsert_statement(self, table: str, columns: tuple[str, ...]) -> str:
        keys = {row[0] for row in self.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0", (table,))}
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in keys)
        return (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{column}' for column in columns)}) "
            f"ON CONFLICT DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"
        )

    def replace_by(self, new: "Database") -> None:
        """Replace this file by another one and close both; the lock is kept until `close`.

        Raises:
            PipelineError: another command is reading this file.
        """
        path, new_path = self.close_for(new)
        new_path.replace(path)

    def close_for(self, new: "Database") -> tuple[Path, Path]:
        """Close this file, and another one that will replace it, and return both; the lock is kept until `close`.

        Raises:
            PipelineError: another command is reading this file.
        """
        path, new_path = (Path(one.value("SELECT file FROM pragma_database_list")) for one in (self, new))
        if self.value("PRAGMA wal_checkpoint(TRUNCATE)"):
            raise PipelineError(
                f"{path}: another command is reading it; stop that command, then run the same command again"
            )
        self._connection.close()
        new._connection.close()
        with new_path.open("rb") as file:
            os.fsync(file.fileno())
        return path, new_path


_OUTER = ("BEGIN IMMEDIATE", ("ROLLBACK",), "COMMIT")
# Savepoints of the same name nest: both statements act on the newest.
_INNER = ("SAVEPOINT nested", ("ROLLBACK TO nested", "RELEASE nested"), "RELEASE nested")


def connect(path: Path) -> sqlite3.Connection:
    """Open a file; committed transactions are kept even if the process is killed.

    Raises:
        PipelineError: the file cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    except sqlite3.DatabaseError as error:
        raise explained(error, path.parent) from error
    with suppress(sqlite3.DatabaseError):  # not a database: the check of the version says so
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "PRAGMA wal_autocheckpoint = 8192"
        )  # 32 MiB: a database page that changes often is copied once
        connection.execute("PRAGMA foreign_keys = ON")
    return connection


def connect_scratch(path: Path) -> sqlite3.Connection:
    """Open a new file that is discarded unless it is finished: fast, unsafe, and without foreign key checks."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def explained(error: sqlite3.DatabaseError, folder: Path) -> Exception:
    """Return the error to show the user of a crawl folder; an error that no user can cause is returned unchanged."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            remedy = "free some disk space, check that the folder can be written, then run the same command again"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            remedy = "another program has locked it; stop that program, then run the same command again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            remedy = "move it away, then rebuild it from the archive: python -m crawler reparse"
        case _:
            return error
    return PipelineError(f"{folder / 'ledger.sqlite'}: cannot be used ({error}); {remedy}")


def marks(values: Sequence[object]) -> str:
    """Return the placeholders of a list of values: `?, ?, ?`."""
    return ", ".join("?" * len(values))
