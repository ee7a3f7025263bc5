"""The ledger of a crawl: one SQLite file that knows every page, its state, and the rows it gave.

A page's rows, the pages found on it and the mark that it is done are one transaction
(`Ledger.transaction`), so killing the crawl at any moment loses nothing and repeats nothing, and
resuming is a query. Pages are named by what they show, not by address: `Key(kind, subject,
variant, start)`; `crawler.plan` knows the address of each.

States of a page: `pending` → `done`, or `gone` (the site says that it does not exist, or nothing
can be had from it), `refused` (the site or its robots.txt says no), `failed` (tried a few times
in vain). A later run tries refused and failed pages again.

The ledger holds the site's own ids of people, so folder (0700) and file (0600) are private.
Names, avatars and comment texts are in no table.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from crawler.database import Database, connect, lock
from crawler.forgotten import PERSONAL_KINDS, Forgotten
from crawler.pages.rows import Person
from crawler.settings import Source
from dataset.errors import MissingInputError, PipelineError, UsageError

LEDGER_VERSION = "2"

_TABLES = Path(__file__).with_name("ledger.sql")


class Key(NamedTuple):
    """Which page: its kind, what it is about, the variant of it, and the offset in a list."""

    kind: str
    subject: str
    variant: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is to be read."""

    page_id: int
    key: Key
    attempts: int = 0
    next_try_at: float = 0.0


class Ledger(Database):
    """An open ledger. Made by `Ledger.open` (to crawl) or `Ledger.read` (to look)."""

    def __init__(self, connection: sqlite3.Connection, forgotten: Forgotten, held: TextIO | None = None) -> None:
        super().__init__(connection, held)
        self.forgotten = forgotten
        self.pages_added = 0

    @classmethod
    def open(cls, crawl_dir: Path, source: Source) -> "Ledger":
        """Open the ledger of a crawl folder for writing, alone; make both if there are none.

        Args:
            crawl_dir: the private folder of the crawl.
            source: what is crawled; a folder holds one site, so that two never mix.

        Raises:
            UsageError: the folder holds a crawl of another site.
            PipelineError: another command is crawling into the folder, or it cannot be written.
        """
        path = crawl_dir / "ledger.sqlite"
        try:
            crawl_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = lock(crawl_dir / "lock")
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            ledger = cls(connect(path), Forgotten(crawl_dir), held)
        except OSError as error:
            raise PipelineError(
                f"{path}: cannot be written ({error.strerror}); choose another folder with --crawl"
            ) from error
        ledger._prepare(path, source)
        return ledger

    @classmethod
    def read(cls, crawl_dir: Path) -> "Ledger":
        """Open the ledger of a crawl folder to look at it, also while a crawl is running.

        Raises:
            MissingInputError: there is none.
        """
        path = crawl_dir / "ledger.sqlite"
        if not path.is_file():
            raise MissingInputError(f"{path}: no such ledger; start a crawl with: python -m crawler ratings")
        ledger = cls(connect(path), Forgotten(crawl_dir))
        ledger._check(path)
        return ledger

    @classmethod
    def build(cls, crawl_dir: Path, source: Source) -> "Ledger":
        """Make an empty ledger beside the one of a folder, to be put in its place by `replace_by`.

        A picture or like whose frame is not known (its list is not understood any more) may stand in it.
        """
        path = crawl_dir / "ledger.sqlite.new"
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = MEMORY")  # whoever is cut off here begins anew
        connection.execute("PRAGMA synchronous = OFF")
        ledger = cls(connection, Forgotten(crawl_dir))
        ledger._prepare(path, source)
        return ledger

    def meta(self, key: str) -> str | None:
        """Return a fact about the crawl itself."""
        found: str | None = self.value("SELECT value FROM meta WHERE key = ?", (key,))
        return found

    def set_meta(self, key: str, value: str) -> None:
        """Write down a fact about the crawl itself."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- pages -----------------------------------------------------------------------------

    def add_pages(self, keys: Iterable[Key]) -> int:
        """Add pages to be read; known ones stay as they are, forgotten people's stay out. Return how many are new."""
        keys = (key for key in keys if key.kind not in PERSONAL_KINDS or not self.forgotten.has(key.subject))
        before = self._connection.total_changes
        self.executemany("INSERT OR IGNORE INTO pages (kind, subject, variant, start) VALUES (?, ?, ?, ?)", keys)
        added = self._connection.total_changes - before
        self.pages_added += added
        return added

    def pending(self, kinds: Sequence[str], after: int, limit: int) -> list[Page]:
        """Return up to `limit` pending pages of the kinds whose number is above `after`, in order."""
        rows = self.execute(
            "SELECT page_id, kind, subject, variant, start, attempts, next_try_at FROM pages "
            f"WHERE state = 'pending' AND page_id > ? AND kind IN ({_marks(kinds)}) ORDER BY page_id LIMIT ?",
            (after, *kinds, limit),
        )
        return [Page(row[0], Key(*row[1:5]), row[5], row[6]) for row in rows]

    def page(self, key: Key, of_any_state: bool = False) -> Page | None:
        """Return a page if it is known, and pending unless it may be of any state."""
        row = self.execute(
            "SELECT page_id, attempts, next_try_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? "
            "AND start = ? AND (state = 'pending' OR ?)",
            (*key, of_any_state),
        ).fetchone()
        return Page(row[0], key, row[1], row[2]) if row else None

    def reset(self, page: Page) -> None:
        """Make a page as if it had never been asked for."""
        self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0, cause = NULL, fetched_at = NULL "
            "WHERE page_id = ?",
            (page.page_id,),
        )

    def forget_page(self, page: Page) -> None:
        """Drop a page that turned out to be a forgotten person's, and forget that uid of theirs too."""
        self.forgotten.add([page.key.subject])
        self.execute("DELETE FROM pages WHERE kind = ? AND subject = ?", page.key[:2])

    def mark_done(
        self,
        page: Page,
        at: float,
        seen: int = 0,
        claimed: int | None = None,
        left_out: int = 0,
        last_item: str | None = None,
    ) -> None:
        """Mark a page, answered at `at`, as read; belongs into the transaction that stores its rows."""
        self.execute(
            "UPDATE pages SET state = 'done', cause = NULL, fetched_at = ?, seen = ?, claimed = ?, left_out = ?, "
            "last_item = ? WHERE page_id = ?",
            (at, seen, claimed, left_out, last_item, page.page_id),
        )

    def mark(self, page: Page, state: str, cause: str, at: float | None = None) -> None:
        """Mark a page as `gone`, `refused` or `failed`, with the cause."""
        self.execute(
            "UPDATE pages SET state = ?, cause = ?, fetched_at = ? WHERE page_id = ?",
            (state, cause, at or time.time(), page.page_id),
        )

    def last_item_before(self, key: Key) -> str | None:
        """Return the last item of the page before a page of a list, if the list's present reading noted it."""
        found: str | None = self.value(
            "SELECT last_item FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start < ? AND fetched_at >="
            " (SELECT fetched_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start = 0) "
            "ORDER BY start DESC LIMIT 1",
            (*key, *key[:3]),
        )
        return found

    def postpone(self, page: Page, cause: str, next_try_at: float) -> Page:
        """Record a failed attempt; the page stays pending. Return it as it is now."""
        self.execute(
            "UPDATE pages SET attempts = attempts + 1, cause = ?, next_try_at = ?, fetched_at = ? WHERE page_id = ?",
            (cause, next_try_at, time.time(), page.page_id),
        )
        return Page(page.page_id, page.key, page.attempts + 1, next_try_at)

    def revive(self, kinds: Sequence[str]) -> int:
        """Make refused and failed pages of the kinds pending, with all attempts anew; return how many."""
        return self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0 "
            "WHERE (state IN ('refused', 'failed') OR (state = 'pending' AND attempts > 0)) "
            f"AND kind IN ({_marks(kinds)})",
            kinds,
        ).rowcount

    def reopen(self, kind: str, read_before: float) -> int:
        """Make pages that were read before a time (lists: their first page) pending again; return how many."""
        return self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0 "
            "WHERE state = 'done' AND kind = ? AND start = 0 AND fetched_at < ?",
            (kind, read_before),
        ).rowcount

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of pages by kind and state."""
        rows = self.execute("SELECT kind, state, count(*) FROM pages GROUP BY kind, state ORDER BY kind, state")
        return {(kind, state): n for kind, state, n in rows}

    # --- people ----------------------------------------------------------------------------

    def user_id(self, person: Person) -> str:
        """Return the one id of a person who may be seen under a slug, a number, or both.

        The number counts as soon as it is known: rows stored under the slug move to it.
        """
        known: str | None = self.value("SELECT user_id FROM people WHERE uid = ?", (person.uid,))
        if known == person.user_id or (known is not None and person.user_id == person.uid):
            return known
        self.executemany(
            "INSERT INTO people VALUES (?, ?) ON CONFLICT DO UPDATE SET user_id = excluded.user_id",
            {(person.uid, person.user_id), (person.user_id, person.user_id)},
        )
        if known is not None and known == person.uid:
            self._merge_people(slug=known, number=person.user_id)
        return person.user_id

    def _merge_people(self, slug: str, number: str) -> None:
        for table in ("ratings", "likes"):
            self.execute(f"UPDATE OR IGNORE {table} SET user_id = ? WHERE user_id = ?", (number, slug))
            self.execute(f"DELETE FROM {table} WHERE user_id = ?", (slug,))
        self.execute("UPDATE people SET user_id = ? WHERE user_id = ?", (number, slug))
        self.execute(
            "UPDATE pages SET state = 'gone', cause = 'the same person is read under another uid' "
            # + and CROSS keep SQLite from walking through all pending pages
            "WHERE +state = 'pending' AND kind IN ('collection', 'user_likes') AND subject = ? AND EXISTS ("
            "  SELECT 1 FROM people CROSS JOIN pages AS other ON other.subject = people.uid "
            "  WHERE people.user_id = ? AND other.kind = pages.kind AND other.subject <> pages.subject)",
            (slug, number),
        )

    # --- opening ---------------------------------------------------------------------------

    def source(self) -> Source:
        """Return what is crawled."""
        return Source.from_json(str(self.meta("source")))

    def _prepare(self, path: Path, source: Source) -> None:
        if self._is_blank():
            with self.transaction():
                for statement in _TABLES.read_text(encoding="utf-8").split(";\n"):
                    self.execute(statement)
                self.executemany(
                    "INSERT INTO meta VALUES (?, ?)", [("version", LEDGER_VERSION), ("source", source.to_json())]
                )
        self._check(path)
        if self.meta("source") != source.to_json():
            held = self.source()
            self.close()
            raise UsageError(f"{path}: holds a crawl of {held}, not of {source}; choose another folder with --crawl")

    def _is_blank(self) -> bool:
        try:
            return bool(self.value("SELECT count(*) = 0 FROM sqlite_master"))
        except sqlite3.DatabaseError:  # not a database: `_check` says so
            return False

    def _check(self, path: Path) -> None:
        with suppress(sqlite3.DatabaseError):
            if self.meta("version") == LEDGER_VERSION:
                return
        self.close()
        raise PipelineError(
            f"{path}: not a ledger of version {LEDGER_VERSION}; choose another folder with --crawl, or, if "
            "this one has an archive, move the ledger away and build it anew: python -m crawler reparse"
        )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
