"""An endless or explosive answer costs little memory and time, and is recorded as a failure of that kind."""

import gzip
import itertools
import re
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

import brotli
import pytest

from crawler.kinds.movie import parse_movie
from crawler.kinds.photo import parse_photo_likers
from crawler.kinds.refusal import classify
from crawler.kinds.tree import MAX_PAGE_BYTES, select, tree_of
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, NotUnderstood, TooMuch
from crawler.spiders.politeness import Politeness
from crawler.spiders.robots import host_rules
from dataset.errors import RefusedError

TIMEOUT_S = 2
MOST_MIB = 700  # the promise is 2 GiB
MOST_S = 30  # the promise is 60 s
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"


def _for_ever(part, begin=b""):
    return itertools.chain([begin], itertools.repeat(part))


def _slowly(part, begin=b""):
    yield begin
    while True:
        time.sleep(0.2)
        yield part


def _coded(body, encoding):
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(body)) + body


def _html(body):
    body = body if isinstance(body, bytes) else body.encode()
    return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _attributes(n, between=""):
    return "<html><p " + " ".join(f"a{i}{between}" for i in range(n)) + ">x</html>"


TIMED_OUT = f"no complete answer within {TIMEOUT_S} s"
BLOCK = b"x" * 65_536
ZEROS = bytes(200 << 20)
BOMB = gzip.compress(ZEROS, 1)
OTHER_BOMBS = zlib.compress(ZEROS, 1), brotli.compress(ZEROS, quality=0)
ANSWERS = {  # what is sent, and what the ledger says of it
    "a body without end": (lambda: _for_ever(BLOCK, OK + b"\r\n"), "larger than"),
    "a body longer than it says": (
        lambda: _for_ever(BLOCK, OK + b"Content-Length: 99999999999\r\n\r\n"),
        "larger than",
    ),
    "chunks without end": (
        lambda: _for_ever(b"10000\r\n" + BLOCK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        "larger than",
    ),
    "a chunk's extension without end": (
        lambda: _for_ever(BLOCK, OK + b"Transfer-Encoding: chunked\r\n\r\n5;"),
        "",
    ),
    "trailers without end": (
        lambda: _for_ever(b"X: " + BLOCK[:999] + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        "",
    ),
    "a gzip bomb": (lambda: _coded(BOMB, b"gzip"), "larger than"),
    "a deflate bomb": (lambda: _coded(OTHER_BOMBS[0], b"deflate"), "larger than"),
    "a brotli bomb": (lambda: _coded(OTHER_BOMBS[1], b"br"), "larger than"),
    "a bomb in a bomb": (lambda: _coded(gzip.compress(BOMB), b"gzip, gzip"), "larger than"),
    "layers without end": (lambda: _coded(gzip.compress(b"x"), b"gzip," * 999 + b"gzip"), "compressed more than"),
    "headers without end": (lambda: _for_ever(b"X-Y: " + BLOCK[:999] + b"\r\n", OK), "bytes of headers"),
    "many short headers": (lambda: _for_ever(b"a:\r\n" * 999, OK), "bytes of headers"),
    "one header without end": (lambda: _for_ever(BLOCK, OK + b"X-Y: "), ""),
    "a folded header without end": (lambda: _for_ever(b" y" * 999 + b"\r\n", OK + b"X-Y: 1\r\n"), "bytes of headers"),
    "a status line without end": (lambda: _for_ever(BLOCK, b"HTTP/1.1 200 "), ""),
    "Continue without end": (lambda: _for_ever(b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" * 99), "bytes of headers"),
    "a slow body": (lambda: _slowly(b"x", OK + b"\r\n"), TIMED_OUT),
    "slow headers": (lambda: _slowly(b"X: y\r\n", OK), TIMED_OUT),
    "no answer": (lambda: _slowly(b""), TIMED_OUT),
    "300,000 attributes": (lambda: _html(_attributes(300_000)), "larger than|a tag or comment"),
    "150,000 attributes": (lambda: _html(_attributes(150_000)), "a tag or comment"),
    "attributes that hide behind quotes": (lambda: _html(_attributes(100_000, "='>'")), "a tag or comment"),
    "attributes in many tags": (
        lambda: _html("<html>" + _attributes(4_000).removeprefix("<html>") * 20 + "</html>"),
        "not understood",
    ),
    "a million tags": (lambda: _html("<html>" + "<p>x" * 500_000 + "</html>"), "tags"),
    "a deep page": (lambda: _html("<html>" + "<div>" * 15_000 + "</html>"), "nested"),
    "a deep short page": (lambda: _html("<html>" + "<b>" * 400 + "</html>"), "nested"),
    "a comment without end": (lambda: _html("<html><!--" + "- " * 900_000 + "--></html>"), "a tag or comment"),
    "comments in comments": (lambda: _html("<html>" + "<!--" * 19_000 + "</html>"), "a tag or comment"),
    "forms without end": (lambda: _html("<html>" + "<form " * 19_000 + "</html>"), "a tag or comment"),
    "half a form, again and again": (lambda: _html("<html>" + "<form" * 400_000 + "</html>"), "tags"),
    "entities": (lambda: _html("<html>" + "&lt;" * 400_000 + "</html>"), "not understood"),
}


reads_peak_memory = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak memory of a process in /proc, which only Linux has"
)


def _peak_mib(pid):
    try:
        return int(re.search(r"VmHWM:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())[1]) >> 10
    except (OSError, TypeError):
        return 0


def _watched(command):
    """Wait for a command; return its exit status, what it printed, its peak memory, and the seconds it took."""
    began, peak = time.monotonic(), 0
    while command.poll() is None:
        peak = max(peak, _peak_mib(command.pid))
        assert time.monotonic() - began < 2 * MOST_S
        time.sleep(0.01)
    return command.returncode, "".join(command.communicate()), peak, time.monotonic() - began


def _failures(crawl_dir):
    with Ledger.read(crawl_dir) as ledger:
        return dict(ledger.execute("SELECT subject, cause FROM pages WHERE state = 'failed'"))


@reads_peak_memory
def test_such_pages_neither_fill_the_memory_nor_stop_the_crawl(site, start, tmp_path):
    names = dict(enumerate(ANSWERS, 1))
    hostile = site(lambda path: ANSWERS[names[int(path.split("/")[2])]][0]())
    options = ["--site-urls", hostile.urls, "--attempts", 1, "--timeout-s", TIMEOUT_S, "--delay-s", 0.001]
    status, told, peak_mib, seconds = _watched(
        start("ratings", "--crawl", tmp_path / "crawl", "--movies", ",".join(map(str, names)), *options)
    )
    assert "Traceback" not in told
    assert status == 4, told
    assert len(told.splitlines()) == 1
    found = _failures(tmp_path / "crawl")
    other = {name: found.get(str(n)) for n, name in names.items() if not re.search(ANSWERS[name][1], found[str(n)])}
    assert not other
    assert peak_mib < MOST_MIB
    assert seconds < MOST_S


@reads_peak_memory
@pytest.mark.parametrize("name", ["a body without end", "a gzip bomb", "many short headers"])
def test_many_at_once_do_not_fill_it_either(site, start, tmp_path, name):
    given = ANSWERS[name][0]()
    hostile = site(lambda path: given if isinstance(given, bytes) else ANSWERS[name][0]())
    options = ["--site-urls", hostile.urls, "--attempts", 1, "--timeout-s", TIMEOUT_S]
    status, told, peak_mib, seconds = _watched(
        start("ratings", "--crawl", tmp_path / "crawl", "--movies", ",".join(map(str, range(1, 17))), *options)
    )
    assert status == 4, told
    assert len(_failures(tmp_path / "crawl")) == 16
    assert peak_mib < MOST_MIB
    assert seconds < MOST_S


ROBOTS = {
    **{name: given for name, (given, _) in ANSWERS.items() if re.search("body|headers|trailer|Continue|status", name)},
    "a gzip bomb": lambda: _plain(BOMB, b"Content-Encoding: gzip\r\n"),
    "gzip members without end": lambda: _plain(gzip.compress(b"") * 20_000, b"Content-Encoding: gzip\r\n"),
    "a text without end": lambda: _for_ever(b"# x\n" * 9_999, OK.replace(b"html", b"plain") + b"\r\n"),
    "every group with every rule": lambda: _plain(
        b"".join(b"User-agent: a%d\n" % i for i in range(9_000)) + b"Disallow: /x\n" * 20_000
    ),
    "an agent again and again": lambda: _plain(b"User-agent: a\n" * 30_000),
}


def _plain(body, headers=b""):
    return OK.replace(b"html", b"plain") + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


READ_ROBOTS = """
import re, sys, time
from crawler.spiders.politeness import Politeness
from crawler.spiders.robots import read_robots
from dataset.errors import RefusedError
for base in sys.argv[2:]:
    began = time.monotonic()
    try:
        read_robots({"movie": base}, Politeness(False, 0.0, 1, None, float(sys.argv[1]), 1, 0.0), "x")
        print("allowed")
    except RefusedError as refused:
        print(refused)
    print(time.monotonic() - began)
print(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])  # ru_maxrss would count the parent's
"""


@reads_peak_memory
def test_such_a_robots_txt_neither_fills_the_memory_nor_stops_the_command(site):
    bases = [site(lambda path, given=given: given(), robots=None).base for given in ROBOTS.values()]
    told = subprocess.run(
        [sys.executable, "-c", READ_ROBOTS, str(TIMEOUT_S), *bases], capture_output=True, text=True, check=True
    )
    *found, peak_kib = told.stdout.splitlines()
    assert not told.stderr
    for name, outcome, seconds in zip(ROBOTS, found[::2], found[1::2], strict=True):
        assert "no valid robots.txt" in outcome, name
        assert float(seconds) < MOST_S, name
    assert int(peak_kib) >> 10 < MOST_MIB


QUICK = {
    "blank lines in robots.txt": lambda: host_rules_of("\n" * 500_000),
    "blanks before comments": lambda: host_rules_of((" " * 5_000 + "#\n") * 100),
    "stars in a rule": lambda: host_rules_of("User-agent: *\nDisallow: /" + "*a" * 9_000 + "b\n").allows(
        "https://movie.douban.com/" + "a" * 2_000, "x"
    ),
    "a form without end": lambda: classify(Answer(200, "https://movie.douban.com/", b"<form " * 300_000)),
    "half attributes": lambda: classify(Answer(200, "https://movie.douban.com/", b"id= action= " * 100_000)),
    "digits in a like widget": lambda: _read_photo("1" * 1_000_000),
    "people in a like widget": lambda: _read_photo("1" * 9 + " 人" * 300_000),
    "a title without end": lambda: _read_movie("a" * 900_000),
    "blanks in a title": lambda: _read_movie("a " + " " * 900_000 + "(豆瓣)"),
}


def host_rules_of(text):
    return host_rules("https://movie.douban.com", text, Politeness(True, 5.0, 1, None, 5.0, 5, 0.0), "x")


def _read_photo(text):
    html = f'<html><a class="mainphoto"></a><span class="fav-num">{text}</span></html>'
    parse_photo_likers(html, "https://movie.douban.com/photos/photo/1/")


def _read_movie(title):
    heading = f'<h1><span property="v:itemreviewed">{title}b</span></h1>'
    html = f'<html><title>{title}</title>{heading}<div id="mainpic"><img alt="{title}c"></div><div id="info"></div>'
    parse_movie(html, "https://movie.douban.com/subject/1/")


@pytest.mark.parametrize("name", QUICK)
def test_no_text_takes_more_than_linear_time_to_read(name):
    began = time.process_time()
    with suppress(NotUnderstood, TooMuch, RefusedError):
        QUICK[name]()
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("selector", [".paginator .next a", "div span div span a", "#x a"])
def test_no_page_within_the_bounds_makes_a_query_slow(selector):
    nested = '<div class="paginator"><span class="next">' * 30 + '<a href="x"></a>' * 9_900
    began = time.process_time()
    select(tree_of(f"<html>{nested}</html>"), selector)
    assert time.process_time() - began < 5.0


def test_the_bounds_leave_room_for_every_real_page():
    tree_of("<html>" + "<div><p class='x'>text</p></div>" * 4_000 + "x" * 1_500_000 + "</html>")
    with pytest.raises(TooMuch):
        tree_of("<html>" + "x" * MAX_PAGE_BYTES)


def test_a_robots_txt_that_asks_for_an_absurd_delay_stops_the_crawl_instead_of_making_it_wait():
    for text in (
        "User-agent: *\nCrawl-delay: 99999999\n",
        "# Crawl-delay: 999999999\n",
        "User-agent: x\nCrawl-delay: 1e300",
    ):
        with pytest.raises(RefusedError, match="s between two requests"):
            host_rules_of(text)


@reads_peak_memory
def test_probe_has_the_same_bounds_for_its_pages(site, start, page):
    def answer(path):
        return ANSWERS["a body without end"][0]() if path == "/subject/1/" else _html(_attributes(100_000))

    status, told, peak_mib, seconds = _watched(
        start("probe", "--site-urls", site(answer).urls, "--timeout-s", TIMEOUT_S, "--movie", 1)
    )
    assert status == 0
    assert f"the answer is larger than {MAX_PAGE_BYTES:,} bytes" in told
    assert "the page has a tag or comment of more than" in told
    assert peak_mib < MOST_MIB
    assert seconds < MOST_S
