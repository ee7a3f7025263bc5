"""A host that cannot be reached: the crawl waits, goes on when the host is back, or ends in one line."""

import asyncio
import contextlib
import http.client
import re
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from scrapy.exceptions import DownloadConnectionRefusedError, DownloadFailedError, DownloadTimeoutError
from twisted.internet.error import NoRouteError
from twisted.internet.error import TimeoutError as ConnectTimeoutError

from crawler.kinds import KINDS
from crawler.page import Answer
from crawler.sandbox.server import _Host
from crawler.scope import Scope
from crawler.sites import Site
from crawler.spiders import robots, run
from crawler.spiders.clock import HostClock
from crawler.spiders.fetch import NoAnswer, NotConnected, fetch
from crawler.spiders.pages import StagePages
from crawler.spiders.politeness import PATIENCE_S, politeness_for
from crawler.spiders.rest import Rest, cannot_be_reached
from crawler.spiders.robots import HostRules, host_rules
from crawler.spiders.scheduler import LedgerScheduler
from dataset.errors import RefusedError, UnfinishedError


class Outage:
    """Closes the ports of a sandbox after some requests; `end` opens them again."""

    def __init__(self, after, seconds=None):
        self.crawl, self.n_before = None, 0
        self._left, self._seconds, self._closed = after, seconds, threading.Event()

    def __call__(self, request, answer):
        self._left -= 1
        if self._left == 0:
            threading.Thread(target=self.begin, daemon=True).start()
            self._closed.wait(10)
        return answer(request)

    def begin(self):
        for host in self.crawl.server._hosts:
            host.shutdown()
            host.server_close()
        self.n_before = len(self.crawl.server.requests)
        self._closed.set()
        if self._seconds is not None:
            time.sleep(self._seconds)
            self.end()

    def end(self):
        server = self.crawl.server
        server._hosts = [_Host(host.role, host.server_address[1], server) for host in server._hosts]
        server.__enter__()


def test_a_crawl_waits_for_a_site_that_goes_down_and_then_goes_on(sandbox):
    outage = Outage(after=3, seconds=1.0)
    crawl = outage.crawl = sandbox(1, n_users=20, n_movies=10, faults=outage)
    process = crawl.start("ratings", "--delay-s", "0.001", "--max-users", "4", "--attempts", "2")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    paused = [line for line in errors.splitlines() if line.startswith("PAUSED: the movie host cannot be reached (")]
    assert 2 <= len(paused) <= 5, errors  # the waits double
    assert crawl.pages("failed") == set()
    assert crawl.pages("pending") == set()


def test_a_crawl_that_waited_in_vain_says_how_to_continue_and_loses_nothing(sandbox):
    outage = Outage(after=3)
    crawl = outage.crawl = sandbox(1, n_users=20, n_movies=10, faults=outage)
    told = crawl.run("ratings", "--delay-s", "0.001", "--max-users", "4", "--patience-h", "0.0002", status=4)
    assert "the movie host could not be reached for 1 s" in told
    assert "known pages are left, nothing is lost: run the same command again to continue" in told
    assert crawl.pages("failed") == set()
    assert crawl.pages("pending")
    outage.end()
    crawl.run("ratings", "--delay-s", "0.001", "--max-users", "4")
    assert len(set(crawl.requests())) >= len(crawl.requests()) - 1  # only the page of the outage is asked twice
    assert crawl.pages("pending") == set()


def test_a_crawl_waits_for_a_site_that_is_down_when_it_begins(sandbox):
    outage = Outage(after=0)
    crawl = outage.crawl = sandbox(1, n_users=20, n_movies=10)
    outage.begin()
    (crawl.folder / "errors.txt").touch()
    process = crawl.start("ratings", "--max-users", "4")
    deadline = time.monotonic() + 60
    while "PAUSED" not in (errors := (crawl.folder / "errors.txt").read_text()):
        assert process.poll() is None, errors
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert re.match(
        r"PAUSED: the (movie|www) host cannot be reached \(http://127.0.0.1:\d+: no server answers, "
        r"ConnectionRefusedError; start it with: python -m crawler sandbox\); next try in ",
        errors,
    )
    outage.end()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    first = {one.host: one.path for one in reversed(crawl.server.requests)}
    assert set(first.values()) == {"/robots.txt"}
    assert crawl.pages("done")
    assert crawl.pages("pending") == crawl.pages("failed") == set()


@pytest.mark.parametrize("known", [0, 4])
def test_a_crawl_that_waited_in_vain_when_it_began_loses_nothing(sandbox, known):
    outage = Outage(after=0)
    crawl = outage.crawl = sandbox(1, n_users=20, n_movies=10)
    if known:
        crawl.run("ratings", "--max-users", "4", "--max-requests", str(known))
    before = {state: crawl.pages(state) for state in ("done", "pending")} if known else {}
    outage.begin()
    told = crawl.run("ratings", "--max-users", "4", "--patience-h", "0.0001", status=4)
    assert "host could not be reached for 0 s (http://127.0.0.1:" in told
    assert "; nothing is lost: run the same command again to continue" in told
    assert before == ({state: crawl.pages(state) for state in before})
    outage.end()
    crawl.run("ratings", "--max-users", "4")
    assert len(set(crawl.requests())) == len(crawl.requests())
    assert crawl.pages("pending") == set()


SITE = Site(movie="https://movie.example", www="https://www.example", images="https://images.example", mobile="")
POLITE = politeness_for(SITE, "someone@example.org")
RULES = Answer(200, "", b"User-agent: *\nDisallow: /j/\n", None, "text/plain", 0.0)
REFUSAL = Answer(503, "", b"busy", None, "text/plain", 0.0)


class Network:
    """Stands in for `fetch` and `sleep`; a host that is down answers after its number of waits."""

    def __init__(self, **down):
        self.asked, self.waits, self.answers, self._down = [], [], {}, down

    def fetch(self, url, *_):
        host = url.removeprefix("https://").partition(".")[0]
        self.asked.append(host)
        if len(self.waits) < self._down.get(host, 0):
            raise NotConnected("TimeoutError")
        return self.answers.get(host, RULES)

    def sleep(self, seconds):
        assert seconds > 0
        self.waits.append(seconds)


@pytest.fixture
def network(monkeypatch):
    def put(**down):
        network = Network(**down)
        monkeypatch.setattr(robots, "fetch", network.fetch)
        monkeypatch.setattr(robots, "require_open", lambda base: None)
        monkeypatch.setattr(type(POLITE), "clock", lambda *_: HostClock(None))
        monkeypatch.setattr(run.time, "sleep", network.sleep)
        return network

    return put


def _read(hosts=("movie", "www")):
    kinds = [kind for kind in KINDS.values() if kind.host in hosts]
    return run._read_rules({host: SITE.hosts[host] for host in hosts}, kinds, POLITE)


def test_the_waits_at_the_start_of_a_stage_double_and_all_hosts_share_the_patience(network, capsys):
    here = network(movie=3, www=5)
    rules, refusals, unreached = _read()
    assert here.waits == [60.0, 120.0, 240.0, 480.0, 960.0]
    assert (set(rules), refusals, unreached) == ({"movie", "www"}, {}, {})
    assert not rules["www"].allows("https://www.example/j/x", "x")
    paused = capsys.readouterr().err.splitlines()
    assert len(paused) == 5
    assert "the movie host cannot be reached (https://movie.example: no server answers, TimeoutError; " in paused[0]
    assert "next try in 60 s" in paused[0]


def test_a_host_that_is_down_for_good_ends_the_stage_before_any_page_is_requested(network):
    here = network(movie=10**6)
    with pytest.raises(UnfinishedError, match=r"the movie host could not be reached for 8 h .* to continue$"):
        _read()
    assert sum(here.waits) == PATIENCE_S
    assert set(here.asked) == {"movie"}


def test_a_host_that_has_another_source_is_done_without_when_it_was_waited_for_in_vain(network, monkeypatch):
    here = network(mobile=10**6)
    monkeypatch.setattr(run, "may_go_on", lambda kinds, closed: "movie" not in closed)
    hosts = {"movie": SITE.movie, "mobile": "https://mobile.example"}
    rules, refusals, unreached = run._read_rules(hosts, list(KINDS.values()), POLITE)
    assert (set(rules), refusals, unreached) == ({"movie"}, {}, {"mobile": PATIENCE_S})
    assert sum(here.waits) == PATIENCE_S


@pytest.mark.parametrize("waits", [0, 2])
def test_what_a_host_says_after_the_wait_is_obeyed_like_before(network, waits):
    here = network(movie=waits)
    here.answers["movie"] = REFUSAL
    with pytest.raises(RefusedError, match="status 503"):
        _read(["movie"])
    assert len(here.waits) == waits


@pytest.mark.parametrize("n_waits", [1, 9, 10**6])
def test_a_host_that_is_down_when_its_robots_txt_is_old_is_waited_for(network, monkeypatch, n_waits):
    here, now = network(movie=n_waits), time.monotonic()
    rules = {"movie": host_rules(SITE.movie, "", POLITE, "x")}
    old = rules["movie"] = HostRules(rules["movie"].delay_s, rules["movie"].robots, now, read_on=0.0)
    ledger = SimpleNamespace(aliases=dict)
    pages = StagePages(SimpleNamespace(site=SITE, ledger=ledger, scope=Scope()), [], POLITE, rules)
    spider = SimpleNamespace(pages=pages, rules=rules, crawl=SimpleNamespace(politeness=POLITE, site=SITE))
    scheduler = LedgerScheduler(SimpleNamespace(spider=spider))

    async def sleep(seconds):
        here.sleep(seconds)
        clock[0] += seconds

    clock = [now]
    monkeypatch.setattr("crawler.spiders.pages.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(scheduler._read_robots_again("movie"))
    assert pages.defect is None
    if n_waits < 100:
        assert len(here.waits) == n_waits
        assert not rules["movie"].are_old()
        assert pages.unreached == {}
    else:
        assert rules["movie"] is old
        assert pages.unreached == {"movie": PATIENCE_S}


def test_a_connection_that_hangs_is_a_host_that_cannot_be_reached(monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: is_over.wait(10))
    with pytest.raises(NotConnected, match="TimeoutError"):
        fetch("http://127.0.0.1:9/robots.txt", {}, 0.05, 100)
    is_over.set()


def test_a_program_that_answers_without_a_certificate_is_no_host_that_cannot_be_reached():
    """Not the sandbox: it answers the start of a secure connection only if that happens to have the end of a line."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    connection.recv(1 << 16)  # until the other side has read it, and closes

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoAnswer, match="no secure connection: SSL") as problem:
            fetch(f"https://127.0.0.1:{server.getsockname()[1]}/robots.txt", {}, 60.0, 100)
        assert not isinstance(problem.value, NotConnected)
        thread.join()


def test_the_waits_double_up_to_an_hour_and_end_with_the_patience():
    rest, now, waits = Rest(backoff_s=30.0, patience_s=8 * 3600.0), 0.0, []
    while (wait_s := rest.begin(now)) is not None:
        waits.append(wait_s)
        assert rest.begin(now + wait_s / 2) == 0.0  # another request of the same moment
        now += wait_s
    assert waits[:7] == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0]
    assert max(waits) == 3600.0
    assert sum(waits) == 8 * 3600.0


def _caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_unreachable"),
    [
        (DownloadConnectionRefusedError(), True),
        (NoRouteError(), True),
        (_caused(DownloadTimeoutError(), ConnectTimeoutError()), True),
        (DownloadTimeoutError(), False),
        (DownloadFailedError(), False),
    ],
)
def test_only_a_connection_that_cannot_be_made_is_waited_for(error, is_unreachable):
    assert cannot_be_reached(error) is is_unreachable
