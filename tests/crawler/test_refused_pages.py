"""A refused page is not asked first again, and is set aside if only it is refused; odd answers stop a host."""

from collections import Counter
from dataclasses import replace

import pytest

from crawler.commands.status import status_lines
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.page import Key
from crawler.plan import phases_of
from crawler.sandbox.answers import Answer
from crawler.scope import Scope, Source
from crawler.sites import Site
from crawler.spiders.pages import StagePages, may_go_on
from crawler.spiders.politeness import politeness_for
from crawler.spiders.robots import host_rules

REFUSED, FAILED = 3, 4
LOG_IN = Answer(302, b"", headers=(("Location", "https://accounts.douban.com/passport/login?redir=x"),))
ODD = {
    "a page": Answer(200, "<html><head><title>请稍候</title></head><body>稍后再来</body></html>".encode()),
    "plain text": Answer(200, b"not now", "text/plain"),
    "JSON": Answer(200, b'{"r": 1}', "application/json"),
    "a redirect": Answer(302, b"", headers=(("Location", "https://elsewhere.example/"),)),
    "a status": Answer(451, b"<html>no</html>"),
}


class Faults:
    """Gives an answer of the test's own to some pages of the movie host."""

    def __init__(self):
        self.given = LOG_IN
        self.is_given = lambda path: False

    def __call__(self, request, answer):
        is_page = request.role == "movie" and request.path != "/robots.txt"
        return self.given if is_page and self.is_given(request.path) else answer(request)


@pytest.fixture
def crawl(sandbox):
    """A sandbox with faults, and six people with a collection of one page; `read` reads them one at a time."""
    faults = Faults()
    opened = sandbox(1, faults=faults)
    contents = opened.server.world.contents
    people = [user for user in contents.users.values() if not user.closing]
    opened.uids = [user.user_id for user in people if 0 < len(contents.ratings_of[user.user_id]) <= 15][:6]
    opened.faults = faults

    def read(status=0, *options, stage="ratings"):
        before = len(opened.requests())
        scope = ("--users", ",".join(opened.uids), "--delay-s", "0.002", "--k", "1")
        said = opened.run(stage, *scope, *options, status=status)
        return said, [path for host, path in opened.requests()[before:] if host == "movie"]

    opened.read = read
    return opened


def _collection(uid):
    return lambda path: path.startswith(f"/people/{uid}/collect")


def _users_of(paths):
    return [path.split("/")[2] for path in paths if path.startswith("/people/")]


def test_a_page_that_leads_to_the_log_in_does_not_stop_the_crawl_for_ever(crawl):
    bad, *others = crawl.uids
    crawl.faults.is_given = _collection(bad)
    said, paths = crawl.read(REFUSED)
    assert "login wall" in said
    assert _users_of(paths) == [bad]
    said, paths = crawl.read(REFUSED)  # it begins with another page; that is answered, so the refused one is next
    assert _users_of(paths) == [others[0], bad]
    said, paths = crawl.read()  # refused twice, while another was answered: set aside
    assert "1 pages are set aside" in said
    assert _users_of(paths) == others[1:]
    assert any(path.startswith("/subject/") for path in paths)
    assert {path.split("?")[0] for _, path in crawl.pages("refused")} == {f"/people/{bad}/collect"}
    assert crawl.pages("pending") == set()
    said, paths = crawl.read()
    assert paths == []
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert any(line.startswith("1 collection pages are set aside") for line in status_lines(ledger, 0.0, False))


@pytest.mark.parametrize("option", ["--retry-refused", "--refresh"])
def test_a_page_that_is_set_aside_is_asked_again_only_on_request(crawl, option):
    bad = crawl.uids[-1]
    crawl.faults.is_given = _collection(bad)
    for _ in range(4):  # no other page is left, which could be answered in the later runs
        crawl.read(REFUSED)
    assert crawl.read()[1]
    crawl.faults.is_given = lambda path: False
    said, paths = crawl.read(0, option)
    assert "1 pages that the site refused are requested again" in said
    assert bad in _users_of(paths)
    assert crawl.pages("refused") == set()


def test_a_host_that_refuses_everything_sets_no_page_aside(crawl):
    crawl.faults.is_given = lambda path: True
    asked = [_users_of(crawl.read(REFUSED)[1]) for _ in range(7)]
    assert asked == [[uid] for uid in [*crawl.uids, crawl.uids[0]]]
    crawl.faults.is_given = lambda path: False
    assert "set aside" not in crawl.read()[0]
    assert crawl.pages("pending") == crawl.pages("refused") == set()


def test_a_page_that_is_read_at_last_starts_with_a_clean_record(crawl):
    bad = crawl.uids[0]
    crawl.faults.is_given = _collection(bad)
    crawl.read(REFUSED)
    crawl.faults.is_given = lambda path: False
    crawl.read()
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert ledger.value("SELECT sum(refusals) + sum(refused_alone) FROM pages") == 0


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
def test_three_pages_in_a_row_that_nobody_understands_stop_the_host(crawl, answer):
    crawl.faults.given = answer
    crawl.faults.is_given = lambda path: True
    said, paths = crawl.read(REFUSED)
    assert "3 pages in a row were not understood" in said
    assert len({*paths}) == 3
    assert len(paths) <= 5  # a page may be tried again meanwhile
    crawl.faults.is_given = lambda path: False
    crawl.read()
    assert crawl.pages("pending") == crawl.pages("failed") == set()


def test_the_number_of_such_pages_is_an_option(crawl):
    crawl.faults.given = ODD["a page"]
    crawl.faults.is_given = lambda path: True
    said, paths = crawl.read(REFUSED, "--stop-after-not-understood", "1")
    assert "1 pages in a row were not understood" in said
    assert len(paths) == 1


def test_odd_pages_between_others_stop_nothing(crawl):
    odd = {crawl.uids[1], crawl.uids[3], crawl.uids[5]}
    crawl.faults.given = ODD["a page"]
    crawl.faults.is_given = lambda path: path.startswith("/people/") and path.split("/")[2] in odd
    said, _ = crawl.read(FAILED, "--attempts", "1")
    assert "3 pages failed" in said


def test_three_odd_pages_at_the_start_do_not_stop_the_crawl_for_ever(crawl):
    odd = {*crawl.uids[:3]}
    crawl.faults.given = ODD["a page"]
    crawl.faults.is_given = lambda path: path.startswith("/people/") and path.split("/")[2] in odd
    _, paths = crawl.read(REFUSED, "--attempts", "1")
    assert _users_of(paths) == crawl.uids[:3]
    _, paths = crawl.read(REFUSED, "--attempts", "1")
    assert _users_of(paths) == [crawl.uids[3], *crawl.uids[:3]]
    said, paths = crawl.read()
    assert "3 pages are set aside" in said
    assert _users_of(paths) == crawl.uids[4:]


def test_a_challenge_after_so_many_pages_sets_no_page_aside(crawl):
    """Whichever page comes then is refused, every day; it is asked early on the next one, so it is not lost."""
    n_asked = 0

    def is_given(path):
        nonlocal n_asked
        n_asked += 1
        return n_asked > 2

    crawl.faults.is_given = is_given
    read = []
    for _ in range(2):
        n_asked = 0
        read += _users_of(crawl.read(REFUSED)[1])
    crawl.faults.is_given = lambda path: False
    said, paths = crawl.read()
    assert read == [*crawl.uids[:3], crawl.uids[3], crawl.uids[2], crawl.uids[4]]
    assert "set aside" not in said
    assert _users_of(paths) == [crawl.uids[5], crawl.uids[4]]


@pytest.mark.parametrize("answer", [Answer(500, b"<html>oops</html>"), Answer(503, b""), Answer(200, b"")])
def test_server_errors_and_empty_answers_are_failures_and_no_refusal(crawl, answer):
    crawl.faults.given = answer
    crawl.faults.is_given = lambda path: path.startswith("/people/")
    said, paths = crawl.read(FAILED, "--attempts", "2")
    assert "6 pages failed 2 times each" in said
    assert len(paths) == 12


# --- hosts ---------------------------------------------------------------------------------


def _kinds(**hosts):
    """Return kinds of page by name, each with a host and a source, as `name="host source"`."""
    for name, where in hosts.items():
        host, source = where.split()
        yield replace(KINDS["movie"], name=name, host=host, source=source)


@pytest.mark.parametrize(
    ("kinds", "refusals", "goes_on"),
    [
        ({"movie": "movie html", "picture": "images html"}, {}, True),
        ({"movie": "movie html", "picture": "images html"}, {"movie"}, False),
        ({"movie": "movie html", "movie_json": "mobile json"}, {"movie"}, True),
        ({"movie": "movie html", "movie_json": "mobile json"}, {"mobile"}, True),
        ({"movie": "movie html", "movie_json": "mobile json"}, {"movie", "mobile"}, False),
        ({"movie": "movie html", "movie_json": "movie json"}, {"movie"}, False),
        ({"photos": "movie html", "photos_json": "mobile json", "picture": "images html"}, {"images"}, True),
        ({"photos_json": "mobile json", "picture": "images html"}, {"mobile"}, True),
    ],
)
def test_after_a_refusal_a_run_goes_on_only_with_another_source_on_another_host(kinds, refusals, goes_on):
    assert may_go_on(_kinds(**kinds), refusals) == goes_on


def test_the_host_that_refused_gets_no_page_while_another_source_goes_on(tmp_path, monkeypatch):
    (json_kind,) = _kinds(movie_json="www json")
    monkeypatch.setitem(
        KINDS, "movie_json", replace(json_kind, topic=None, address=lambda site, key: f"{site.www}/{key.subject}")
    )
    politeness, scope = politeness_for(Site(*["http://127.0.0.1:9"] * 4), None), Scope(k=0)
    with Ledger.open(tmp_path, Source("sandbox", {}), PERSONAL_KINDS) as ledger:
        ledger.add_pages([Key(kind, str(n)) for n in (1, 2) for kind in ("movie", "movie_json")])
        context = CrawlContext(ledger, Site(), scope)
        rules = {host: host_rules("http://127.0.0.1:9", "", politeness, "tester") for host in ("movie", "www")}
        pages = StagePages(context, phases_of("ratings", scope), replace(politeness, concurrency=1), rules)
        taken = {page.key.kind: page for page in (pages.take(1e12), pages.take(1e12))}
        assert set(taken) == {"movie", "movie_json"}
        pages.refuse("movie", "login wall", [taken["movie"]])
        pages.finish(taken["movie"])
        assert pages.is_refused("movie")
        assert not pages.is_refused("www")
        pages.finish(taken["movie_json"])
        last = pages.take(1e12)
        assert last.key == Key("movie_json", "2")
        pages.refuse("www", "rate limit", [last])
        pages.finish(last)
        assert pages.take(1e12) is None
        assert pages.is_over


def test_without_another_source_the_whole_run_stops(crawl):
    crawl.read()
    crawl.faults.is_given = lambda path: "/photos" in path
    before = len(crawl.requests())
    crawl.read(REFUSED, stage="frames")
    assert Counter(host for host, _ in crawl.requests()[before:])["movie"] == 1


def test_likes_that_the_site_shows_to_no_guest_are_set_aside_after_three_runs(crawl):
    for stage in ("ratings", "frames"):
        crawl.read(stage=stage)
    crawl.faults.is_given = lambda path: path.startswith("/photos/photo/")
    asked = [crawl.read(REFUSED, stage="likes")[1] for _ in range(3)]
    assert [len(paths) for paths in asked] == [1, 1, 1]
    said, paths = crawl.read(stage="likes")
    assert "pages are set aside" in said
    assert paths == []
    assert len(crawl.pages("refused")) > 3
    crawl.faults.is_given = lambda path: False
    said, paths = crawl.read(0, "--retry-refused", stage="likes")
    assert len({path.split("?")[0] for path in paths}) > 3
    assert crawl.pages("refused") == set()
