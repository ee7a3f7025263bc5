"""A Prefect server for the project: an existing one, or one that we start."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
from prefect.settings import get_current_settings

from dataset.errors import PipelineError, UsageError
from flows.children import stop

START_TIMEOUT_S = 120
_OWN_SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # keeps the leases of `flows.limits` when the server restarts
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # `prefect deployment run --watch` shows the logs of the tasks
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
}


@contextmanager
def prefect_server(api_url: str, log: Path, home: Path | None = None) -> Iterator[bool]:
    """Make sure that a Prefect server answers at `api_url` while the context is open.

    A server that was started here ends with the context.

    Args:
        api_url: for example `http://127.0.0.1:4200/api`.
        log: log file of a server that is started here.
        home: Prefect's folder (database) for a server that is started here; None: the user's own.

    Yields:
        Whether the server was started here.

    Raises:
        UsageError: no server answers, and the address is on another machine.
        PipelineError: the server does not start.
    """
    if is_healthy(api_url):
        yield False
        return
    address = urlsplit(api_url)
    if address.hostname not in ("127.0.0.1", "localhost"):
        raise UsageError(
            f"no Prefect server answers at {api_url}; start it, or set PREFECT_API_URL to an address on this machine"
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **_OWN_SERVER}
    if home is not None:
        environment["PREFECT_HOME"] = str(home.resolve())
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(address.port)]
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        _wait_until_healthy(api_url, server, log)
        yield True
    finally:
        stop(server)


def current_api_url() -> str:
    """Return the address of the Prefect server in the user's settings, by default this machine."""
    return str(get_current_settings().api.url or "http://127.0.0.1:4200/api")


def is_healthy(api_url: str) -> bool:
    """Return whether a Prefect server answers at `api_url`."""
    try:
        return requests.get(f"{api_url.rstrip('/')}/health", timeout=5).ok
    except requests.RequestException:
        return False


def _wait_until_healthy(api_url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_healthy(api_url):
        if server.poll() is not None or time.monotonic() > deadline:
            raise PipelineError(f"the Prefect server does not start at {api_url}; see its log {log}")
        time.sleep(0.3)
