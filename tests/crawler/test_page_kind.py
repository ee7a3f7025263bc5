"""A new kind of page is one object and one entry in the registry: nothing else of the crawler knows it."""

import json

import pytest

from crawler.archive.records import Origin
from crawler.archive.warc import Archive
from crawler.commands.status import status_lines
from crawler.export import export
from crawler.forecast import forecast
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, NotUnderstood, Person
from crawler.plan import kinds_of, phases_of, plan_phase
from crawler.process import process
from crawler.replay import reparse
from crawler.scope import Scope, Source
from crawler.sites import Site
from dataset.schema import Quarantine, Rating
from dataset.tables import read_table

SITE, SCOPE = Site(), Scope(movie_ids=("1", "2", "3"))
SOURCE = Source("sandbox", {"seed": 1})


def _address(site, key):
    return f"{site.www}/movies/{key.subject}/fans"


def _parse(html, url):
    """Return the uids of a page such as `<html>["ann", "bob"]</html>`."""
    try:
        return json.loads(html.removeprefix("<html>").removesuffix("</html>"))
    except ValueError:
        raise NotUnderstood("fans", "list") from None


def _record(context, page, uids, at):
    for uid in uids:
        row = {"user_id": context.ledger.user_id(Person(uid, uid)), "movie_id": page.key.subject, "seen_at": at}
        context.ledger.upsert("ratings", [row])
    context.ledger.mark_done(page, at, seen=len(uids))


def _first_pages(ledger, scope):
    return (Key("fans", movie_id) for movie_id in scope.movie_ids)


FANS = HtmlKind(
    name="fans",
    host="www",
    stage="ratings",
    table="ratings",
    subject="movie_id",
    address=_address,
    parser=_parse,
    record=_record,
    first_pages=_first_pages,
)

ANSWERS = {
    f"{SITE.www}/movies/1/fans": (200, b'<html>["ann", "bob"]</html>'),
    f"{SITE.www}/movies/2/fans": (404, b""),
    f"{SITE.www}/movies/3/fans": (200, b"<html>no list</html>"),
}


@pytest.fixture
def crawled(tmp_path, monkeypatch):
    """A crawl folder with recorded answers of the new kind, processed as a crawl does."""
    monkeypatch.setitem(KINDS, "fans", FANS)
    with (
        Ledger.open(tmp_path / "crawl", SOURCE, PERSONAL_KINDS) as ledger,
        Archive(tmp_path / "crawl", Origin(SOURCE, SITE, SCOPE)) as archive,
    ):
        context = CrawlContext(ledger, SITE, SCOPE)
        plan_phase(context, phases_of("ratings", SCOPE)[0])
        for page in ledger.pending(["fans"], 0, 9):
            url = address(SITE, page.key)
            process(page, Answer(ANSWERS[url][0], url, ANSWERS[url][1], at=1e9), context, archive)
    return tmp_path / "crawl"


def test_it_is_planned_in_its_stage_and_forecast(crawled):
    assert "fans" in kinds_of("ratings")
    with Ledger.read(crawled) as ledger:
        (told,) = [one for one in forecast(ledger, SCOPE) if one.kind == "fans"]
        assert (told.known, told.expected) == (1, None)
        assert any(line.startswith("fans ") for line in status_lines(ledger, 1e9, is_crawling=False))
        assert ledger.counts()[("fans", "done")] == 1


def test_its_rows_are_exported_and_what_it_lacks_is_in_the_quarantine(crawled, tmp_path):
    export(crawled, tmp_path / "raw")
    assert read_table(tmp_path / "raw" / "ratings.parquet", Rating)["movie_id"].to_list() == ["1", "1"]
    quarantine = read_table(tmp_path / "raw" / "quarantine.parquet", Quarantine)
    assert sorted(quarantine.select("table", "reason", "movie_id").rows()) == [
        ("ratings", "page failed: fans page: field 'list' not understood", "3"),
        ("ratings", "page unavailable: not shown to guests (404)", "2"),
    ]


def test_a_replay_gives_the_same_rows(crawled):
    def ratings():
        with Ledger.read(crawled) as ledger:
            return sorted(ledger.execute("SELECT * FROM ratings"))

    before = ratings()
    assert reparse(crawled).states == {"done": 1, "unavailable": 1, "failed": 1}
    assert ratings() == before
    assert len(before) == 2
