"""Memory of a crawl of 50,000 pages: how much it grows in 1,000 pages, after the first 10,000. Takes minutes."""

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_crawl import crawl_command, open_sandbox
from run import Result

from crawler.store import Ledger
from dataset.errors import PipelineError

N_PAGES, N_WARM = 50_000, 10_000
N_USERS, N_MOVIES = 20_000, 2_000
LIMIT_MIB = 0.1  # in 1,000 pages: 100 MiB in a million


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_sandbox(folder, N_USERS, N_MOVIES):
            points = _watch(folder)
    pages, sizes_mib = np.array([point for point in points if point[0] >= N_WARM]).T
    slope, _ = np.polyfit(pages / 1000, sizes_mib, 1)
    what = f"memory of {pages[-1]:,.0f} pages, growth in 1,000"
    print(f"  at {pages[0]:,.0f} pages {sizes_mib[0]:,.1f} MiB, at the end {sizes_mib[-1]:,.1f} MiB", flush=True)
    return [Result(what, slope, "limit", LIMIT_MIB, "MiB")]


def _watch(folder):
    """Crawl, and return (pages done, resident MiB) a few times a second."""
    command = [*crawl_command(folder, "ratings", 0), "--max-requests", str(N_PAGES)]
    points = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.5)
            try:
                with Ledger.read(folder / "crawl-0") as ledger:
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
