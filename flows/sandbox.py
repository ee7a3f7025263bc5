"""The sandbox site as a child process of a flow."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from dataset.errors import PipelineError

_START_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 10


@contextmanager
def sandbox_site(site_file: Path, seed: int, n_users: int, n_movies: int, port: int) -> Iterator[dict[str, Any]]:
    """Serve the sandbox while the context is open; a running one over the same world is used as it is.

    Yields:
        The content of its site file: the three addresses and the movies to start from.

    Raises:
        PipelineError: it does not start, for example because the port is taken.
    """
    wanted = {"seed": seed, "n_users": n_users, "n_movies": n_movies}
    running = _running(site_file, wanted)
    if running is not None:
        yield running
        return
    site_file.unlink(missing_ok=True)
    options = {"--seed": seed, "--users": n_users, "--movies": n_movies, "--port": port, "--site-file": site_file}
    command = [sys.executable, "-m", "crawler", "sandbox", *(str(part) for pair in options.items() for part in pair)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield _wait(site_file, server)
    finally:
        server.terminate()
        try:
            server.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()


def _running(site_file: Path, wanted: dict[str, int]) -> dict[str, Any] | None:
    try:
        site: dict[str, Any] = json.loads(site_file.read_text(encoding="utf-8"))
        same = all(site["config"][key] == value for key, value in wanted.items())
        return site if same and requests.get(f"{site['movie']}/robots.txt", timeout=5).ok else None
    except (OSError, ValueError, KeyError, requests.RequestException):
        return None


def _wait(site_file: Path, server: "subprocess.Popen[str]") -> dict[str, Any]:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = server.stderr.read().strip() if server.stderr else ""
            raise PipelineError(f"the sandbox does not start: {said}")
        try:
            return dict(json.loads(site_file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            time.sleep(0.1)
    raise PipelineError(f"the sandbox does not start within {_START_TIMEOUT_S} s")
