"""The sandbox site as a child process of a flow."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from dataset.errors import PipelineError
from dataset.files import write_text
from flows.children import start, stop

_START_TIMEOUT_S = 120
_KNOWN_KEY = "0" * 64


@contextmanager
def sandbox_site(site_file: Path, seed: int, n_users: int, n_movies: int, port: int) -> Iterator[None]:
    """Serve the sandbox while the context is open; a running one over the same world is used as it is.

    Args:
        site_file: where it says its three addresses and the movies to start from; the crawler reads it.
        seed: of the world.
        n_users: people in the world.
        n_movies: movies in the world.
        port: the first of three.

    Raises:
        PipelineError: it does not start, for example because the port is taken.
    """
    wanted = {"seed": seed, "n_users": n_users, "n_movies": n_movies}
    if _is_running(site_file, wanted):
        yield
        return
    site_file.unlink(missing_ok=True)
    options = {"--seed": seed, "--users": n_users, "--movies": n_movies, "--port": port, "--site-file": site_file}
    command = [sys.executable, "-m", "crawler", "sandbox", *(str(part) for pair in options.items() for part in pair)]
    server = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _wait(site_file, server)
        yield
    finally:
        stop(server)


def use_known_key(crawl_folder: Path) -> None:
    """Give a crawl of the sandbox a pseudonym key that everybody knows, unless it has one.

    Nobody in it needs protection, and so the same world gives the same user ids, the same split
    and the same results on every machine.
    """
    key = crawl_folder / "pseudonym.key"
    if not key.exists():
        write_text(key, _KNOWN_KEY + "\n")
        key.chmod(0o600)


def _is_running(site_file: Path, wanted: dict[str, int]) -> bool:
    try:
        site = json.loads(site_file.read_text(encoding="utf-8"))
        same = all(site["config"][key] == value for key, value in wanted.items())
        return bool(same and requests.get(f"{site['movie']}/robots.txt", timeout=5).ok)
    except (OSError, ValueError, KeyError, requests.RequestException):
        return False


def _wait(site_file: Path, server: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not site_file.is_file():
        if server.poll() is not None:
            said = server.stderr.read().strip() if server.stderr else ""
            raise PipelineError(f"the sandbox does not start: {said}")
        if time.monotonic() > deadline:
            raise PipelineError(f"the sandbox does not start within {_START_TIMEOUT_S} s")
        time.sleep(0.1)
