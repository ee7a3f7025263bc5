"""Ids in the site's pages become parts of addresses; none of them leads the crawler to another page."""

import time
from types import SimpleNamespace

import pytest
from protego import Protego
from scrapy import Request

from crawler.kinds import KINDS, PERSONAL_KINDS, address, is_page
from crawler.kinds.document import Document
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Person, is_number, is_uid
from crawler.scope import Source
from crawler.sites import Site
from crawler.spiders.middleware import HostRulesMiddleware
from crawler.spiders.robots import HostRules
from crawler.spiders.spider import NotSent

NOT_UIDS = [
    "..%2F..%2Fsettings",
    "%2e%2e%2f%2e%2e%2fsettings",
    "..%252F..%252Fsettings",
    "..%5C..%5Csettings",
    "..",
    ".",
    "...",
    "%2E%2E",
    "a%2Fb",
    "a%3Fb",
    "a%23b",
    "a%00b",
    "a%0d%0aHost:%20x",
    "a%09b",
    "a b",
    "a;b",
    "a@b",
    "a:b",
    "a*",
    "é",
    "用户",
    "１２",
    "a" * 65,
    "-",
    "_",
    "",
]
UIDS = ["1000001", "ann", "A-b_c.d", "_x", "x-", "a" * 64]


@pytest.mark.parametrize("uid", UIDS)
def test_a_uid_as_the_site_allows_them_is_read(uid):
    page = Document.read("comments", "<html></html>", "https://movie.douban.com/subject/1/comments")
    assert page.uid_of(f"https://www.douban.com/people/{uid}/") == uid


@pytest.mark.parametrize("uid", NOT_UIDS)
def test_what_has_not_the_form_of_a_uid_is_never_read_as_one(uid):
    page = Document.read("comments", "<html></html>", "https://movie.douban.com/subject/1/comments")
    assert page.uid_of(f"https://www.douban.com/people/{uid}/") is None
    assert not is_uid(uid)


@pytest.mark.parametrize("number", ["", "1" * 21, "12a", "-1", "１２", "1/2", "1\n", "..", "0x1"])
def test_what_has_not_the_form_of_a_number_is_no_id_of_a_movie_or_photo(number):
    assert not is_number(number)
    for kind in ("movie", "comments", "photo", "picture"):
        assert not is_page(Key(kind, number, *(["m"] if kind == "picture" else [])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("subject", ["../settings", "..", "1/../2", "1?x=", "1#", "%2e%2e", ""])
def test_no_address_is_made_of_an_id_without_the_form_of_one(kind, subject):
    variant = {"photos": "still", "picture": "m"}.get(kind, "")
    with pytest.raises(ValueError, match="not a page of the site"):
        address(Site(), Key(kind, subject, variant))
    for wrong in (Key(kind, "1", "../x"), Key(kind, "1", variant, -1), Key(kind, "1", variant, 2**40)):
        with pytest.raises(ValueError, match="not a page of the site"):
            address(Site(), wrong)


COMMENT = """<div class="comment-item"><div class="avatar"><a href="{site}/people/{uid}/"><img src="{site}/x.jpg"></a>
</div><div class="comment"><span class="comment-info"><a href="{site}/people/{uid}/">x</a></span></div></div>"""


@pytest.mark.parametrize("uid", [uid for uid in NOT_UIDS if uid])
def test_a_link_on_a_page_cannot_steer_the_crawl_to_a_path_of_the_site_s_choice(site, crawl, page, uid):
    def answer(path):
        if path.startswith("/subject/1/comments"):
            shown = "".join(COMMENT.format(site=hostile.base, uid=one) for one in ("good", uid))
            return page(f'<html><div id="comments">{shown}</div></html>')
        return page("<html>页面不存在</html>", status=b"404 Not Found")

    hostile = site(answer)
    status, told = crawl(hostile, "--movies", "1")
    assert status == 0, told
    assert {path.partition("?")[0] for path in hostile.paths} == {"/subject/1/comments", "/people/good/collect"}


def test_the_author_without_a_uid_is_counted_as_left_out(site, crawl, page, tmp_path):
    def answer(path):
        if "/comments" in path:
            shown = COMMENT.format(site=hostile.base, uid="..%2Fsettings")
            return page(f'<html><div id="comments">{shown}</div></html>')
        return page("", status=b"404 Not Found")

    hostile = site(answer)
    crawl(hostile, "--movies", "1")
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert ledger.execute("SELECT kind, left_out FROM pages").fetchall() == [("comments", 1)]


def test_a_page_that_an_older_version_planned_with_such_an_id_is_settled_and_not_requested(site, crawl, page, tmp_path):
    hostile = site(lambda path: page("<html>页面不存在</html>", status=b"404 Not Found"))
    with Ledger.open(tmp_path / "crawl", Source(hostile.urls), PERSONAL_KINDS) as ledger:
        ledger.add_pages([Key("collection", "../../settings"), Key("movie", "1/../../settings"), Key("movie", "7")])
    status, told = crawl(hostile)
    assert status == 0, told
    assert hostile.paths == ["/subject/7/"]
    with Ledger.read(tmp_path / "crawl") as ledger:
        assert ledger.counts() == {("collection", "gone"): 1, ("movie", "gone"): 2}


@pytest.mark.parametrize(
    "path",
    [
        "/settings",
        "/settings/x",
        "/people/..%2F..%2Fsettings/collect",
        "/people/%2e%2e/%2e%2e/settings",
        "/people/..%252F..%252Fsettings",
        "/people/..%25252F..%25252Fsettings",
        "/people/..\\..\\settings",
        "/people/..%5C..%5Csettings",
        "//settings",
        "/.//settings",
        "/./settings",
        "/x/../settings",
        "/%73ettings",
        "/%2573ettings",
        "/se%74tings?x=1",
        "/x/..%2fsettings#top",
    ],
)
def test_the_last_gate_compares_the_path_as_the_host_may_read_it_with_robots_txt(path):
    rules = HostRules(5.0, Protego.parse("User-agent: *\nDisallow: /settings\n"), time.monotonic())
    assert not rules.allows(f"https://www.douban.com{path}", "douban-keyframes/0.1")


@pytest.mark.parametrize(
    "path", ["/people/ann/collect?start=15&sort=time", "/people/a.b/", "/subject/1/", "/%E4%B8%AD"]
)
def test_other_paths_pass_the_gate(path):
    rules = HostRules(5.0, Protego.parse("User-agent: *\nDisallow: /settings\n"), time.monotonic())
    assert rules.allows(f"https://www.douban.com{path}", "douban-keyframes/0.1")


@pytest.mark.parametrize(
    "url",
    [
        "https://sec.douban.com/x",
        "https://movie.douban.com.evil.example/subject/1/",
        "https://movie.douban.com@evil.example/subject/1/",
        "http://movie.douban.com/subject/1/",
        "https://movie.douban.com/se%74tings",
    ],
)
def test_the_last_gate_lets_no_address_of_another_host_or_path_pass(url):
    spider = SimpleNamespace(
        pages=SimpleNamespace(is_refused=lambda host: False),
        rules={"movie": HostRules(5.0, Protego.parse("User-agent: *\nDisallow: /settings\n"), time.monotonic())},
        crawl=SimpleNamespace(site=Site(), politeness=SimpleNamespace(contact="me@example.org")),
    )
    gate = HostRulesMiddleware(SimpleNamespace(spider=spider))
    gate.process_request(Request("https://movie.douban.com/subject/1/", meta={"download_slot": "movie"}))
    with pytest.raises(NotSent):
        gate.process_request(Request(url, meta={"download_slot": "movie"}))


def test_a_person_without_a_uid_is_read_under_the_number_in_their_avatar():
    html = '<p class="a"><a href="/people/..%2Fx/">x</a><img src="https://img1.doubanio.com/icon/u1000003-1.jpg"></p>'
    page = Document.read("comments", html, "https://movie.douban.com/subject/1/comments")
    assert page.person(page.css("a"), page.css("img")) == Person("1000003", "1000003")
