"""The path of an answer: what is archived, and how deep the calls go."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from scrapy import Request
from scrapy.http import Response

import crawler
from crawler.archive.records import Origin
from crawler.archive.warc import Archive, read_archive
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.plan import phases_of
from crawler.process import process
from crawler.sandbox.faults import ChangingLists
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.scope import Scope, Source
from crawler.sites import Site
from crawler.spiders.pages import StagePages
from crawler.spiders.politeness import Politeness
from crawler.spiders.robots import host_rules
from crawler.spiders.spider import StageSpider
from dataset.errors import PipelineError

PACKAGE = str(Path(crawler.__file__).parent)
SOURCE = Source("sandbox", {"seed": 1})
URL = "https://movie.douban.com/subject/1/"


@pytest.fixture
def opened(tmp_path):
    """A ledger with one page, its archive, and the context."""
    with (
        Ledger.open(tmp_path, SOURCE, PERSONAL_KINDS) as ledger,
        Archive(tmp_path, Origin(SOURCE, Site(), Scope())) as archive,
    ):
        ledger.add_pages([Key("movie", "1")])
        yield ledger, archive, CrawlContext(ledger, Site(), Scope())


def test_an_answer_that_breaks_its_parser_is_in_the_archive_and_its_page_stays_pending(opened, tmp_path, monkeypatch):
    ledger, archive, context = opened

    def defective(html, url):
        raise ZeroDivisionError

    monkeypatch.setitem(KINDS, "movie", type(KINDS["movie"])(**{**vars(KINDS["movie"]), "parser": defective}))
    page = ledger.page(Key("movie", "1"))
    with pytest.raises(ZeroDivisionError):
        process(page, Answer(200, URL, b"<html></html>", at=1e9), context, archive)
    archive.close()
    assert [entry.answer.body for entry in read_archive(tmp_path)] == [b"<html></html>"]
    assert ledger.page(page.key) is not None


def test_an_answer_that_cannot_be_archived_changes_nothing_in_the_ledger(opened, monkeypatch):
    ledger, archive, context = opened

    def full(key, answer):
        raise PipelineError("no room")

    monkeypatch.setattr(archive, "write", full)
    page = ledger.page(Key("movie", "1"))
    with pytest.raises(PipelineError, match="no room"):
        process(page, Answer(404, URL, b"", at=1e9), context, archive)
    assert ledger.page(page.key) == page


class Killed(BaseException):
    """Ends the code as `kill -9` would."""


def test_a_crawl_that_is_killed_before_it_postpones_a_broken_picture_does_not_call_it_gone(opened, monkeypatch):
    ledger, archive, context = opened
    politeness = Politeness(False, 0.0, 1, None, 5.0, 5, 0.0)
    rules = {host: host_rules(base, "", politeness, "tester") for host, base in Site().hosts.items()}
    pages = StagePages(context, phases_of("frames", context.scope), politeness, rules)
    spider = StageSpider(None, context, archive, rules, pages)
    ledger.add_pages([Key("picture", "5", "m")])
    page = pages.take(time.monotonic() + 99)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(ledger, "postpone", killed)
    request = Request(address(Site(), page.key), meta={"page": page})
    with pytest.raises(Killed):
        asyncio.run(spider.on_slow_response(Response(request.url, body=b"broken", request=request)))
    assert ledger.counts()[("picture", "pending")] == 1


def our_functions(frame):
    """Return the names of the crawler's functions that lead to a frame; `inspect.stack` takes 20 times as long."""
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def test_from_the_answer_to_the_ledger_the_path_is_at_most_eleven_functions_deep(read_all, tmp_path, monkeypatch):
    """The spider's callback is one more."""
    deepest = []

    def watch(ledger_init):
        def init(self, *args, **kwargs):
            ledger_init(self, *args, **kwargs)
            inner = self.execute

            def counted(*arguments):
                nonlocal deepest
                deepest = max(deepest, our_functions(sys._getframe()), key=len)
                return inner(*arguments)

            self.execute = counted

        return init

    monkeypatch.setattr(Ledger, "__init__", watch(Ledger.__init__))
    world = generate_world(WorldConfig(3, 12, 12))
    with SandboxServer(world, faults=ChangingLists(grows=True)) as server:
        read_all(server, tmp_path / "crawl", stages_to_read=("ratings",))
    assert 3 < len(deepest) <= 11, deepest
