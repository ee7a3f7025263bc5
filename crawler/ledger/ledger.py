"""The ledger of a crawl: one SQLite file with every page, its state, and its rows.

One transaction (`Ledger.transaction`) stores a page's rows, adds the pages found on it, and marks it
as done. So a crawl can be killed at any moment and continued: nothing is lost, and no finished page
is requested again.

States of a page: `pending` → `done`, or `gone` (the site says that it does not exist, or it holds
nothing usable), `unavailable` (the site does not show it to us, or opts out), `refused` (the site or
its robots.txt says no), `failed` (several attempts failed). A later run tries refused and failed pages again,
those that were refused before last; a page that was refused twice, while the host answered others, is set aside.

The ledger holds the site's own ids of people, so folder (0700) and files (0600) are private (`private.py`).
Names, avatars and comment texts are in no table.
"""

import os
import sqlite3
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from crawler.ledger import schema
from crawler.ledger.change import finish_change, is_changing, new_folder
from crawler.ledger.database import connect, connect_scratch, explained
from crawler.ledger.forgotten import Forgotten
from crawler.ledger.lock import lock
from crawler.ledger.movies import MovieTable
from crawler.ledger.people import PeopleTable
from crawler.ledger.private import make_private
from crawler.scope import Source
from dataset.errors import MissingInputError, PipelineError, UsageError


class Ledger(PeopleTable, MovieTable):
    """An open ledger. Created by `Ledger.open` (to write), `Ledger.read` (to read) or `Ledger.build` (to rebuild it).

    Attributes:
        crawl_dir: the private folder of the crawl.
    """

    def __init__(
        self,
        crawl_dir: Path,
        connection: sqlite3.Connection,
        personal_kinds: Collection[str] = (),
        held: TextIO | None = None,
    ) -> None:
        super().__init__(connection, held)
        self.crawl_dir = crawl_dir
        self.personal_kinds = personal_kinds
        self.forgotten = Forgotten(crawl_dir)

    @classmethod
    def open(cls, crawl_dir: Path, source: Source, personal_kinds: Collection[str]) -> "Ledger":
        """Open the ledger of a crawl folder for writing, exclusively; create folder and ledger if missing.

        Args:
            crawl_dir: the private folder of the crawl.
            source: what is crawled; a folder holds one source, so that two are never mixed.
            personal_kinds: the kinds of page whose subject is a person (`crawler.kinds.PERSONAL_KINDS`).

        Raises:
            UsageError: the folder holds a crawl of another site.
            PipelineError: another command is crawling into the folder, or it cannot be written, or it is not private.
        """
        path = crawl_dir / "ledger.sqlite"
        with ExitStack() as closing:
            try:
                make_private(crawl_dir)
                held = closing.enter_context(lock(crawl_dir / "lock"))
                finish_change(crawl_dir)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
                ledger = cls(crawl_dir, connect(path), personal_kinds, held)
            except OSError as error:
                raise PipelineError(
                    f"{path}: cannot be written ({error.strerror}); choose another folder with --crawl"
                ) from error
            closing.push(ledger)
            ledger._prepare(path, source)
            closing.pop_all()
        return ledger

    @classmethod
    def read(cls, crawl_dir: Path) -> "Ledger":
        """Open the ledger of a crawl folder for reading, even while a crawl is running.

        Raises:
            MissingInputError: there is no ledger.
            PipelineError: the ledger has another version, or the file is not a ledger or cannot be opened.
        """
        path = crawl_dir / "ledger.sqlite"
        recover(crawl_dir)
        if not path.is_file():
            raise MissingInputError(f"{path}: no such ledger; start a crawl with: python -m crawler ratings")
        ledger = cls(crawl_dir, connect(path))
        schema.require_version(ledger, path)
        return ledger

    @classmethod
    def build(cls, crawl_dir: Path, source: Source, personal_kinds: Collection[str]) -> "Ledger":
        """Create an empty ledger in the folder `.new`; `replace_by` then replaces the existing one.

        It accepts a picture or like whose frame is missing (because its list is no longer understood).
        """
        path = new_folder(crawl_dir) / "ledger.sqlite"
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        ledger = cls(crawl_dir, connect_scratch(path), personal_kinds)
        ledger._prepare(path, source)
        return ledger

    def __exit__(self, *exception: object) -> None:
        """Close the ledger; if a database error ended the block, raise it with an explanation."""
        self.close()
        error = exception[1]
        if isinstance(error, sqlite3.DatabaseError):
            raise explained(error, self.crawl_dir) from error

    def source(self) -> Source:
        """Return what is crawled."""
        return Source.from_json(str(self.meta("source")))

    def meta(self, key: str) -> str | None:
        """Return a stored fact about the crawl (such as its source), None if it is missing."""
        found: str | None = self.value("SELECT value FROM meta WHERE key = ?", (key,))
        return found

    def set_meta(self, key: str, value: str) -> None:
        """Store a fact about the crawl itself."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- queries of the plan -------------------------------------------------------------------

    def frame_ids(self) -> list[str]:
        """Return the ids of all frames."""
        return [row[0] for row in self.execute("SELECT frame_id FROM frames ORDER BY frame_id")]

    def frames_without_picture(self) -> list[str]:
        """Return the ids of the frames without a stored picture file."""
        query = "SELECT frame_id FROM frames EXCEPT SELECT frame_id FROM pictures ORDER BY 1"
        return [row[0] for row in self.execute(query)]

    def _prepare(self, path: Path, source: Source) -> None:
        if schema.is_blank(self):
            with self.transaction():
                schema.create(self)
                self.set_meta("source", source.to_json())
        schema.migrate(self)
        schema.require_version(self, path)
        if self.meta("source") != source.to_json():
            raise UsageError(
                f"{path}: holds a crawl of {self.source()}, not of {source}; choose another folder with --crawl"
            )


def recover(crawl_dir: Path) -> None:
    """Finish what a killed `forget` has begun.

    Raises:
        PipelineError: the command is still running.
    """
    if is_changing(crawl_dir):
        with lock(crawl_dir / "lock"):
            finish_change(crawl_dir)
