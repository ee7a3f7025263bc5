"""Whole crawls of the sandbox, each stage a child process, against the world's truth and the request log."""

import json
import random
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import asdict, replace
from itertools import pairwise
from urllib.parse import urlsplit

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crawler.export import export
from crawler.people import Pseudonyms
from crawler.plan import address
from crawler.sandbox.answers import Answer
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.truth import crawl_truth
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.store import Key, Ledger
from dataset.schema import RAW_TABLES
from dataset.tables import canonical, read_table

STAGES = ("ratings", "frames", "likes")


class Crawl:
    """A sandbox, a crawl folder, and the commands run on it."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.site_file = folder / "site.json"
        told = {**asdict(server.site), "seed_movie_ids": list(server.world.seed_movie_ids)}
        self.site_file.write_text(json.dumps({**told, "config": asdict(server.world.config)}))

    def start(self, command, *options):
        """Start a command; return the process."""
        arguments = ["--crawl", str(self.folder / "crawl"), "--site-file", str(self.site_file), *options]
        return subprocess.Popen(
            [sys.executable, "-m", "crawler", command, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, command, *options, status=0):
        """Run a command to its end; return what it printed, or its last line of errors."""
        process = self.start(command, *options)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == status, errors
        assert "Traceback" not in errors
        return errors.splitlines()[-1] if status else output

    def tables(self):
        export(self.folder / "crawl", self.folder / "raw")
        return {name: read_table(self.folder / "raw" / f"{name}.parquet", of) for name, of in RAW_TABLES.items()}

    def pages(self, state):
        """Return the addresses of the ledger's pages in a state, as (host, path with query)."""
        with Ledger.read(self.folder / "crawl") as ledger:
            rows = ledger.execute(
                "SELECT kind, subject, variant, start FROM pages WHERE state = ?", (state,)
            ).fetchall()
        roles = {base: role for role, base in asdict(self.server.site).items()}
        urls = [urlsplit(address(self.server.site, Key(*row))) for row in rows]
        return {
            (roles[f"{url.scheme}://{url.netloc}"], url.path + (f"?{url.query}" if url.query else "")) for url in urls
        }

    def requests(self):
        """Return every request but those for robots.txt, as (host, path with query)."""
        return [(request.host, request.path) for request in self.server.requests if request.path != "/robots.txt"]


@pytest.fixture
def sandbox(tmp_path):
    """Return a function that opens a sandbox and gives a `Crawl` of it."""
    servers = []

    def open_sandbox(seed=1, n_users=40, n_movies=20, faults=None):
        server = SandboxServer(_world(seed, n_users, n_movies), faults=faults)
        servers.append(server.__enter__())
        return Crawl(server, tmp_path)

    yield open_sandbox
    for server in servers:
        server.__exit__(None, None, None)


_worlds = {}


def _world(seed, n_users, n_movies):
    """A world with few frames, so that drawing them takes little time."""
    key = (seed, n_users, n_movies)
    if key not in _worlds:
        world = generate_world(WorldConfig(seed, n_users, n_movies))
        contents = world.contents
        kept = {frame.frame_id for frames in contents.frames_of.values() for frame in frames[:4]}
        contents.frames_of = {movie: frames[:4] for movie, frames in contents.frames_of.items()}
        contents.frames = {frame_id: frame for frame_id, frame in contents.frames.items() if frame_id in kept}
        contents.likers_of = {frame_id: likes for frame_id, likes in contents.likers_of.items() if frame_id in kept}
        contents.likes_of = {
            user: [like for like in likes if like.frame_id in kept] for user, likes in contents.likes_of.items()
        }
        _worlds[key] = world
    return _worlds[key]


def _true_tables(crawl):
    """What a complete crawl exports."""
    of = Pseudonyms.open(crawl.folder / "crawl" / "pseudonym.key").of
    return {
        name: table.with_columns(pl.col("user_id").map_elements(of, pl.String)) if "user_id" in table.columns else table
        for name, table in crawl_truth(crawl.server.world, site=crawl.server.site).items()
    }


def _assert_equal(found, true):
    for name, of in RAW_TABLES.items():
        one, other = (canonical(table.drop("crawled_at", strict=False), of) for table in (found[name], true[name]))
        assert_frame_equal(one, other)


@pytest.mark.parametrize(("seed", "n_users", "n_movies"), [(1, 40, 20), (2, 80, 30)])
def test_every_table_equals_the_truth_and_no_page_is_asked_for_twice_or_outside_the_plan(
    sandbox, seed, n_users, n_movies
):
    crawl = sandbox(seed, n_users, n_movies)
    for stage in STAGES:
        crawl.run(stage)
    found, true = crawl.tables(), _true_tables(crawl)
    _assert_equal(found, true)
    assert all(table.height for table in true.values())
    requests = crawl.requests()
    assert [request for request, n in Counter(requests).items() if n > 1] == []
    assert set(requests) == crawl.pages("done") | crawl.pages("gone")
    assert crawl.pages("gone")  # deleted movies, still rated
    first_of_host = {request.host: request.path for request in reversed(crawl.server.requests)}
    assert set(first_of_host.values()) == {"/robots.txt"}


class Faults:
    """Spoils the first answer to every tenth address, in one of five ways."""

    def __init__(self):
        self.seen, self.spoilt = set(), Counter()

    def __call__(self, request, answer):
        given, number = answer(request), zlib.crc32(request.target.encode())
        if request.target in self.seen or number % 10 or request.path == "/robots.txt":
            return given
        self.seen.add(request.target)
        way = number // 10 % 5
        self.spoilt[way] += 1
        half = len(given.body) // 2
        return (
            Answer(503, b"busy"),
            Answer(200, b""),
            replace(given, cut_at=half),
            replace(given, body=given.body[:half]),
            replace(given, delay_s=2.5),
        )[way]


def test_with_one_answer_in_ten_spoilt_the_tables_equal_the_truth_from_both_liker_sources(sandbox):
    faults = Faults()
    crawl = sandbox(2, faults=faults)
    for stage in STAGES:
        crawl.run(stage, "--timeout-s", "2", "--liker-source", "both")
    _assert_equal(crawl.tables(), _true_tables(crawl))
    assert set(faults.spoilt) == set(range(5))
    with Ledger.read(crawl.folder / "crawl") as ledger:
        assert {row[0] for row in ledger.execute("SELECT DISTINCT source FROM likes")} == {"photo_page", "user_likes"}


def test_a_crawl_killed_at_random_moments_goes_on_where_it_was(sandbox):
    generator = random.Random(7)
    crawl = sandbox(1, faults=lambda request, answer: replace(answer(request), delay_s=0.02))
    done_at = []  # what was done at each kill, and how many requests there had been
    for how in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        n, moment = len(crawl.requests()), generator.randint(2, 20)
        process = crawl.start("ratings")
        while len(crawl.requests()) < n + moment and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if how == signal.SIGTERM else -how)
        assert how != signal.SIGTERM or "run the same command again to go on" in errors
        time.sleep(0.05)  # let the sandbox write the last requests into its log
        done_at.append((crawl.pages("done"), len(crawl.requests())))
    for stage in STAGES:
        crawl.run(stage)
    _assert_equal(crawl.tables(), _true_tables(crawl))
    requests = crawl.requests()
    assert all(done and not done & set(requests[n:]) for done, n in done_at)


def test_when_the_site_refuses_the_crawl_stops_says_so_and_a_later_one_completes(sandbox):
    refused_at = []

    def refuse_from_the_tenth_on(request, answer):
        if request.path == "/robots.txt" or len(crawl.server.requests) < 10 or "open again" in refused_at:
            return answer(request)
        refused_at.append(len(crawl.server.requests))
        return Answer(302, b"", headers=(("Location", "https://sec.douban.com/b?r=x"),))

    crawl = sandbox(1, faults=refuse_from_the_tenth_on)
    message = crawl.run("ratings", status=3)
    assert "refuses us" in message
    assert "run the same command again" in message
    assert 1 <= len(refused_at) <= 16  # those that were in flight
    refused_at.append("open again")
    crawl.run("ratings")
    found, true = crawl.tables(), _true_tables(crawl)
    assert_frame_equal(
        canonical(found["ratings"], RAW_TABLES["ratings"]), canonical(true["ratings"], RAW_TABLES["ratings"])
    )


def test_a_robots_txt_that_cannot_be_read_means_no_request_at_all(sandbox):
    crawl = sandbox(1, faults=lambda request, answer: Answer(503, b"busy"))
    assert "robots.txt: no clean answer (status 503)" in crawl.run("ratings", status=3)
    assert crawl.requests() == []


def test_a_planned_path_that_robots_txt_disallows_is_not_requested(sandbox):
    def closed(request, answer):
        if request.path == "/robots.txt":
            return Answer(200, b"User-agent: *\nDisallow: /people/\n", "text/plain")
        return answer(request)

    crawl = sandbox(1, faults=closed)
    assert "robots.txt disallows them" in crawl.run("ratings", status=3)
    assert {path.split("/")[1] for _, path in crawl.requests()} == {"subject"}


def test_a_page_that_fails_again_and_again_leaves_the_stage_unfinished_until_it_heals(sandbox):
    broken = []

    def break_one(request, answer):
        broken.append(request.target) if "/collect" in request.path and not broken else None
        return Answer(500, b"") if broken[:1] == [request.target] else answer(request)

    crawl = sandbox(1, faults=break_one)
    message = crawl.run("ratings", "--attempts", "3", status=4)
    assert message.startswith("crawler: 1 pages failed 3 times each (mostly: ")
    assert Counter(crawl.requests())[("movie", broken[0])] == 3
    broken[0] = "healed"
    crawl.run("ratings")
    assert crawl.pages("failed") == set()


def test_between_two_requests_to_a_host_lies_the_delay_and_never_two_are_out_at_once(sandbox):
    crawl = sandbox(1, faults=lambda request, answer: replace(answer(request), delay_s=0.03))
    output = crawl.run("ratings", "--delay-s", "0.2", "--max-requests", "6")
    assert "--max-requests" in output
    requests = crawl.server.requests
    assert [request.path for request in requests][:1] == ["/robots.txt"]
    assert len(requests) == 7
    assert all(later.started_at_s - earlier.ended_at_s >= 0.2 for earlier, later in pairwise(requests))
    assert all("(+local test)" in request.user_agent for request in requests)
