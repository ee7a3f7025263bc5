import stat
from pathlib import Path

import pytest

from crawler.kinds import PERSONAL_KINDS
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
            ledger.execute("INSERT INTO ratings VALUES ('1', '2', 3, NULL, 0)")
            ledger.mark_done(page, 1.0, seen=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    assert _state(ledger, page.key)[0] == "pending"
    assert ledger.value("SELECT count(*) FROM ratings") == 0


def test_a_failed_page_comes_again_with_its_attempts_and_a_later_run_counts_anew(ledger):
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
        "INSERT INTO ratings VALUES (?, ?, ?, NULL, 0)", [("ann", "m1", 5), ("ann", "m2", 4), ("71", "m2", 2)]
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


def test_a_slug_that_is_read_under_its_only_address_stays_to_be_read(ledger):
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


def test_looking_at_a_crawl_that_is_not_there_names_the_remedy(tmp_path):
    with pytest.raises(MissingInputError, match="python -m crawler ratings"):
        Ledger.read(tmp_path / "nowhere")
