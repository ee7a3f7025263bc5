"""Memory of a crawl of 50,000 pages: how much it grows per 1,000 pages, after the first 10,000. It takes minutes.

The pages are collections, as most of a crawl's are, from a stand-in server that only fills in a
template: drawing a sandbox's world of that size would take most of the time.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from run import Result

from crawler.ledger.ledger import Ledger
from dataset.errors import PipelineError

N_PAGES, N_WARM = 50_000, 10_000
PAGES_A_USER, ITEMS_A_PAGE, N_MOVIES = 5, 15, 2_000
LIMIT_MIB = 0.1  # per 1,000 pages: 100 MiB per million
PAGE = """<!DOCTYPE html><html><head><title>X看过的影视</title></head><body><div id="content">
<div id="db-usr-profile"><div class="pic"><a href="/people/{uid}/"><img src="/icon/u{uid}-1.jpg"></a></div>
<div class="info"><h1>X看过的影视({total})</h1></div></div><div class="article"><div class="grid-view">{items}</div>
<div class="paginator">{following}</div></div></div></body></html>"""
ITEM = """<div class="item comment-item" data-cid="1"><div class="pic"><a href="/subject/{movie}/"><img src="/p.jpg">
</a></div><div class="info"><ul><li class="title"><a href="/subject/{movie}/"><em>某部电影</em> / Some Film</a></li>
<li class="intro">2001-09-01(某国) / 剧情 / 喜剧</li>
<li><span class="rating4-t"></span> <span class="date">2024-04-19</span></li></ul></div></div>"""


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        points = _watch(Path(name))
    pages, sizes_mib = np.array([point for point in points if point[0] >= N_WARM]).T
    slope, _ = np.polyfit(pages / 1000, sizes_mib, 1)
    what = f"memory of {pages[-1]:,.0f} pages, growth in 1,000"
    print(f"  at {pages[0]:,.0f} pages {sizes_mib[0]:,.1f} MiB, at the end {sizes_mib[-1]:,.1f} MiB", flush=True)
    return [Result(what, slope, "limit", LIMIT_MIB, "MiB")]


def _watch(folder):
    """Crawl, and return (pages done, resident MiB) a few times a second."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as server:
        try:
            base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            where = ["--crawl", str(folder / "crawl"), "--site-urls", ",".join([base] * 3)]
            users = ",".join(str(10_000 + n) for n in range(-(-N_PAGES // PAGES_A_USER)))
            scope = ["--users", users, "--max-requests", str(N_PAGES)]
            return _points(folder / "crawl", [sys.executable, "-m", "crawler", "ratings", *where, *scope])
        finally:
            server.terminate()


def _points(crawl_dir, command):
    points = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.5)
            try:
                with Ledger.read(crawl_dir) as ledger:
                    n = ledger.value("SELECT count(*) FROM pages WHERE state IN ('done', 'gone')")
                points.append((n, _resident_mib(process.pid)))
            except (OSError, PipelineError, IndexError):  # not begun, or just ended
                continue
    if process.returncode:
        raise SystemExit(f"the crawl ended with status {process.returncode}")
    return points


def _resident_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _page(target):
    url = urlsplit(target)
    if url.path == "/robots.txt":
        return b"User-agent: *\n", "text/plain"
    uid, start = url.path.split("/")[2], int(parse_qs(url.query)["start"][0])
    movies = ((int(uid) * 31 + start + n) % N_MOVIES + 1 for n in range(ITEMS_A_PAGE))
    items = "".join(ITEM.format(movie=movie) for movie in movies)
    after, total = start + ITEMS_A_PAGE, PAGES_A_USER * ITEMS_A_PAGE
    following = f'<span class="next"><a href="?start={after}">next</a></span>' if after < total else ""
    return PAGE.format(uid=uid, total=total, items=items, following=following).encode(), "text/html; charset=utf-8"


async def _answer(reader, writer):
    while line := await reader.readline():
        while (await reader.readline()).strip():
            pass
        body, kind = _page(line.split()[1].decode())
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
    writer.close()


async def _serve():
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
