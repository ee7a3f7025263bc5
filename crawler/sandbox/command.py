"""Serves an invented world until Ctrl-C, as `python -m crawler sandbox` does.

While it runs, its site file holds the addresses of the four hosts and the movies to start from.
"""

import json
import os
import signal
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from crawler.sandbox.answers import ROLES
from crawler.sandbox.faults.switches import Switched
from crawler.sandbox.oddities import with_oddities
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from dataset.cli import say
from dataset.files import write_json

LAST_PORT = 65_535


def serve(
    config: WorldConfig, port: int, site_file: Path, faults: Switched | None = None, log: Path | None = None
) -> None:
    """Serve the sandbox until Ctrl-C or SIGTERM, then remove the site file.

    Args:
        config: the world.
        port: the first of four consecutive ports; 0: any free ports.
        site_file: where the addresses are written while the sandbox runs.
        faults: what goes wrong, and what is odd.
        log: log file: one JSON line per request.

    Raises:
        UsageError: a number is out of range.
        PipelineError: a port is in use, or a file cannot be written.
    """
    stop = threading.Event()
    before = {number: signal.signal(number, _setter_of(stop)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        world = generate_world(config)
        if faults:
            world = with_oddities(world, faults.oddities)
        ports = tuple(port and port + i for i in range(len(ROLES)))
        with SandboxServer(world, ports, log, faults.fault if faults else None) as server:
            try:
                write_json(site_file, _site(server))
                _print_start(server, site_file)
                stop.wait()
            finally:
                forget_site(site_file, os.getpid())
        say(f"The sandbox stopped after {len(server.requests):,} requests.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def forget_site(site_file: Path, pid: int) -> None:
    """Remove the site file, unless a sandbox with another process id has overwritten it."""
    with suppress(OSError, ValueError, KeyError):
        if json.loads(site_file.read_text(encoding="utf-8"))["pid"] == pid:
            site_file.unlink()


def _setter_of(stop: threading.Event) -> "signal._HANDLER":
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    return on_signal


def _site(server: SandboxServer) -> dict[str, object]:
    contents = server.world.contents
    return {
        **asdict(server.site),
        "seed_movie_ids": list(server.world.seed_movie_ids),
        "probe_movie_id": max(contents.comments_of, key=lambda id_: len(contents.frames_of.get(id_, ()))),
        "pid": os.getpid(),
        "config": asdict(server.world.config),
    }


def _print_start(server: SandboxServer, site_file: Path) -> None:
    contents = server.world.contents
    n_ratings = sum(len(ratings) for ratings in contents.ratings_of.values())
    say(
        f"The sandbox is running: {len(contents.users):,} invented people, {len(contents.movies):,} movies, "
        f"{n_ratings:,} ratings, {len(contents.frames):,} pictures.\n"
        f"  Open it in a browser:            {server.site.movie}/\n"
        f"  Addresses for the crawler:       {site_file}\n"
        "  Crawl it from another terminal:  python -m crawler ratings\n"
        "Press Ctrl-C to stop it.",
    )
