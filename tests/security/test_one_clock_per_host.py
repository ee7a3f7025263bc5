"""Crawls and probes of one account share the turns of a host; together they are as polite as one."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from crawler.sites import Site, host_key
from crawler.spiders import clock
from crawler.spiders.clock import HostClock
from crawler.spiders.politeness import FLOOR_S, politeness_for
from dataset.errors import PipelineError

DELAY_S = 0.15


def _gaps(requests, host):
    """Return the seconds between the end of each request to a host and the start of the next."""
    of_host = sorted((one.started_at_s, one.ended_at_s) for one in requests if one.host == host)
    return [later[0] - earlier[1] for earlier, later in pairwise(of_host)]


def test_three_crawls_and_a_probe_at_once_do_not_ask_a_host_faster_than_one_may(sandbox, start, tmp_path):
    crawl = sandbox(1, faults=lambda request, answer: replace(answer(request), delay_s=0.02))
    world = crawl.server.world.contents
    probed = max(world.comments_of, key=lambda movie_id: len(world.frames_of.get(movie_id, ())))
    options = ["--site-file", crawl.site_file, "--delay-s", DELAY_S]
    commands = [start("ratings", "--crawl", tmp_path / f"crawl-{n}", *options, "--max-requests", 6) for n in range(3)]
    commands.append(start("probe", *options, "--movie", probed))
    for command in commands:
        command.communicate()
        assert command.returncode == 0
    gaps = _gaps(crawl.server.requests, "movie")
    assert len(gaps) >= 3 * 7 + 5
    assert min(gaps) >= DELAY_S


def test_a_command_that_follows_another_one_waits_for_its_turn_too(sandbox):
    crawl = sandbox(1)
    for _ in range(3):
        crawl.run("ratings", "--delay-s", str(DELAY_S), "--max-requests", "2")
    assert min(_gaps(crawl.server.requests, "movie")) >= DELAY_S


@pytest.mark.parametrize("given", [0.0, 1.0, 4.999, 5.0])
def test_on_a_real_host_the_turn_lasts_at_least_the_floor(given):
    politeness = politeness_for(Site(), "me@example.org", given)
    assert politeness.is_slow
    assert politeness.delay_s == FLOOR_S
    folder = clock.account_folder()
    assert politeness.clock(Site().movie, "movie")._path == folder / "movie.douban.com"
    assert not folder.stat().st_mode & 0o077


def test_no_variable_of_the_environment_gives_a_process_a_clock_of_its_own(tmp_path, monkeypatch):
    before = clock.account_folder()
    for name in ("HOME", "XDG_STATE_HOME", "TMPDIR", "USER", "LOGNAME"):
        monkeypatch.setenv(name, str(tmp_path))
    assert clock.account_folder() == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://movie.douban.com", "http://movie.douban.com"),
        ("https://movie.douban.com", "https://MOVIE.douban.com:443"),
        ("http://127.0.0.1:80", "http://localhost"),
        ("http://127.0.0.1:8801", "http://localhost:8801"),
    ],
)
def test_a_host_under_another_address_has_no_second_clock(one, other):
    assert host_key(one) == host_key(other)


def test_while_a_request_runs_nobody_else_has_the_turn(tmp_path):
    mine, others = HostClock(tmp_path / "host"), HostClock(tmp_path / "host")
    assert mine.begin(0.1) == 0
    time.sleep(0.2)
    assert others.begin(0.1) > 0
    mine.end()
    assert 0 < others.begin(0.1) <= 0.1
    time.sleep(0.1)
    assert others.begin(0.1) == 0


def test_a_turn_in_which_nothing_was_sent_does_not_count(tmp_path):
    mine, others = HostClock(tmp_path / "host"), HostClock(tmp_path / "host")
    mine.begin(9)
    mine.withdraw()
    assert others.begin(9) == 0


def test_a_process_that_is_killed_in_its_turn_frees_it_and_its_request_still_counts(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from crawler.spiders.clock import HostClock
        mine = HostClock(Path(sys.argv[1]))
        mine.begin(1.0)
        print("has it", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path / "host"], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        began = time.time()
        assert HostClock(tmp_path / "host").begin(1.0) > 0
        os.kill(process.pid, signal.SIGKILL)
    with HostClock(tmp_path / "host").turn(1.0):
        assert time.time() - began >= 0.9


@pytest.mark.parametrize(
    "content",
    ["99999999999.0 99999999999.0", "inf inf", "nan nan", "12", "two words", "5.0 4.0", "1 2 3", "\x00" * 50],
)
def test_nonsense_and_times_of_the_future_in_the_file_make_the_next_one_wait_and_stop_nobody(tmp_path, content):
    (tmp_path / "host").write_text(content)
    asked = HostClock(tmp_path / "host")
    assert 0 < asked.begin(0.1) <= 0.1
    with asked.turn(0.1):
        pass


def test_the_file_holds_the_times_of_the_last_minute_and_does_not_grow(tmp_path):
    asked = HostClock(tmp_path / "host")
    for _ in range(3 * clock.MAX_TIMES):
        with asked.turn(0.0001):
            pass
    fields = (tmp_path / "host").read_text().split()
    assert len(fields) == 2 * clock.MAX_TIMES
    assert clock.MAX_TIMES >= 60 / FLOOR_S
    assert [float(field) for field in fields] == sorted(float(field) for field in fields)


def test_a_clock_that_cannot_be_written_stops_the_crawl_in_one_line(tmp_path):
    (tmp_path / "host").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PipelineError, match="crawls share it to stay polite"):
        HostClock(tmp_path / "host").begin(1.0)
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_of_a_host_that_was_not_asked_for_a_day_is_removed_but_not_under_a_running_request(tmp_path):
    for name in ("old", "running", "new"):
        (tmp_path / name).touch()
    running = HostClock(tmp_path / "running")
    running.begin(1.0)
    for name in ("old", "running"):
        os.utime(tmp_path / name, (0, 0))
    clock._remove_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "running"]


def test_without_a_delay_the_sandbox_needs_no_turns(sandbox):
    server = sandbox(1).server
    assert politeness_for(server.site, None).clock(server.site.movie, "movie")._path is None
