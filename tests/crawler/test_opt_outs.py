"""What hosts and pages ask of crawlers, by `X-Robots-Tag` and `<meta name="robots">`, is obeyed and counted."""

import json
from dataclasses import replace

import pytest

from crawler.archive.warc import read_archive
from crawler.commands.status import status_lines
from crawler.export import export
from crawler.ledger.ledger import Ledger
from crawler.opt_outs import opt_outs_of
from crawler.page import Answer
from crawler.replay import reparse
from dataset.schema import Quarantine
from dataset.tables import read_table

URL = "https://movie.douban.com/subject/1/"


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["noai"], {"noai"}),
        (["NoAI, NOARCHIVE"], {"noai", "noarchive"}),
        (["noindex,nofollow , noimageai"], {"noindex", "noimageai"}),
        (["none"], {"noindex"}),
        (["nocache"], {"noarchive"}),
        (["all", "index, follow"], set()),
        (["noarchive", "noai"], {"noarchive", "noai"}),
        (["douban-keyframes: noai"], {"noai"}),
        (["Douban-Keyframes: noarchive, noai"], {"noarchive", "noai"}),
        (["googlebot: noai, noarchive"], set()),
        (["googlebot: noarchive, douban-keyframes: noai"], {"noai"}),
        (["googlebot: noarchive", "noai"], {"noai"}),
        (["*: noai"], {"noai"}),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], {"noai"}),
        (["max-snippet:50, max-image-preview:large, noarchive"], {"noarchive"}),
        (["googlebot: max-snippet:50, noai"], set()),
        (["", ",", ":", "::noai"], set()),
    ],
)
def test_a_header_asks_all_or_us(tags, found):
    assert opt_outs_of(Answer(200, URL, b"", robots_tags=tuple(tags))) == found


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<meta name="robots" content="noai, noimageai">', {"noai", "noimageai"}),
        ("<META NAME=ROBOTS CONTENT=NOARCHIVE>", {"noarchive"}),
        ("<meta content='noindex;noai' name = 'robots'>", {"noindex", "noai"}),
        ('<meta name="douban-keyframes" content="noai">', {"noai"}),
        ('<meta name="googlebot" content="noai">', set()),
        ('<meta name="robots" content="index,follow">', set()),
        ('<meta name="robots">', set()),
        ('<p>&lt;meta name="robots" content="noai"&gt;</p>', set()),
        ('<script>var x = \'<meta name="robots" content="noai">\'</script>', set()),
        ('<!-- <meta name="robots" content="noai"> -->', set()),
    ],
)
def test_a_page_asks_all_or_us(html, found):
    assert opt_outs_of(Answer(200, URL, f"<html><head>{html}</head><body></body></html>".encode())) == found


class Asks:
    """Adds an opt-out to some pages of the sandbox, as a header or as a `meta`."""

    def __init__(self, directive, how, paths):
        self.directive, self.how, self.paths = directive, how, paths

    def __call__(self, request, answer):
        given = answer(request)
        if given.status != 200 or not self.paths(request.path):
            return given
        if self.how == "header":
            return replace(given, headers=(*given.headers, ("X-Robots-Tag", self.directive)))
        meta = f'<meta name="robots" content="{self.directive}">'.encode()
        return replace(given, body=given.body.replace(b"<head>", b"<head>" + meta, 1))


def _read(crawl, *stages):
    for stage in stages:
        crawl.run(stage)
    with Ledger.read(crawl.folder / "crawl") as ledger:
        lines = status_lines(ledger, 0.0, is_crawling=False)
        states = {(kind, state) for kind, state in ledger.counts()}
    archived = [(entry.key.kind, len(entry.answer.body)) for entry in read_archive(crawl.folder / "crawl")]
    export(crawl.folder / "crawl", crawl.folder / "raw")
    provenance = json.loads((crawl.folder / "raw" / "provenance.json").read_text(encoding="utf-8"))
    return lines, states, archived, provenance


@pytest.mark.parametrize("how", ["header", "meta"])
def test_noarchive_keeps_the_rows_and_not_the_body(sandbox, how):
    crawl = sandbox(1, faults=Asks("noarchive", how, lambda path: "/collect" in path))
    lines, states, archived, provenance = _read(crawl, "ratings")
    crawl.require_truth(["ratings", "movies"])
    assert "collection" not in {kind for kind, _ in archived}
    assert ("collection", "failed") not in states
    assert provenance["opt_outs"].keys() == {"noarchive"}
    assert any(line.endswith("ask for noarchive: their rows are kept, their bodies are not archived") for line in lines)
    assert reparse(crawl.folder / "crawl").unarchived == provenance["opt_outs"]["noarchive"]


@pytest.mark.parametrize("how", ["header", "meta"])
def test_noai_keeps_no_rows_and_is_settled(sandbox, how):
    crawl = sandbox(1, faults=Asks("noai", how, lambda path: "/subject/" in path and path.endswith("/")))
    lines, states, archived, provenance = _read(crawl, "ratings")
    assert ("movie", "unavailable") in states
    assert not {("movie", "done"), ("movie", "failed"), ("movie", "pending")} & states
    assert "movie" not in {kind for kind, size in archived if size > 5000}
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert ledger.value("SELECT count(*) FROM movies") == 0
    reasons = read_table(crawl.folder / "raw" / "quarantine.parquet", Quarantine)["reason"].to_list()
    assert "page unavailable: opted out (noai)" in reasons
    n_kept_away = provenance["causes"]["opted out (noai)"]
    assert n_kept_away == provenance["pages"]["movie"]["unavailable"] <= provenance["opt_outs"]["noai"]
    assert any("ask for noai" in line for line in lines)
    n_before = len(crawl.requests())
    crawl.run("ratings")
    assert len(crawl.requests()) == n_before
    reparse(crawl.folder / "crawl")
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert ledger.counts()[("movie", "unavailable")] == n_kept_away
        assert ledger.value("SELECT count(*) FROM opt_outs") == provenance["opt_outs"]["noai"]


@pytest.mark.parametrize("how", ["header", "meta"])
def test_noimageai_of_a_list_of_photos_keeps_the_frames_and_reads_no_picture(sandbox, how):
    crawl = sandbox(1, faults=Asks("noimageai", how, lambda path: "/photos" in path))
    _, states, _, provenance = _read(crawl, "ratings", "frames", "likes")
    crawl.require_truth(["frames"])
    assert not [path for host, path in crawl.requests() if host == "images"]
    assert {state for kind, state in states if kind == "picture"} == {"unavailable"}
    assert provenance["rows"]["images"] == 0
    assert provenance["opt_outs"].keys() == {"noimageai"}


@pytest.mark.parametrize("directive", ["noai", "noimageai"])
def test_a_picture_that_opts_out_is_not_kept(sandbox, directive):
    crawl = sandbox(1, faults=Asks(directive, "header", lambda path: "/view/photo/" in path))
    _, states, archived, provenance = _read(crawl, "ratings", "frames")
    assert {state for kind, state in states if kind == "picture"} == {"unavailable"}
    assert not [path for path in (crawl.folder / "crawl" / "pictures").rglob("*") if path.is_file()]
    assert not [size for kind, size in archived if kind == "picture" and size]
    assert provenance["rows"]["images"] == 0


def test_noindex_is_only_recorded(sandbox):
    crawl = sandbox(1, faults=Asks("noindex", "header", lambda path: path != "/robots.txt"))
    _, _, archived, provenance = _read(crawl, "ratings")
    crawl.require_truth(["ratings", "movies"])
    assert provenance["opt_outs"].keys() == {"noindex"}
    assert len(archived) >= provenance["opt_outs"]["noindex"] > 50


def test_a_page_that_no_longer_opts_out_is_no_longer_counted(sandbox):
    asks = Asks("noindex", "header", lambda path: "/collect" in path)
    crawl = sandbox(1, faults=asks)
    crawl.run("ratings")
    asks.paths = lambda path: False
    crawl.run("ratings", "--refresh", "--collection-age-days", "0")
    with Ledger.read(crawl.folder / "crawl") as ledger:
        n = ledger.value("SELECT count(*) FROM opt_outs JOIN pages USING (page_id) WHERE start = 0")
    assert n == 0
