"""The ledger's schema (`schema.sql`), its version, and the migrations from older versions.

To change the schema, edit `schema.sql`, raise `VERSION`, and add to `MIGRATIONS` the statements that turn a ledger of
the previous version into one of the new version. A ledger that cannot be migrated is rebuilt from the archive
(`python -m crawler reparse`).
"""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from crawler.ledger.database import Database
from dataset.errors import PipelineError

VERSION = 4
# SQLite cannot change a CHECK, so the table is written again.
_PAGES_OF_2 = (
    "page_id, kind, subject, variant, start, state, attempts, next_try_at, cause, fetched_at, claimed, seen, left_out, "
    "last_item, begun_at, restarts, is_unsteady, unseen"
)
_FROM_2 = f"""CREATE TABLE pages_of_3 (
    page_id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, variant TEXT NOT NULL,
    start INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'done', 'gone', 'unavailable', 'refused', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0, next_try_at REAL NOT NULL DEFAULT 0, cause TEXT, fetched_at REAL,
    claimed INTEGER, seen INTEGER, left_out INTEGER NOT NULL DEFAULT 0, last_item TEXT, begun_at REAL,
    restarts INTEGER NOT NULL DEFAULT 0, is_unsteady INTEGER NOT NULL DEFAULT 0, unseen INTEGER,
    left_out_reasons TEXT, found_through TEXT, early_end TEXT, early_since REAL, early_n INTEGER NOT NULL DEFAULT 0,
    is_complete INTEGER, outcome TEXT, outcome_since REAL,
    refusals INTEGER NOT NULL DEFAULT 0, refused_alone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, subject, variant, start)
);
INSERT INTO pages_of_3 ({_PAGES_OF_2}) SELECT {_PAGES_OF_2} FROM pages;
DROP TABLE pages;
ALTER TABLE pages_of_3 RENAME TO pages;
CREATE INDEX pages_by_state ON pages (state, page_id);
CREATE TABLE opt_outs (
    page_id INTEGER REFERENCES pages ON DELETE CASCADE, directive TEXT, PRIMARY KEY (page_id, directive)
) WITHOUT ROWID;
CREATE TABLE aliases (movie_id TEXT PRIMARY KEY, into_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE listed_titles (movie_id TEXT PRIMARY KEY, title TEXT NOT NULL) WITHOUT ROWID;
ALTER TABLE ratings ADD COLUMN not_shown_since REAL;
ALTER TABLE likes ADD COLUMN not_shown_since REAL;
ALTER TABLE frames ADD COLUMN position INTEGER;
ALTER TABLE frames ADD COLUMN like_count INTEGER;
CREATE TABLE movie_claims (
    movie_id TEXT, source TEXT CHECK (source IN ('html', 'json')), year INTEGER, kind TEXT, rating_count INTEGER,
    seen_at REAL NOT NULL, PRIMARY KEY (movie_id, source)
) WITHOUT ROWID;
CREATE TABLE contradictions (
    movie_id TEXT, field TEXT, html TEXT NOT NULL, json TEXT NOT NULL, seen_at REAL NOT NULL,
    PRIMARY KEY (movie_id, field)
) WITHOUT ROWID;
INSERT INTO movie_claims SELECT movie_id, 'html', year, kind, rating_count, crawled_at FROM movies
"""
# For each older version, the statements that migrate it to the next one: {3: "ALTER TABLE pages ADD COLUMN …; …"}.
MIGRATIONS: Mapping[int, str] = {2: _FROM_2, 3: "ALTER TABLE pages ADD COLUMN fills TEXT"}

_TABLES = Path(__file__).with_name("schema.sql")


def create(database: Database) -> None:
    """Create the tables in an empty file."""
    with database.transaction():
        _run_script(database, _TABLES.read_text(encoding="utf-8"))
        _set_version(database, VERSION)


def is_blank(database: Database) -> bool:
    """Return whether a file has no tables yet."""
    try:
        return bool(database.value("SELECT count(*) = 0 FROM sqlite_master"))
    except sqlite3.DatabaseError:  # not a database: `require_version` says so
        return False


def migrate(database: Database) -> None:
    """Migrate the tables of an older version to the current one, all steps or none; needs the ledger's lock."""
    version = _version(database)
    if version not in MIGRATIONS:
        return
    with database.transaction():
        while version < VERSION and version in MIGRATIONS:
            _run_script(database, MIGRATIONS[version])
            version += 1
        _set_version(database, version)


def require_version(database: Database, path: Path) -> None:
    """Check that a file has the tables of the current version; if not, close it.

    Raises:
        PipelineError: it has another version, or is not a ledger.
    """
    version = _version(database)
    if version == VERSION:
        return
    database.close()
    if version in MIGRATIONS:
        raise PipelineError(
            f"{path}: a ledger of version {version}, not {VERSION}; migrate it with: python -m crawler plan"
        )
    raise PipelineError(
        f"{path}: not a ledger of version {VERSION}; choose another folder with --crawl, or, if "
        "this one has an archive, move the ledger away and rebuild it: python -m crawler reparse"
    )


def _version(database: Database) -> int:
    with suppress(sqlite3.DatabaseError, ValueError):
        return int(database.value("SELECT value FROM meta WHERE key = 'version'") or 0)
    return 0


def _set_version(database: Database, version: int) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (str(version),))


def _run_script(database: Database, script: str) -> None:
    """Run statements, each ended by a semicolon at the end of a line, within the caller's transaction."""
    for statement in script.split(";\n"):
        database.execute(statement)
