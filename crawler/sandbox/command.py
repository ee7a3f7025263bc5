"""The command `python -m crawler sandbox`: serve an invented world until Ctrl-C.

While it runs, its site file holds the addresses of the three hosts and the movies to start from.
"""

import argparse
import json
import os
import signal
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from crawler.sandbox.server import SandboxServer
from crawler.sandbox.switches import HELP, faults_from
from crawler.sandbox.world import WorldConfig, generate_world
from dataset.cli import whole_number
from dataset.files import write_json

_LAST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of the world; equal seeds give equal worlds"
    )
    parser.add_argument("--users", type=whole_number(), default=300, help="number of people")
    parser.add_argument("--movies", type=whole_number(), default=120, help="number of movies")
    parser.add_argument(
        "--port",
        type=whole_number(0, _LAST_PORT - 2),
        default=8801,
        help="the first of three consecutive ports; 0 takes any free ports",
    )
    parser.add_argument(
        "--site-file",
        type=Path,
        default=Path("data/sandbox/site.json"),
        help="file from which the crawler learns the addresses while the sandbox runs",
    )
    parser.add_argument("--faults", type=faults_from, default=None, metavar="FAULT,…", help=HELP)
    parser.add_argument("--log", type=Path, default=None, help="log file: one JSON line per request")


def run(arguments: argparse.Namespace) -> None:
    """Serve the sandbox until Ctrl-C or SIGTERM, then remove the site file.

    Raises:
        UsageError: a number is out of range.
        PipelineError: a port is in use, or a file cannot be written.
    """
    port = arguments.port
    config = WorldConfig(seed=arguments.seed, n_users=arguments.users, n_movies=arguments.movies)
    stop = threading.Event()
    before = {number: signal.signal(number, _set(stop)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        world = generate_world(config)
        ports = (port, port + 1, port + 2) if port else (0, 0, 0)
        with SandboxServer(world, ports, arguments.log, arguments.faults) as server:
            try:
                write_json(arguments.site_file, _site(server))
                _greet(server, arguments.site_file)
                stop.wait()
            finally:
                forget_site(arguments.site_file, os.getpid())
        print(f"The sandbox stopped after {len(server.requests):,} requests.", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def forget_site(site_file: Path, pid: int) -> None:
    """Remove the site file, unless a sandbox with another process id has overwritten it."""
    with suppress(OSError, ValueError, KeyError):
        if json.loads(site_file.read_text(encoding="utf-8"))["pid"] == pid:
            site_file.unlink()


def _set(stop: threading.Event) -> "signal._HANDLER":
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


def _greet(server: SandboxServer, site_file: Path) -> None:
    contents = server.world.contents
    n_ratings = sum(len(ratings) for ratings in contents.ratings_of.values())
    print(
        f"The sandbox is running: {len(contents.users):,} invented people, {len(contents.movies):,} movies, "
        f"{n_ratings:,} ratings, {len(contents.frames):,} pictures.\n"
        f"  Open it in a browser:            {server.site.movie}/\n"
        f"  Addresses for the crawler:       {site_file}\n"
        "  Crawl it from another terminal:  python -m crawler ratings\n"
        "Press Ctrl-C to stop it.",
        flush=True,
    )
