"""The sandbox site as a child process of a flow."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import requests

from crawler.pseudonyms import PUBLIC_KEY
from crawler.sandbox.world import WorldConfig
from dataset.errors import PipelineError
from dataset.files import write_text
from flows.children import options_from, start, stop

_START_TIMEOUT_S = 120


@contextmanager
def sandbox_site(site_file: Path, world: WorldConfig, port: int) -> Iterator[None]:
    """Serve the sandbox while the context is open, or use one that already serves the same world.

    Args:
        site_file: where the sandbox writes its four addresses and the movies to start from; the crawler reads it.
        world: the world to serve.
        port: the first of four ports.

    Raises:
        PipelineError: the sandbox does not start, for example because the port is in use.
    """
    if _is_running(site_file, world):
        yield
        return
    site_file.unlink(missing_ok=True)
    options = options_from(seed=world.seed, users=world.n_users, movies=world.n_movies, port=port, site_file=site_file)
    command = [sys.executable, "-m", "crawler", "sandbox", *options]
    server = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _wait(site_file, server)
        yield
    finally:
        stop(server)


def use_known_key(crawl_folder: Path) -> None:
    """Give a crawl of the sandbox a public pseudonym key, unless it has a key.

    The sandbox's people are invented and need no protection. With a public key, the same world gives the same
    user ids, the same split and the same results on every machine.
    """
    key = crawl_folder / "pseudonym.key"
    if not key.exists():
        write_text(key, PUBLIC_KEY.hex() + "\n")
        key.chmod(0o600)


def _is_running(site_file: Path, world: WorldConfig) -> bool:
    try:
        site = json.loads(site_file.read_text(encoding="utf-8"))
        return bool(site["config"] == asdict(world) and requests.get(f"{site['movie']}/robots.txt", timeout=5).ok)
    except (OSError, ValueError, KeyError, requests.RequestException):
        return False


def _wait(site_file: Path, server: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not site_file.is_file():
        if server.poll() is not None:
            message = server.stderr.read().strip() if server.stderr else ""
            raise PipelineError(f"the sandbox does not start: {message}")
        if time.monotonic() > deadline:
            raise PipelineError(f"the sandbox does not start within {_START_TIMEOUT_S} s; try again on an idle machine")
        time.sleep(0.1)
