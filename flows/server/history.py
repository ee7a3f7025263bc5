"""Removes a person from Prefect's home: from its database, its logs and its stored results.

In a list of users, the person is left out. Elsewhere in the database and in logs, a marker replaces their ids, names
and texts; apart from that, runs, deployments and schedules stay as they are. Stored results that hold the person are
deleted: Prefect computes them again. A kill at any moment does no harm: SQLite changes all values or none, and the next
command continues.
"""

import base64
import bz2
import json
import lzma
import re
import secrets
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from prefect.settings import get_current_settings

from crawler.kinds.writings import Traces, unpacked
from crawler.page import is_uid
from dataset.errors import PipelineError, UsageError
from dataset.files import atomic_path
from flows.server.home import LOCK_FILE, open_private

DATABASE = "prefect.db"
_OTHER_PROGRAM = "stop every Prefect server and worker that uses this folder, then run this command again"
_PACKAGES = ("prefect", "crawler", "dataset", "features", "model", "flows")
_USERS = "users"  # the parameter of `build-dataset` that holds people's ids
_PROSE = "message"  # the columns that no program reads
_WITHOUT_TEXT = ("CHAR(36)", "DATETIME", "INT", "SMALLINT", "BIGINT", "BOOL", "FLOAT")  # how types of columns begin
_OF_NOBODY = re.compile(  # UUIDs, digests and times
    rb"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\b[0-9a-f]{32,}\b|\d\d:\d\d:\d\d[.,]\d+|\b\d{10}\.\d+)"
)


class _Column(NamedTuple):
    """A column of a table."""

    table: str
    name: str


@dataclass
class History:
    """The history of runs in Prefect's home, and what was removed from it.

    Attributes:
        home: Prefect's folder; no server may run in it.
        values: how many values of the database were changed, by table.
        files: how many logs were changed and stored results deleted.
        same_words: how many values hold the person's words as words of Prefect or of this project.
    """

    home: Path
    values: Counter[str] = field(default_factory=Counter)
    files: int = 0
    same_words: int = 0

    def check(self) -> None:
        """Check that Prefect's database is in this folder.

        Raises:
            UsageError: the settings name another one.
        """
        database = get_current_settings().server.database
        if "connection_url" in database.model_fields_set and database.connection_url is not None:
            _, _, path = database.connection_url.get_secret_value().partition("sqlite+aiosqlite:///")
            if not path or Path(path).resolve() != (self.home / DATABASE).resolve():
                raise UsageError(
                    f"Prefect's database is not {self.home / DATABASE} (see PREFECT_SERVER_DATABASE_CONNECTION_URL); "
                    "delete there the runs that name this person, then use: python -m crawler forget"
                )

    def remove(self, traces: Traces) -> bool:
        """Remove a person; return whether they were there.

        Raises:
            PipelineError: another program uses the database, the folder cannot be written, or a file that is not
                Prefect's mentions the person.
        """
        marker = f"forgotten-{secrets.token_hex(3)}"
        prose = _Scissors(traces, marker)
        careful = _Scissors(replace(traces, common=traces.common | _words_of_programs(traces)), marker)
        if (self.home / DATABASE).exists():
            self._clear_database(careful, prose)
        scissors_of = {path: prose if path.suffix == ".log" else careful for path in self._files()}
        for path, scissors in scissors_of.items():
            if scissors.mentioned_in(path):
                self._clear_file(path, scissors)
        left = [path for path, scissors in scissors_of.items() if path.exists() and scissors.mentioned_in(path)]
        if left:
            raise PipelineError(
                f"{len(left):,} other files mention this person: {', '.join(map(str, left[:10]))}; remove them, then "
                "run this command again (the crawl is as it was)"
            )
        return bool(self.values or self.files)

    def _files(self) -> list[Path]:
        others = (path for path in sorted(self.home.rglob("*")) if path.name not in (DATABASE, LOCK_FILE))
        return [path for path in others if path.is_file() and not path.is_symlink()]

    def _clear_file(self, path: Path, scissors: "_Scissors") -> None:
        content = path.read_bytes()
        if path.suffix == ".part" or _result_in(content):  # of a killed write, or what Prefect computes again
            path.unlink()
            self.files += 1
        elif path.suffix == ".log":
            with atomic_path(path) as temporary, open_private(temporary) as file:
                file.write(scissors.cut(content))
            self.files += 1

    def _clear_database(self, careful: "_Scissors", prose: "_Scissors") -> None:
        path = self.home / DATABASE
        try:
            with closing(sqlite3.connect(path, isolation_level=None, timeout=2)) as database:
                database.execute("PRAGMA journal_mode = DELETE")  # merges the write-ahead log; fails while it is in use
                database.execute("PRAGMA secure_delete = ON")
                columns = list(_columns(database))
                database.text_factory = bytes
                database.execute("BEGIN EXCLUSIVE")
                scissors_of = {column: prose if column.name == _PROSE else careful for column in columns}
                for column, scissors in scissors_of.items():
                    for row, value in _changes(database, column, scissors):
                        self.values[column.table] += 1
                        database.execute(
                            f'UPDATE OR REPLACE "{column.table}" SET "{column.name}" = ? WHERE rowid = ?', (value, row)
                        )
                database.execute("COMMIT")
                database.execute("VACUUM")  # free pages hold nothing
                same_words = {column: len(_changes(database, column, prose)) for column in columns}
                self.same_words = sum(same_words.values())
                found = [column for column, count in same_words.items() if count]
                left = [column for column in found if _changes(database, column, scissors_of[column])]
        except sqlite3.Error as error:
            raise PipelineError(f"{path}: {error}; {_OTHER_PROGRAM}") from None
        if left:
            places = ", ".join(f"{column.table}.{column.name}" for column in left)
            raise PipelineError(
                f"{path}: still mentions this person in {places}; delete this file (with it, the history of all runs)"
            )


class _Scissors:
    """Cuts a person out of values and texts.

    Args:
        traces: the person's.
        marker: what stands in their place.
    """

    def __init__(self, traces: Traces, marker: str) -> None:
        self._traces, self._marker = traces, marker

    def mentioned_in(self, path: Path) -> bool:
        """Return whether a file mentions the person, as it is or unpacked."""
        return any(self.cut(text) != text for text in _readings(path.read_bytes()))

    def cut(self, text: bytes) -> bytes:
        """Return a text without the person."""
        if not self._traces.found_in(text):
            return text
        parts = _OF_NOBODY.split(text)
        parts[::2] = [self._traces.without(part, self._marker.encode()) for part in parts[::2]]
        return b"".join(parts)

    def cleared(self, value: bytes) -> bytes:
        """Return a text or JSON without the person."""
        if value[:1] in (b"{", b"[", b'"') and (b'"users"' in value or self._traces.found_in(value)):
            try:
                document = json.loads(value)
            except ValueError:
                return self.cut(value)
            without = self._without(document)
            return value if without == document else json.dumps(without).encode()
        return self.cut(value)

    def _without(self, part: Any, are_users: bool = False) -> Any:
        if isinstance(part, dict):
            return {self._without(name): self._without(one, name == _USERS) for name, one in part.items()}
        if isinstance(part, list):
            others = (one for one in part if not (are_users and str(one) in self._traces.ids))
            return [self._without(one, are_users) for one in others]
        if isinstance(part, str):
            is_another = are_users and is_uid(part) and part not in self._traces.ids
            return part if is_another else self.cleared(part.encode("utf-8", "replace")).decode("utf-8", "replace")
        if isinstance(part, int) and not isinstance(part, bool):
            number = str(part).encode()
            return part if self.cut(number) == number else self._marker
        return part


def _columns(database: sqlite3.Connection) -> Iterator[_Column]:
    """Yield all columns that may hold text."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, name, type_, *_, hidden in database.execute(f'PRAGMA table_xinfo("{table}")').fetchall():
            if not hidden and not type_.upper().startswith(_WITHOUT_TEXT):
                yield _Column(table, name)


def _changes(database: sqlite3.Connection, column: _Column, scissors: _Scissors) -> list[tuple[int, str | bytes]]:
    """Return the rows in which a column mentions the person, each with the value without them."""
    changes: list[tuple[int, str | bytes]] = []
    query = f'SELECT rowid, typeof("{column.name}"), "{column.name}" FROM "{column.table}"'
    for row, type_, value in database.execute(query):
        if type_ in (b"text", b"blob"):
            if (cleared := scissors.cleared(value)) != value:
                changes.append((row, cleared if type_ == b"blob" else cleared.decode("utf-8", "replace")))
        elif type_ == b"integer" and scissors.cut(number := str(value).encode()) != number:
            changes.append((row, json.dumps(scissors.cut(number).decode())))  # a JSON value that is a number
    return changes


def _words_of_programs(traces: Traces) -> frozenset[str]:
    """Return the ids and names that Prefect or this project uses too, for example "sandbox".

    Without them, the database would not work any more.
    """
    words = {word for word in traces.ids | traces.names if word.isascii() and not word.isdigit()}
    found: set[str] = set()
    for package in _PACKAGES:
        spec = find_spec(package)
        for path in Path(spec.origin).parent.rglob("*.py") if spec and spec.origin else ():
            text = path.read_text("utf-8", "replace").casefold()
            found |= {word for word in words - found if word.casefold() in text}
    return frozenset(found)


def _readings(content: bytes) -> Iterator[bytes]:
    """Yield what a file holds: as it is, unpacked, and the result of a task, which may be compressed."""
    yield content
    yield unpacked(content)
    result = _result_in(content)
    yield result
    for decompress in (zlib.decompress, bz2.decompress, lzma.decompress):
        with suppress(zlib.error, OSError, ValueError, lzma.LZMAError):
            yield decompress(result)


def _result_in(content: bytes) -> bytes:
    """Return the result of a task in a file of Prefect, serialised; nothing for any other file."""
    try:
        fields = json.loads(content)
        return base64.b64decode(fields["result"]) if "metadata" in fields else b""
    except (ValueError, TypeError, KeyError, RecursionError):
        return b""
