"""Fixtures for crawls of a sandbox: they run each command in its own process and compare the tables with the truth."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from crawler.archive.records import Origin
from crawler.archive.warc import Archive
from crawler.export import export
from crawler.kinds import KINDS, PERSONAL_KINDS, address
from crawler.kinds.kind import CrawlContext
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key
from crawler.plan import STAGES, phases_of, plan_phase
from crawler.process import process
from crawler.pseudonyms import Pseudonyms
from crawler.sandbox.answers import Request
from crawler.sandbox.oddities import Oddities, with_oddities
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.truth import crawl_truth
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.scope import Scope, Source
from dataset.schema import RAW_TABLES
from dataset.tables import canonical, read_table

FRAMES_KEPT = 2  # per movie, because drawing frames is slow


class Forks:
    """The process that runs `forks.py`: it starts the crawler's commands."""

    def __init__(self):
        program = [sys.executable, str(Path(__file__).with_name("forks.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *what):
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=10)


class Command:
    """A started command, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, forks, argv, folder):
        self._forks, self._output, self._errors = forks, folder / "output.txt", folder / "errors.txt"
        self.pid = forks.ask("start", argv, str(self._output), str(self._errors))
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            self.returncode = self._forks.ask("wait", self.pid, os.WNOHANG)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout_s=120):
        """Wait for the end; return what was printed, and the errors."""
        deadline = time.monotonic() + timeout_s
        while self.poll() is None:
            assert time.monotonic() < deadline, "the command does not end"
            time.sleep(0.01)
        return self._output.read_text(), self._errors.read_text()


class Crawl:
    """A sandbox, a crawl folder, and the commands run on it."""

    def __init__(self, server, folder, forks, has_faults=False):
        self.server, self.folder, self._forks = server, folder, forks
        self._not_compared = ("crawled_at", "position") if has_faults else ("crawled_at",)  # gaps move positions
        self.site_file = folder / "site.json"
        told = {**asdict(server.site), "seed_movie_ids": list(server.world.seed_movie_ids)}
        self.site_file.write_text(json.dumps({**told, "config": asdict(server.world.config)}))

    def start(self, command, *options):
        """Start a command; return it."""
        where = ["--crawl", str(self.folder / "crawl"), "--site-file", str(self.site_file)]
        if command in ("plan", *STAGES) and "--via" not in options:
            options = ("--via", "html", *options)
        return Command(self._forks, [command, *where, *options], self.folder)

    def run(self, command, *options, status=0):
        """Run a command to its end; return what it printed, or its last line of errors."""
        process = self.start(command, *options)
        output, errors = process.communicate()
        assert process.returncode == status, errors
        assert "Traceback" not in errors
        return errors.splitlines()[-1] if status else output

    def run_all(self, *options):
        """Run every stage to its end."""
        for stage in STAGES:
            self.run(stage, *options)

    def tables(self):
        """Return the exported tables."""
        export(self.folder / "crawl", self.folder / "raw")
        return {name: read_table(self.folder / "raw" / f"{name}.parquet", of) for name, of in RAW_TABLES.items()}

    def true_tables(self, **options):
        """Return what a complete crawl exports, with this crawl's pseudonyms."""
        of = Pseudonyms.open(self.folder / "crawl" / "pseudonym.key").of
        return {
            name: table.with_columns(pl.col("user_id").map_elements(of, pl.String))
            if "user_id" in table.columns
            else table
            for name, table in crawl_truth(self.server.world, site=self.server.site, **options).items()
        }

    def require_truth(self, tables=tuple(RAW_TABLES), without_picture=lambda frame_id: False, **options):
        """Check the exported tables, row by row, against the truth."""
        found, true = self.tables(), self.true_tables(**options)
        lost = [frame_id for frame_id in true["images"]["frame_id"] if without_picture(frame_id)]
        true["images"] = true["images"].filter(~pl.col("frame_id").is_in(lost))
        for name in tables:
            one, other = (
                canonical(table.drop(self._not_compared, strict=False), RAW_TABLES[name])
                for table in (found[name], true[name])
            )
            assert one.height > 0
            assert_frame_equal(one, other)

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
        """Return every request except those for robots.txt, as (host, path with query)."""
        return [(request.host, request.path) for request in self.server.requests if request.path != "/robots.txt"]


@pytest.fixture(scope="session")
def forks():
    running = Forks()
    yield running
    running.close()


@pytest.fixture
def sandbox(tmp_path, forks):
    """Return a function that opens a sandbox and gives a `Crawl` of it."""
    servers = []

    def open_sandbox(seed=1, n_users=40, n_movies=20, faults=None, oddities=None, mean_ratings=18.0):
        world = with_oddities(_world(seed, n_users, n_movies, mean_ratings), oddities or Oddities())
        server = SandboxServer(world, faults=faults)
        servers.append(server.__enter__())
        return Crawl(server, tmp_path, forks, has_faults=faults is not None)

    yield open_sandbox
    for server in servers:
        server.__exit__(None, None, None)


@lru_cache
def _world(seed, n_users, n_movies, mean_ratings):
    """Return a world with few frames: only the largest list of photos, if it has several pages, stays whole."""
    world = generate_world(WorldConfig(seed, n_users, n_movies, mean_ratings))
    contents = world.contents
    largest = max(contents.frames_of, key=lambda movie_id: len(contents.frames_of[movie_id]))
    contents.frames_of = {
        movie: frames if movie == largest and len(frames) > 40 else frames[:FRAMES_KEPT]
        for movie, frames in contents.frames_of.items()
    }
    kept = {frame.frame_id for frames in contents.frames_of.values() for frame in frames}
    contents.frames = {frame_id: frame for frame_id, frame in contents.frames.items() if frame_id in kept}
    contents.likers_of = {frame_id: likes for frame_id, likes in contents.likers_of.items() if frame_id in kept}
    contents.likes_of = {
        user: [like for like in likes if like.frame_id in kept] for user, likes in contents.likes_of.items()
    }
    return world


@pytest.fixture(scope="session")
def read_all():
    """Return a function that reads all pages of a crawl from a sandbox; only Scrapy and the network are left out."""

    def read(server, crawl_dir, scope=None, stages_to_read=STAGES):
        world = server.world
        scope = scope or Scope(movie_ids=world.seed_movie_ids, liker_sources=("photo_page", "user_likes"))
        source = Source("sandbox", asdict(world.config))
        requests = []
        with (
            Ledger.open(crawl_dir, source, PERSONAL_KINDS) as ledger,
            Archive(crawl_dir, Origin(source, server.site, scope)) as archive,
        ):
            context = CrawlContext(ledger, server.site, scope)
            for phase in (phase for stage in stages_to_read for phase in phases_of(stage, scope)):
                plan_phase(context, phase)
                while batch := ledger.pending([kind.name for kind in phase], 0, 1):
                    requests.append(batch[0].key)
                    process(batch[0], _answer_from(server, batch[0].key), context, archive)
        return requests

    return read


def _answer_from(server, key):
    """Return what a sandbox answers, without using the network."""
    url = address(server.site, key)
    target = url.removeprefix(server.site.hosts[KINDS[key.kind].host])
    given = server.respond(Request(KINDS[key.kind].host, "GET", target, {"referer": "https://www.douban.com/"}))
    location = dict(given.headers).get("Location")
    return Answer(given.status, url, given.body, location, given.content_type, datetime.now(UTC).timestamp())
