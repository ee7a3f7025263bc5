import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.kinds import PERSONAL_KINDS
from crawler.ledger import schema
from crawler.ledger.database import Database, connect
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Person
from crawler.scope import Source
from dataset.errors import MissingInputError, PipelineError, UsageError

SANDBOX = Source("sandbox", {"seed": 1})


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS) as opened:
        yield opened


def _state(ledger, key):
    return ledger.execute("SELECT state, attempts, cause FROM pages WHERE kind = ? AND subject = ?", key[:2]).fetchone()


def test_pages_are_added_once_and_come_in_the_order_they_were_found(ledger):
    assert ledger.add_pages([Key("movie", "2"), Key("movie", "1"), Key("movie", "2")]) == 2
    assert ledger.add_pages([Key("movie", "1")]) == 0
    assert [page.key.subject for page in ledger.pending(["movie"], 0, 10)] == ["2", "1"]


def test_pending_pages_are_read_in_batches_by_kind(ledger):
    ledger.add_pages([Key("movie", "1"), Key("picture", "7", "m"), Key("movie", "2"), Key("movie", "3")])
    first = ledger.pending(["movie"], 0, 2)
    assert [page.key.subject for page in first] == ["1", "2"]
    assert [page.key.subject for page in ledger.pending(["movie"], first[-1].page_id, 2)] == ["3"]


def test_a_transaction_that_fails_leaves_neither_rows_nor_mark(ledger):
    ledger.add_pages([Key("collection", "ann")])
    (page,) = ledger.pending(["collection"], 0, 1)

    def store_and_fail():
        with ledger.transaction():
            ledger.execute("INSERT INTO ratings VALUES ('1', '2', 3, NULL, 0, NULL)")
            ledger.mark_done(page, 1.0, seen=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    assert _state(ledger, page.key)[0] == "pending"
    assert ledger.value("SELECT count(*) FROM ratings") == 0


def test_a_failed_page_keeps_its_attempts_and_a_later_run_counts_from_zero(ledger):
    ledger.add_pages([Key("movie", "1"), Key("movie", "2"), Key("movie", "3")])
    one, two, three = ledger.pending(["movie"], 0, 3)
    again = ledger.postpone(one, "HTTP 503", 1e12)
    assert (again.attempts, again.next_try_at) == (1, 1e12)
    ledger.mark(two, "failed", "HTTP 503")
    ledger.mark(three, "gone", "HTTP 404")
    assert ledger.revive(["movie"]) == 2
    assert [(page.key.subject, page.attempts, page.next_try_at) for page in ledger.pending(["movie"], 0, 9)] == [
        ("1", 0, 0.0),
        ("2", 0, 0.0),
    ]
    assert _state(ledger, three.key) == ("gone", 0, "HTTP 404")


def test_a_person_under_slug_and_number_becomes_one_user(ledger):
    assert ledger.user_id(Person("ann", "ann")) == "ann"
    ledger.executemany(
        "INSERT INTO ratings VALUES (?, ?, ?, NULL, 0, NULL)", [("ann", "m1", 5), ("ann", "m2", 4), ("71", "m2", 2)]
    )
    assert ledger.user_id(Person("71", "ann")) == "71"
    assert ledger.user_id(Person("ann", "ann")) == "71"
    assert ledger.user_id(Person("71", "71")) == "71"
    assert ledger.execute("SELECT user_id, movie_id, stars, rated_on FROM ratings ORDER BY movie_id").fetchall() == [
        ("71", "m1", 5, None),
        ("71", "m2", 2, None),
    ]


def test_when_two_uids_turn_out_to_be_one_person_only_one_collection_is_left_to_read(ledger):
    ledger.user_id(Person("ann", "ann"))
    ledger.user_id(Person("71", "71"))
    ledger.add_pages([Key("collection", "ann"), Key("collection", "71"), Key("collection", "bob")])
    ledger.user_id(Person("71", "ann"))
    assert [page.key.subject for page in ledger.pending(["collection"], 0, 9)] == ["71", "bob"]


def test_a_slug_that_is_planned_under_its_only_address_stays_pending(ledger):
    ledger.user_id(Person("ann", "ann"))
    ledger.add_pages([Key("collection", "ann")])
    ledger.user_id(Person("71", "ann"))
    assert [page.key.subject for page in ledger.pending(["collection"], 0, 9)] == ["ann"]


def test_the_crawl_folder_is_private(ledger, tmp_path):
    folder = tmp_path / "crawl"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert {"ledger.sqlite", "lock"} <= {path.name for path in files}
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * len(files)


def test_two_commands_cannot_crawl_into_one_folder(ledger, tmp_path):
    with pytest.raises(PipelineError, match="another command is crawling"):
        Ledger.open(tmp_path / "crawl", SANDBOX, PERSONAL_KINDS)
    Ledger.read(tmp_path / "crawl").close()


def test_a_folder_holds_one_site(tmp_path):
    Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS).close()
    with pytest.raises(UsageError, match=r"holds a crawl of the sandbox \(seed 1\), not of douban"):
        Ledger.open(tmp_path, Source("douban"), PERSONAL_KINDS)
    Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS).close()


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00" + b"x" * 200])
def test_a_file_that_is_not_a_ledger_is_named(tmp_path, content):
    Path(tmp_path / "ledger.sqlite").write_bytes(content)
    with pytest.raises(PipelineError, match="not a ledger"):
        Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS)
    with pytest.raises(PipelineError, match="not a ledger"):
        Ledger.read(tmp_path)


def test_the_error_for_a_missing_ledger_names_the_remedy(tmp_path):
    with pytest.raises(MissingInputError, match="python -m crawler ratings"):
        Ledger.read(tmp_path / "nowhere")


def test_a_transaction_inside_another_undoes_its_own_changes_only(ledger):
    def add_and_fail():
        with ledger.transaction():
            ledger.add_pages([Key("movie", "inner")])
            raise ZeroDivisionError

    with ledger.transaction():
        ledger.add_pages([Key("movie", "outer")])
        with pytest.raises(ZeroDivisionError):
            add_and_fail()
        with ledger.transaction():
            ledger.add_pages([Key("movie", "second")])
    assert [page.key.subject for page in ledger.pending(["movie"], 0, 9)] == ["outer", "second"]


def test_an_outer_transaction_that_fails_undoes_the_inner_one(ledger):
    def fail_outside():
        with ledger.transaction():
            with ledger.transaction():
                ledger.add_pages([Key("movie", "1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_outside()
    assert not ledger.has_pages()


def test_a_disk_that_is_full_within_a_transaction_is_an_error_of_one_line(tmp_path):
    def fill_the_disk():
        with Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS) as ledger:
            ledger.execute("PRAGMA max_page_count = 40")
            with ledger.transaction(), ledger.transaction():
                ledger.add_pages(Key("movie", str(n)) for n in range(100_000))

    with pytest.raises(PipelineError, match=r"ledger\.sqlite: cannot be used .*free some disk space"):
        fill_the_disk()
    with Ledger.read(tmp_path) as ledger:
        assert not ledger.has_pages()


def test_a_ledger_that_cannot_be_opened_is_an_error_of_one_line(tmp_path, monkeypatch):
    Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS).close()
    connect = sqlite3.connect

    def without_permission(path, **options):
        return connect(tmp_path / "missing" / "ledger.sqlite", **options)  # SQLite's error is the same

    monkeypatch.setattr(sqlite3, "connect", without_permission)
    with pytest.raises(PipelineError, match=r"ledger\.sqlite: cannot be used .*the folder can be written"):
        Ledger.read(tmp_path)


# --- versions ------------------------------------------------------------------------------


VERSION_2 = Path(__file__).with_name("ledger_version_2.sql")


@pytest.fixture
def old_ledger(tmp_path):
    """A ledger of version 2, as the crawler of commit 85c3f9e left it."""
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.executescript(VERSION_2.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO meta VALUES ('version', '2'), ('source', ?)", (SANDBOX.to_json(),))
        connection.execute("INSERT INTO pages (kind, subject, variant, start) VALUES ('movie', '1', '', 0)")
    connection.close()
    return tmp_path


def _columns(ledger):
    return ledger.execute(
        "SELECT tables.name, columns.name, columns.type, columns.pk FROM sqlite_master AS tables, "
        "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' ORDER BY 1, columns.cid"
    ).fetchall()


def test_a_ledger_of_version_2_opens_with_its_pages_and_the_tables_of_a_new_one(old_ledger, tmp_path_factory):
    with Ledger.open(old_ledger, SANDBOX, PERSONAL_KINDS) as ledger:
        assert [page.key for page in ledger.pending(["movie"], 0, 9)] == [Key("movie", "1")]
        columns = _columns(ledger)
        ledger.mark(ledger.page(Key("movie", "1")), "unavailable", "not shown to guests (404)")
        indexes = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
    with Ledger.open(tmp_path_factory.mktemp("new"), SANDBOX, PERSONAL_KINDS) as ledger:
        assert columns == _columns(ledger)
        assert indexes == ledger.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()


def _add_migrations(monkeypatch, **scripts):
    monkeypatch.setattr(schema, "VERSION", 4)
    monkeypatch.setattr(schema, "MIGRATIONS", {int(name[1:]): script for name, script in scripts.items()})


def test_an_old_ledger_is_migrated_step_by_step_when_it_is_opened_for_writing(old_ledger, monkeypatch):
    add_note, fill_note = "ALTER TABLE pages ADD COLUMN note TEXT;\n", "UPDATE pages SET note = kind || subject;\n"
    _add_migrations(monkeypatch, v2=add_note, v3=fill_note)
    with pytest.raises(PipelineError, match=r"a ledger of version 2, not 4; .* python -m crawler plan"):
        Ledger.read(old_ledger)
    with Ledger.open(old_ledger, SANDBOX, PERSONAL_KINDS) as ledger:
        assert ledger.execute("SELECT note FROM pages").fetchall() == [("movie1",)]
        assert ledger.meta("version") == "4"
    Ledger.read(old_ledger).close()


def test_a_migration_that_fails_changes_nothing(old_ledger, monkeypatch):
    _add_migrations(monkeypatch, v2="ALTER TABLE pages ADD COLUMN note TEXT;\n", v3="no SQL")
    with pytest.raises(sqlite3.OperationalError):
        Ledger.open(old_ledger, SANDBOX, PERSONAL_KINDS)
    with Database(connect(old_ledger / "ledger.sqlite")) as ledger:
        assert ledger.value("SELECT value FROM meta WHERE key = 'version'") == "2"
        assert not [row for row in _columns(ledger) if "note" in row]


def test_importing_the_ledger_loads_no_scrapy_and_works_without_file_locks():
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import crawler.ledger.ledger, crawler.ledger.reports, crawler.ledger.lists, crawler.process, crawler.scope\n"
        "loaded = [name for name in ('scrapy', 'twisted', 'requests') if name in sys.modules]\n"
        "sys.exit(f'loads {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_file_locks_crawling_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("crawler.ledger.lock.fcntl", None)
    with pytest.raises(PipelineError, match="run the crawler on Linux or macOS"):
        Ledger.open(tmp_path, SANDBOX, PERSONAL_KINDS)
