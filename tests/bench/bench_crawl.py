"""A crawl of the sandbox with politeness off, against a bare Scrapy spider that only fetches the same pages.

Both use the same concurrency and take turns on one warm sandbox, which runs in another process. The
time is from the first request to the last answer in the sandbox's log. The crawl's pages differ a
little between runs: a person found through two comments is read under one of two uids.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from run import Result

from crawler.spiders.politeness import SANDBOX_CONCURRENCY

N_USERS, N_MOVIES = 1500, 200
BARE = """
import sys
from pathlib import Path
import scrapy
from scrapy.crawler import CrawlerProcess

class Bare(scrapy.Spider):
    name = "bare"
    async def start(self):
        for url in Path(sys.argv[1]).read_text().split():
            yield scrapy.Request(url, dont_filter=True)
    def parse(self, response):
        pass

n = int(sys.argv[2])
process = CrawlerProcess({
    "CONCURRENT_REQUESTS": n, "CONCURRENT_REQUESTS_PER_DOMAIN": n, "ROBOTSTXT_OBEY": False, "COOKIES_ENABLED": False,
    "RETRY_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False, "LOG_LEVEL": "ERROR",
    "DOWNLOAD_DELAY": 0,
})
process.crawl(Bare)
process.start()
"""


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_sandbox(folder, N_USERS, N_MOVIES) as site:
            _, requests = _timed(folder, lambda: crawl(folder, "ratings", 0))  # warms the sandbox too
            urls = folder / "urls.txt"
            urls.write_text("\n".join(site["movie"] + request["path"] for request in requests))
            fetch = [sys.executable, "-c", BARE, str(urls), str(SANDBOX_CONCURRENCY)]
            ours: list[float] = []
            bare: list[float] = []
            for number in range(1, 6):
                works = [(bare, partial(run, fetch)), (ours, partial(crawl, folder, "ratings", number))]
                for found, work in works if number % 2 else reversed(works):
                    seconds, fetched = _timed(folder, work)
                    found.append(len(fetched) / seconds)
    what = f"crawl {len(requests):,} pages, parsed and stored"
    return [Result(what, statistics.median(ours), "bare Scrapy, fetching", statistics.median(bare), "pages/s")]


@contextmanager
def open_sandbox(folder, n_users, n_movies):
    """Serve a sandbox from another process; yield the content of its site file."""
    site_file, log = folder / "site.json", folder / "requests.jsonl"
    options = ["--port", "0", "--users", str(n_users), "--movies", str(n_movies)]
    command = [sys.executable, "-m", "crawler", "sandbox", *options, "--site-file", str(site_file), "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sandbox:
        try:
            while not site_file.exists():
                if sandbox.poll() is not None:
                    raise SystemExit("the sandbox did not open")
                time.sleep(0.1)
            yield json.loads(site_file.read_text())
        finally:
            sandbox.send_signal(signal.SIGTERM)


def crawl_command(folder, stage, number):
    """Return the command that runs a stage into a folder of its own."""
    where = ["--crawl", str(folder / f"crawl-{number}"), "--site-file", str(folder / "site.json")]
    return [sys.executable, "-m", "crawler", stage, *where]


def crawl(folder, stage, number):
    run(crawl_command(folder, stage, number))


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TERM": "dumb"}, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def _timed(folder, work):
    """Do some work; return the seconds from its first request to its last answer, and the requests."""
    with (folder / "requests.jsonl").open() as log:
        log.seek(0, os.SEEK_END)
        work()
        logged = [json.loads(line) for line in log]
    requests = [one for one in logged if one["path"] != "/robots.txt"]
    return requests[-1]["ended_at_s"] - requests[0]["started_at_s"], requests
