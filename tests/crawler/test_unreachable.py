"""A host that cannot be reached: the crawl waits, goes on when the host is back, or ends in one line."""

import threading
import time

import pytest
from scrapy.exceptions import DownloadConnectionRefusedError, DownloadFailedError, DownloadTimeoutError
from twisted.internet.error import NoRouteError
from twisted.internet.error import TimeoutError as ConnectTimeoutError

from crawler.sandbox.server import _Host
from crawler.spiders.rest import Rest, cannot_be_reached


class Outage:
    """Closes the ports of a sandbox after some requests; `end` opens them again."""

    def __init__(self, after, seconds=None):
        self.crawl, self.n_before = None, 0
        self._left, self._seconds, self._closed = after, seconds, threading.Event()

    def __call__(self, request, answer):
        self._left -= 1
        if self._left == 0:
            threading.Thread(target=self._begin, daemon=True).start()
            self._closed.wait(10)
        return answer(request)

    def _begin(self):
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
