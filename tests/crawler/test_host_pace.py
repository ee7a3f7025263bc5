"""The pace of requests to a host: the delay and the minute, with a clock of the test's own, and among processes."""

import random
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest

from crawler.sandbox.answers import Answer
from crawler.sites import Site, host_key
from crawler.spiders import clock
from crawler.spiders.clock import HostClock, Minute
from crawler.spiders.closed import LONGEST_S, close_host, closed_until, require_open
from crawler.spiders.pages import delay_of
from crawler.spiders.politeness import politeness_for
from crawler.spiders.robots import host_rules, read_robots
from dataset.errors import RefusedError

REAL = Site()
SANDBOX = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")
ROLES = {"movie": (5.0, 10), "www": (5.0, 10), "images": (5.0, 10), "mobile": (6.0, 8)}
CONTACT = "me@example.org"


class Time:
    """A clock that tests set."""

    def __init__(self, now=1.8e9):
        self.now = now

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


def require_polite(requests, delay_s, most, minute_s):
    """Check the start and end of every request: the delay counts from an end, the minute from a start."""
    for before, after in pairwise(requests):
        assert after[0] - before[1] >= delay_s - 1e-6
    for first, last in zip(requests, requests[most:], strict=False):
        assert last[0] - first[0] > minute_s


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("seed", range(5))
def test_a_real_host_never_gets_eleven_requests_in_a_minute_nor_two_within_five_seconds(tmp_path, role, seed):
    delay_s, most = ROLES[role]
    politeness = politeness_for(REAL, CONTACT)
    assert (politeness.delay_of(role), politeness.minute_of(role)) == (delay_s, (most, 60.0))
    rng, time = random.Random(seed), Time()
    crawls = [HostClock(tmp_path / "host", politeness.minute_of(role), time, time.sleep) for _ in range(3)]
    requests = []
    for _ in range(400):
        time.now += rng.choice((0.0, 0.0, 0.0, rng.expovariate(1 / 4), rng.uniform(0, 90)))
        with rng.choice(crawls).turn(politeness.delay_of(role)):
            began = time.now
            time.now += rng.choice((0.0, rng.expovariate(5), rng.uniform(0, 20)))
        requests.append((began, time.now))
    require_polite(requests, delay_s, most, 60.0)


def test_a_busy_crawl_uses_the_whole_minute(tmp_path):
    time = Time()
    asked = HostClock(tmp_path / "host", Minute(10), time, time.sleep)
    for _ in range(101):
        with asked.turn(5.0):
            pass
    assert time.now - 1.8e9 == pytest.approx(600, rel=0.01)


def test_a_file_of_nonsense_fills_the_minute(tmp_path):
    (tmp_path / "host").write_text("two words")
    time = Time()
    assert HostClock(tmp_path / "host", Minute(10), time).begin(5.0) >= 60


def test_a_request_of_a_killed_process_counts_in_the_minute(tmp_path):
    program = """
        import os, sys
        from pathlib import Path
        from crawler.spiders.clock import HostClock, Minute
        for _ in range(3):
            with HostClock(Path(sys.argv[1]), Minute(4)).turn(0.001):
                pass
        HostClock(Path(sys.argv[1]), Minute(4)).begin(0.0)
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), tmp_path / "host"], check=False)
    assert HostClock(tmp_path / "host", Minute(4)).begin(0.001) > 50


def test_two_processes_share_the_minute(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from crawler.spiders.clock import HostClock, Minute
        asked = HostClock(Path(sys.argv[1]), Minute(5, 0.3))
        for _ in range(12):
            with asked.turn(0.01):
                print(time.time(), flush=True)
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), tmp_path / "host"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    times = sorted(float(line) for one in both for line in one.communicate(timeout=60)[0].split())
    assert len(times) == 24
    assert min(last - first for first, last in zip(times, times[5:], strict=False)) > 0.3


@pytest.mark.parametrize("given", [0.0, 1.0, 4.999, 5.0, 5.5])
def test_no_option_lowers_the_bounds_of_a_real_host(given):
    politeness = politeness_for(REAL, CONTACT, given)
    for role, (delay_s, most) in ROLES.items():
        assert politeness.delay_of(role) == max(delay_s, given)
        assert politeness.minute_of(role) == (most, 60.0)
    assert politeness.seconds_per_request("movie") == 6.0
    assert politeness.seconds_per_request("mobile") == 7.5


def test_on_the_sandbox_the_minute_is_as_much_shorter_as_the_delay():
    politeness = politeness_for(SANDBOX, None, 0.05)
    assert politeness.delay_of("movie") == 0.05
    assert politeness.delay_of("mobile") == pytest.approx(0.06)
    assert politeness.minute_of("movie") == (10, pytest.approx(0.6))
    assert politeness.minute_of("mobile") == (8, pytest.approx(0.6))
    assert politeness_for(SANDBOX, None, 20.0).minute_of("movie") == (10, 60.0)
    assert politeness_for(SANDBOX, None).seconds_per_request("movie") == 0.0


def test_the_mobile_host_s_own_delay_slows_no_other_host_and_is_slowed_by_none():
    politeness = politeness_for(REAL, CONTACT)
    asked = {"movie": "", "www": "User-agent: *\n# Crawl-delay: 7", "mobile": "User-agent: *\nCrawl-delay: 30\n"}
    rules = {
        role: host_rules(f"https://{role}.example", text, politeness, "tester", role) for role, text in asked.items()
    }
    assert {role: delay_of(role, rules) for role in rules} == {"movie": 7.0, "www": 7.0, "mobile": 30.0}
    assert host_rules("https://m.douban.com", "", politeness, "tester", "mobile").delay_s == 6.0


def test_requests_for_robots_txt_count_in_the_minute(sandbox):
    crawl = sandbox(1)
    for _ in range(6):
        crawl.run("ratings", "--delay-s", "0.1", "--max-requests", "1")
    starts = sorted(one.started_at_s for one in crawl.server.requests if one.host == "movie")
    assert len(starts) == 12
    assert starts[10] - starts[0] > 1.2


def test_a_crawl_with_a_delay_keeps_to_the_minute(sandbox):
    crawl = sandbox(1)
    crawl.run("ratings", "--delay-s", "0.01", "--max-requests", "40")
    requests = sorted((one.started_at_s, one.ended_at_s) for one in crawl.server.requests if one.host == "movie")
    require_polite(requests, 0.01, 10, 0.12)


# --- Retry-After ---------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 3600 ", 3600.0),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 400, LONGEST_S),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 13:01:00 +0100", 60.0),
        ("Sun, 01 Mar 2026 11:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_no_absurd_time(header, seconds):
    assert closed_until(header, NOW) == (None if seconds is None else pytest.approx(NOW + seconds))


@pytest.fixture
def closed_files():
    """Remove the files of the sandboxes' hosts that a test leaves behind."""
    before = set(clock.account_folder().iterdir())
    yield
    for path in set(clock.account_folder().iterdir()) - before:
        if path.suffix == clock.CLOSED:
            path.unlink()


@pytest.mark.usefixtures("closed_files")
def test_a_later_time_stays_and_a_damaged_file_stops_nobody(monkeypatch):
    base = "http://127.0.0.1:9"
    path = clock.account_folder() / f"{host_key(base)}{clock.CLOSED}"
    close_host(base, "600")
    close_host(base, "60")
    close_host(base, None)
    with pytest.raises(RefusedError, match=r"^http://127.0.0.1:9: asked for no request before 20.* UTC") as refused:
        require_open(base)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr("crawler.spiders.closed.time.time", lambda: Time()() + 1e9)
    require_open(base)
    assert not path.exists()
    for content in ("nan", "inf", "1e300", "two words", "\x00\xff", ""):
        path.write_text(content, encoding="latin-1")
        require_open(base)


@pytest.mark.usefixtures("closed_files")
@pytest.mark.parametrize("given", ["seconds", "date"])
def test_after_a_refusal_with_retry_after_no_command_asks_the_host_before(sandbox, given):
    later = "90" if given == "seconds" else format_datetime(datetime.fromtimestamp(Time()() + 4e8, UTC), usegmt=True)
    is_lifted = []

    def faults(request, answer):
        if request.path == "/robots.txt" or is_lifted:
            return answer(request)
        return Answer(429, b"", headers=(("Retry-After", later),))

    crawl = sandbox(1, faults=faults)
    assert "rate limit" in crawl.run("ratings", status=3)
    is_lifted.append(True)
    n_before = len(crawl.server.requests)
    for command in ("ratings", "ratings"):
        line = crawl.run(command, status=3)
        assert "asked for no request before 20" in line
        assert "UTC (Retry-After)" in line
    with pytest.raises(RefusedError, match="asked for no request"):
        read_robots({"movie": crawl.server.site.movie}, politeness_for(crawl.server.site, None), "tester")
    assert len(crawl.server.requests) == n_before
    (clock.account_folder() / f"{host_key(crawl.server.site.movie)}{clock.CLOSED}").unlink()
    crawl.run("ratings")
    crawl.require_truth(["ratings"])


@pytest.mark.usefixtures("closed_files")
def test_a_crawl_that_runs_obeys_what_another_one_was_told(sandbox):
    def faults(request, answer):
        if len(crawl.server.requests) == 5:
            close_host(crawl.server.site.movie, "600")
        return answer(request)

    crawl = sandbox(1, faults=faults)
    assert "asked for no request before" in crawl.run("ratings", "--delay-s", "0.01", status=3)
    assert len(crawl.server.requests) == 6
