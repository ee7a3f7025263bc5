"""Reading a crawl's archive again, and forgetting people, on whole crawls of the sandbox."""

import shutil
from collections import Counter

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crawler.archive.warc import archive_files, read_archive, rewrite_archive, with_body
from crawler.export import export
from crawler.forget import forget
from crawler.kinds import PERSONAL_KINDS
from crawler.ledger.ledger import Ledger
from crawler.page import Key
from crawler.pseudonyms import Pseudonyms
from crawler.replay import reparse
from crawler.sandbox.faults import ChangingLists
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from dataset.errors import MissingInputError
from dataset.schema import RAW_TABLES, Quarantine
from dataset.tables import read_table

SCHEMAS = {**RAW_TABLES, "quarantine": Quarantine}


@pytest.fixture(scope="module")
def server():
    """A small sandbox of few frames whose lists grow while they are read."""
    world = generate_world(WorldConfig(3, 40, 15))
    contents = world.contents
    contents.frames_of = {movie: frames[:4] for movie, frames in contents.frames_of.items()}
    kept = {frame.frame_id for frames in contents.frames_of.values() for frame in frames}
    contents.frames = {frame_id: frame for frame_id, frame in contents.frames.items() if frame_id in kept}
    contents.likes_of = {
        user: [like for like in likes if like.frame_id in kept] for user, likes in contents.likes_of.items()
    }
    with SandboxServer(world, faults=ChangingLists(grows=True)) as running:
        yield running


@pytest.fixture(scope="module")
def crawled(server, read_all, tmp_path_factory):
    crawl_dir = tmp_path_factory.mktemp("crawled") / "crawl"
    read_all(server, crawl_dir)
    Pseudonyms.open(crawl_dir / "pseudonym.key")
    return crawl_dir


@pytest.fixture
def crawl_dir(crawled, tmp_path):
    return shutil.copytree(crawled, tmp_path / "crawl")


def _exported(crawl_dir, raw):
    export(crawl_dir, raw)
    return {name: read_table(raw / f"{name}.parquet", of) for name, of in SCHEMAS.items()}


def _assert_same(one, other):
    for name in SCHEMAS:
        assert_frame_equal(one[name], other[name])


def _dump(crawl_dir, table):
    with Ledger.read(crawl_dir) as ledger:
        return sorted(ledger.execute(f"SELECT * FROM {table}"), key=repr)


def test_reparse_gives_identical_tables_without_a_request(server, crawl_dir, tmp_path):
    n_requests = len(server.requests)
    before = _exported(crawl_dir, tmp_path / "before")
    tables = ("pages", "people", "movies", "ratings", "frames", "pictures", "likes")
    ledger_before = {table: _dump(crawl_dir, table) for table in tables}
    told = reparse(crawl_dir)
    assert told.unarchived == 0
    _assert_same(_exported(crawl_dir, tmp_path / "after"), before)
    assert (tmp_path / "before/provenance.json").read_bytes() == (tmp_path / "after/provenance.json").read_bytes()
    assert {table: _dump(crawl_dir, table) for table in tables} == ledger_before
    assert len(server.requests) == n_requests


def test_reparse_gives_identical_tables_when_the_ledger_is_lost(crawl_dir, tmp_path):
    before = _exported(crawl_dir, tmp_path / "before")
    for path in crawl_dir.glob("ledger.sqlite*"):
        path.unlink()
    reparse(crawl_dir)
    _assert_same(_exported(crawl_dir, tmp_path / "after"), before)


def test_a_page_that_no_parser_understands_is_kept_and_counted(crawl_dir):
    strange = b"<html><body>a layout of tomorrow</body></html>"
    first = Key("movie", next(entry.key.subject for entry in read_archive(crawl_dir) if entry.key.kind == "movie"))
    rewrite_archive(crawl_dir, lambda entry: with_body(entry, strange) if entry.key == first else entry)
    told = reparse(crawl_dir)
    assert told.states["failed"] == 1
    assert [entry.answer.body for entry in read_archive(crawl_dir) if entry.key == first] == [strange]
    with Ledger.read(crawl_dir) as ledger:
        assert ledger.execute("SELECT subject, cause FROM pages WHERE state = 'failed'").fetchall() == [
            (first.subject, "movie page: field 'title' not understood")
        ]


def test_done_pages_missing_from_the_archive_become_pending(server, read_all, crawl_dir, tmp_path):
    before = _exported(crawl_dir, tmp_path / "before")
    lost = next(entry.key for entry in read_archive(crawl_dir) if entry.key.kind == "photos")
    rewrite_archive(crawl_dir, lambda entry: None if entry.key == lost else entry)
    assert reparse(crawl_dir).unarchived == 1
    with Ledger.read(crawl_dir) as ledger:
        assert ledger.page(lost) is not None
    export(crawl_dir, tmp_path / "between")  # without the frames that are missing, and their pictures and likes
    assert read_all(server, crawl_dir) == [lost]
    _assert_same(_exported(crawl_dir, tmp_path / "after"), before)


def _someone(crawl_dir, world):
    """Someone with a slug who is known for ratings, comments and likes."""
    with Ledger.read(crawl_dir) as ledger:
        rows = ledger.execute(
            "SELECT uid, user_id FROM people WHERE uid <> user_id "
            "AND user_id IN (SELECT user_id FROM likes WHERE source = 'photo_page') "
            "AND user_id IN (SELECT user_id FROM ratings) ORDER BY 1"
        ).fetchall()
    return rows[0]


def test_a_forgotten_person_leaves_no_trace_and_everybody_else_stays(crawl_dir, server, tmp_path):
    before = _exported(crawl_dir, tmp_path / "before")
    slug, number = _someone(crawl_dir, server.world)
    pseudonym = Pseudonyms.open(crawl_dir / "pseudonym.key").of(number)
    told = forget(crawl_dir, slug)
    assert told.pseudonym == pseudonym
    after = _exported(crawl_dir, tmp_path / "after")
    for name in RAW_TABLES:
        table = before[name]
        if "user_id" in table.columns:
            assert pseudonym in set(table["user_id"])
            table = table.filter(pl.col("user_id") != pseudonym)
        assert_frame_equal(after[name], table)
    names = [slug.encode(), f"/people/{number}".encode(), f"/icon/u{number}-".encode()]
    bodies = b"".join(entry.answer.body + entry.answer.url.encode() for entry in read_archive(crawl_dir))
    files = [path for folder in (crawl_dir, tmp_path / "after") for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name in bodies]
    for path in files:
        assert not [name for name in (slug.encode(), number.encode()) if name in path.read_bytes()], path
    _assert_same(after, _reparsed(crawl_dir, tmp_path))


def _reparsed(crawl_dir, tmp_path):
    reparse(crawl_dir)
    return _exported(crawl_dir, tmp_path / "reparsed")


def test_a_forgotten_person_is_not_crawled_again_under_any_uid(server, read_all, crawl_dir, tmp_path):
    slug, number = _someone(crawl_dir, server.world)
    forget(crawl_dir, number)
    with Ledger.read(crawl_dir) as ledger:
        comments = ledger.execute("SELECT DISTINCT subject FROM pages WHERE kind = 'comments'").fetchall()
    with Ledger.open(crawl_dir, Ledger.read(crawl_dir).source(), PERSONAL_KINDS) as ledger:
        assert ledger.add_pages([Key("collection", slug), Key("user_likes", number)]) == 0
        ledger.execute("DELETE FROM people")
        ledger.execute("UPDATE pages SET state = 'pending' WHERE kind IN ('comments', 'photo') AND start = 0")
    assert comments
    requests = Counter(key.subject for key in read_all(server, crawl_dir))
    assert requests
    assert not requests[slug] + requests[number]
    names = (slug.encode(), f"/people/{number}/".encode())
    assert not any(name in entry.answer.body for entry in read_archive(crawl_dir) for name in names)
    for table in ("people", "ratings", "likes"):
        assert not [row for row in _dump(crawl_dir, table) if {slug, number} & set(row)]


def test_forgetting_someone_unknown_is_an_error_and_keeps_them_from_being_crawled(crawl_dir):
    files = [path.read_bytes() for path in archive_files(crawl_dir)]
    for _ in range(2):
        with pytest.raises(MissingInputError, match="nobody is known here"):
            forget(crawl_dir, "nobody-we-know")
    assert [path.read_bytes() for path in archive_files(crawl_dir)] == files
    with Ledger.read(crawl_dir) as ledger:
        assert ledger.forgotten.has("nobody-we-know")
        assert not ledger.forgotten.has("somebody-else")
