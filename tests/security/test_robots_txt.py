"""robots.txt cannot lose its force: not by its age, not by its encoding, not by being something else."""

import subprocess
import sys
import time

import pytest
from protego import Protego

from crawler.spiders import robots
from crawler.spiders.politeness import Politeness
from crawler.spiders.robots import HostRules, read_robots
from dataset.errors import RefusedError

AGENT = "douban-keyframes/0.1"
POLITENESS = Politeness(False, 0.0, 1, None, 5.0, 5, 0.0)
RULES = "User-agent: *\nDisallow: /people/\n"
LIST = '<html><div id="comments">{shown}</div>{following}</html>'
NEXT = '<div id="paginator"><a class="next" href="?start={start}">x</a></div>'
COMMENT = '<div class="comment-item"><div class="avatar"><a href="{site}/people/ann{n}/">x</a></div></div>'

# A crawl whose robots.txt is old after half a second.
CRAWL = """
import sys
from crawler.spiders import robots
robots.MAX_AGE_S = 0.5
from crawler.__main__ import app
from dataset.cli import run
run(app)
"""


def _crawl_for_days(hostile, tmp_path, *options):
    command = [sys.executable, "-c", CRAWL, "ratings", "--crawl", tmp_path / "crawl", "--site-urls", hostile.urls]
    return subprocess.run([*command, "--delay-s", "0.15", *options], capture_output=True, text=True, check=False)


def _endless_comments(hostile, page):
    def answer(path):
        if "/comments" not in path:
            return page("", status=b"404 Not Found")
        n = int(path.partition("start=")[2].partition("&")[0])
        shown = COMMENT.format(site=hostile[0].base, n=n)
        return page(LIST.format(shown=shown, following=NEXT.format(start=n + 20)))

    return answer


def test_a_long_crawl_reads_robots_txt_again_and_obeys_what_it_says_then(site, page, tmp_path):
    hostile, n_read = [], 0

    def answer(path):
        nonlocal n_read
        if path != "/robots.txt":
            return _endless_comments(hostile, page)(path)
        n_read += 1
        return page("User-agent: *\nDisallow: /x\n" if n_read < 4 else RULES, b"text/plain")

    hostile.append(site(answer, robots=None))
    done = _crawl_for_days(hostile[0], tmp_path, "--movies", "1")
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    assert "robots.txt disallows them" in done.stderr
    assert n_read >= 4
    paths = [path for path, *_ in hostile[0].requests]
    since_then = paths[[n for n, path in enumerate(paths) if path == "/robots.txt"][3] :]
    assert not [path for path in since_then if "/people/" in path]


@pytest.mark.parametrize("status", [b"403 Forbidden", b"503 Busy"])
def test_a_robots_txt_that_cannot_be_read_any_more_stops_a_long_crawl(site, page, tmp_path, status):
    hostile, n_read = [], 0

    def answer(path):
        nonlocal n_read
        if path != "/robots.txt":
            return _endless_comments(hostile, page)(path)
        n_read += 1
        return page("User-agent: *\nDisallow: /x\n", b"text/plain", b"200 OK" if n_read < 4 else status)

    hostile.append(site(answer, robots=None))
    done = _crawl_for_days(hostile[0], tmp_path, "--movies", "1,2,3")
    assert done.returncode == 3, done.stderr
    assert "no valid robots.txt" in done.stderr
    assert hostile[0].requests[-1][0] == "/robots.txt"


def test_robots_txt_is_old_after_a_day_and_when_the_clock_was_set_back(monkeypatch):
    assert robots.MAX_AGE_S == 24 * 3600
    rules = HostRules(5.0, Protego.parse(""), 0.0)
    assert not rules.are_old()
    for later_s in (24 * 3600 + 1, -3600):
        monkeypatch.setattr(time, "time", lambda later_s=later_s, now=rules.read_on: now + later_s)
        assert rules.are_old()
        monkeypatch.undo()


@pytest.mark.parametrize(
    "body",
    [
        RULES.encode("utf-16"),
        RULES.encode("utf-16-le"),
        RULES.encode("utf-16-be"),
        b"\xff\xfe" + RULES.encode("utf-16-le"),
        b"\xfe\xff" + RULES.encode("utf-16-be"),
        RULES.encode("utf-32"),
        RULES.encode("utf-8-sig"),
        RULES.encode("cp037"),
        RULES.replace("\n", "\r").encode(),
        RULES.replace("\n", "\u2028").encode(),
        "# 豆瓣\n".encode("gb18030") + RULES.encode(),
        RULES.encode() + b"\0\0",
        b"\0" + RULES.encode(),
        b"page not found",
        b"{}",
    ],
)
def test_in_no_encoding_does_robots_txt_allow_what_it_forbids(site, page, body):
    hostile = site(lambda path: page(body, b"text/plain"), robots=None)
    try:
        rules = read_robots({"movie": hostile.base}, POLITENESS, AGENT)["movie"]
    except RefusedError as refused:
        assert "no valid robots.txt" in str(refused)  # noqa: PT017 - either is right
    else:
        assert not rules.allows(f"{hostile.base}/people/ann/collect", AGENT)
        assert rules.allows(f"{hostile.base}/subject/1/", AGENT)


@pytest.mark.parametrize(
    "body", [b"", b"# nothing is forbidden\n", b"\xef\xbb\xbf", b"Sitemap: https://x.example/s.xml\n"]
)
def test_an_empty_robots_txt_allows_everything(site, page, body):
    hostile = site(lambda path: page(body, b"text/plain"), robots=None)
    assert read_robots({"movie": hostile.base}, POLITENESS, AGENT)["movie"].allows(f"{hostile.base}/people/x/", AGENT)
