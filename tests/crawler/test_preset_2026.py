"""Crawls of the sandbox as the site answers a guest in 2026, compared with what a guest can know, row by row.

A crawl stops at each refusal, so its stages are run again until they end. The request log shows that it is polite.
"""

import random
import signal
import time
from itertools import pairwise

import pytest
from protego import Protego

from crawler.sandbox.answers import ROLES, Request
from crawler.sandbox.faults.limits import ALLOWANCES, REAL_DELAY_S
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.truth import PRESET_VIA

DONE, REFUSED, UNFINISHED = 0, 3, 4
MOST_RUNS = 40
REFUSING = ((302, 403, 418, 429), (302, 400, 429))  # statuses; the JSON host answers 403 for a movie that is not public
SLACK_S = 0.02  # a request can be read later than it was sent

VIA = PRESET_VIA["2026"]


class Runs:
    """Runs stages of a crawl again until they end, and remembers which requests belong to which run."""

    def __init__(self, crawl, *options):
        self.crawl, self.options = crawl, options
        self.statuses = []
        self.requests = []  # one list per run

    def until_done(self, stage):
        """Run a stage until it ends; the site's refusals and failed pages ask for another run."""
        for _ in range(MOST_RUNS):
            if self.once(stage) == DONE:
                return
        raise AssertionError(f"{stage} does not end; statuses: {self.statuses}")

    def once(self, stage):
        """Run a stage once; return its exit status."""
        n = len(self.crawl.server.requests)
        process = self.crawl.start(stage, *self.options)
        _, errors = process.communicate()
        self.requests.append(self.crawl.server.requests[n:])
        self.statuses.append(process.returncode)
        assert process.returncode in (DONE, REFUSED, UNFINISHED), errors
        assert "Traceback" not in errors
        return process.returncode

    def killed(self, stage, n_requests):
        """Run a stage, and kill it when it has sent a number of requests (or has ended before)."""
        n = len(self.crawl.server.requests)
        process = self.crawl.start(stage, *self.options)
        while len(self.crawl.server.requests) < n + n_requests and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(SLACK_S)  # the sandbox logs what is still in flight
        self.requests.append(self.crawl.server.requests[n:])
        return process.returncode == -signal.SIGKILL

    def require_polite(self, delay_s):
        """Check the log: the delay, the requests per scaled minute, robots.txt, and the full stop at a refusal."""
        scale = delay_s / REAL_DELAY_S
        for role in ROLES:
            asked = [request for request in self.crawl.server.requests if request.host == role]
            allowed = ALLOWANCES[role]
            for earlier, later in pairwise(asked):
                assert later.started_at_s - earlier.ended_at_s >= allowed.delay_s * scale
            for first, one_too_many in zip(asked, asked[allowed.most_per_minute :], strict=False):
                assert one_too_many.started_at_s - first.started_at_s >= 60 * scale - SLACK_S
        self.require_obedient()

    def require_obedient(self):
        """Check the log: no path that robots.txt disallows, and no request to a host after it refused, in a run."""
        server = self.crawl.server
        for role in ROLES:
            text = server.answers(Request(role, "GET", "/robots.txt")).body.decode()
            rules, base = Protego.parse(text), server.site.hosts[role]
            for request in server.requests:
                assert request.host != role or rules.can_fetch(base + request.path, request.user_agent)
        for requests in self.requests:
            refused_at = {}
            for request in requests:
                assert request.host not in refused_at, request.path
                if request.status in REFUSING[request.host == "mobile"]:
                    refused_at[request.host] = request.path


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crawl_with_challenges_and_short_pages_ends_with_the_truth(sandbox, seed):
    faults = switched("challenge=15,gaps")
    crawl = sandbox(seed, faults=faults.fault)
    runs = Runs(crawl, "--delay-s", "0.01")
    runs.until_done("ratings")
    crawl.require_truth(["movies", "ratings"])
    assert runs.statuses.count(REFUSED) >= 4
    runs.require_obedient()


@pytest.fixture
def runs_of_2026(sandbox):
    """Return a function that opens the sandbox of 2026 and gives the runs of its crawl, by the preset's sources."""

    def open_runs(seed, delay_s, collection="html"):
        faults = switched(f"challenge=20,rate-limit={delay_s}", "2026")
        crawl = sandbox(seed, faults=faults.fault, oddities=faults.oddities)
        chosen = ",".join(f"{topic}={source}" for topic, source in {**VIA, "collection": collection}.items())
        return Runs(crawl, "--delay-s", str(delay_s), "--via", chosen, "--everything")

    return open_runs


def _require_what_a_guest_can_know(runs):
    tables = ["movies", "ratings", "frames", "images"]
    runs.crawl.require_truth(tables, k=0, via=VIA, like_source=None)
    assert runs.crawl.tables()["frame_likes"].is_empty()


@pytest.mark.parametrize(("seed", "collection"), [(1, "html"), (2, "html"), (3, "list")])
def test_a_crawl_of_2026_ends_with_what_a_guest_can_know(runs_of_2026, seed, collection):
    runs = runs_of_2026(seed, 0.05, collection)
    for stage in ("ratings", "frames", "likes"):
        runs.until_done(stage)
    assert runs.statuses[-4:] == [REFUSED, REFUSED, REFUSED, DONE]  # nothing public says who likes a photo
    _require_what_a_guest_can_know(runs)
    runs.require_polite(0.05)


def test_a_crawl_of_2026_that_is_killed_at_random_moments_ends_with_what_a_guest_can_know(runs_of_2026, is_long):
    n_kills, runs = 20 if is_long else 3, runs_of_2026(1, delay_s=0.05)
    generator, n_killed = random.Random(n_kills), 0
    for stage in ("ratings", "frames"):
        for _ in range(-(-n_kills // 2)):
            n_killed += runs.killed(stage, generator.randint(1, 12))
        runs.until_done(stage)
    assert n_killed >= 0.8 * n_kills
    _require_what_a_guest_can_know(runs)
    runs.require_obedient()
