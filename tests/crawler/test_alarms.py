"""A field that is empty more often than its parser expects raises an alarm, while crawling and in the export."""

import json

import pytest

from crawler.alarms import alarms, is_too_low
from crawler.commands.status import status_lines
from crawler.export import export
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.kind import CrawlContext
from crawler.kinds.mobile.json_kind import Elsewhere
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.process import process
from crawler.sandbox.answers import Request
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.scope import Scope, Source

RENAMED = {
    "directors": ("导演", "监制", "v:directedBy", "v:supervisedBy"),
    "genres": ('property="v:genre"', 'property="v:sort"', "类型:", "分类:"),
    "year": ('class="year"', 'class="released"', "v:initialReleaseDate", "v:premiere"),
}


@pytest.fixture(scope="module")
def pages():
    """The pages of 40 movies, by id, and the site."""
    with SandboxServer(generate_world(WorldConfig(1, 10, 40))) as server:
        ids = list(server.world.contents.movies)[:40]
        asked = {id_: server.respond(Request("movie", "GET", f"/subject/{id_}/", {})) for id_ in ids}
        yield {id_: answer.body for id_, answer in asked.items() if b"v:itemreviewed" in answer.body}, server.site


def read(pages, folder, words=(), after=0):
    """Read movies into a ledger; all but the first `after` pages have other words. Return the ledger."""
    bodies, site = pages
    with Ledger.open(folder, Source("sandbox"), PERSONAL_KINDS) as ledger:
        for number, (movie_id, body) in enumerate(bodies.items()):
            key, at = Key("movie", movie_id), 1e9 + number
            ledger.add_pages([key])
            for old, new in zip(words[::2], words[1::2], strict=True) if number >= after else ():
                body = body.replace(old.encode(), new.encode())
            answer = Answer(200, address(site, key), body, None, "text/html", at)
            outcome = process(ledger.page(key), answer, CrawlContext(ledger, site, Scope()))
            assert outcome.state == "done", outcome
    return Ledger.read(folder)


def test_a_site_as_it_is_raises_no_alarm(pages, tmp_path):
    with read(pages, tmp_path) as ledger:
        assert alarms(ledger) == []


@pytest.mark.parametrize("field", RENAMED)
@pytest.mark.parametrize("after", [0, 15])
def test_a_renamed_heading_is_an_alarm_and_not_only_empty_rows(field, after, pages, tmp_path):
    with read(pages, tmp_path / "crawl", RENAMED[field], after) as ledger:
        (alarm,) = alarms(ledger)
        lines = status_lines(ledger, 0.0, is_crawling=False)
    assert alarm.startswith(f"movie pages: {field} has a value in ")
    assert f"ALARM: {alarm}" in lines
    export(tmp_path / "crawl", tmp_path / "raw")
    assert json.loads((tmp_path / "raw" / "provenance.json").read_text())["alarms"] == [alarm]


@pytest.mark.parametrize(
    ("filled", "rows", "at_least", "is_alarm"),
    [
        (0, 0, 0.7, False),
        (0, 5, 0.7, False),
        (0, 6, 0.7, True),
        (0, 9, 0.5, False),
        (0, 10, 0.5, True),
        (69, 100, 0.7, False),
        (50, 100, 0.7, True),
        (690, 1000, 0.7, False),
        (640, 1000, 0.7, True),
        (1000, 1000, 0.7, False),
    ],
)
def test_an_alarm_needs_more_than_chance(filled, rows, at_least, is_alarm):
    assert is_too_low(filled, rows, at_least) is is_alarm


def test_every_field_with_a_bound_is_one_of_its_rows():
    bounded = [kind for kind in KINDS.values() if kind.fills]
    assert {"movie", "movie_json", "collection", "marks_json"} <= {kind.name for kind in bounded}
    assert all(0 < share < 1 for kind in bounded for share in kind.fills.at_least.values())


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.fills], ids=lambda kind: kind.name)
def test_an_answer_that_shows_no_rows_has_none(kind):
    n_rows, filled = kind.fills.values_in(Elsewhere("1"))
    assert (n_rows, set(filled.values())) == (0, {0})
