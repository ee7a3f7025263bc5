"""A Prefect server for the project: one that answers already and asks for a login, or one that we start.

Prefect runs commands for whoever may use its API. So a server of ours asks for a secret (`flows.server.home`),
listens on this machine only, and answers no page of another origin. A server that answers already is used only if it
refuses requests without a login and accepts the one in Prefect's settings.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import get_client
from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from prefect.utilities.asyncutils import run_coro_as_sync

from dataset.errors import PipelineError, UsageError
from dataset.files import explain_write_errors
from flows.children import start, stop
from flows.server.home import Login, make_private, new_login, open_private, read_login, running_login

START_TIMEOUT_S = 120
LOG_FILE = "server.log"
_ANSWER_TIMEOUT_S = 10
_DEFAULT_URL = "http://127.0.0.1:4200/api"
_FREE_PORT = "set PREFECT_API_URL to a free port of this machine, for example http://127.0.0.1:4300/api"
_ELSEWHERE = "or set PREFECT_API_URL to another address"
_OWN_SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # keeps the leases of `flows.limits` when the server restarts
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # `prefect deployment run --watch` shows the logs of the tasks
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
    "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
}


@dataclass(frozen=True)
class Server:
    """A Prefect server that answers.

    Attributes:
        api_url: its address.
        environment: what a client in another process needs besides its own settings.
        is_started: whether it was started here.
    """

    api_url: str
    environment: dict[str, str]
    is_started: bool


@contextmanager
def prefect_server(home: Path, api_url: str | None = None, may_start: bool = True) -> Iterator[Server]:
    """Make sure that a Prefect server answers while the context is open; log this process and its children in.

    A server that was started here ends with the context.

    Args:
        home: Prefect's folder (database, log, login) for a server that is started here.
        api_url: for example `http://127.0.0.1:4200/api`; None: the server that runs in `home`, or a free port.
        may_start: whether a server may be started here.

    Raises:
        UsageError: no server answers, and none may be started at this address; or what answers cannot be trusted.
        PipelineError: the server does not start, or one runs in `home` at another address.
    """
    login = running_login(home)
    if login is not None and (api_url is None or _spelled(api_url) == login.api_url):
        _wait_until_it_answers(login, home)
        found = Server(login.api_url, _environment(home, login), is_started=False)
    elif api_url is not None and (status := status_of(api_url)) is not None:
        _check_server(api_url, status, read_login(home))
        found = Server(api_url, {"PREFECT_API_URL": api_url}, is_started=False)
    elif login is not None:
        raise PipelineError(
            f"{home}: a Prefect server runs in this folder already, at {login.api_url}; set PREFECT_API_URL to this "
            "address, or PREFECT_HOME to another folder"
        )
    elif not may_start:
        raise UsageError(f"no Prefect server answers at {api_url}; start one with python -m flows.serve, {_ELSEWHERE}")
    else:
        with _own_server(home, api_url) as started, _logged_in(started.environment):
            yield started
        return
    with _logged_in(found.environment):
        yield found


def current_api_url() -> str:
    """Return the address of the Prefect server in the user's settings, by default this machine."""
    return str(get_current_settings().api.url or _DEFAULT_URL).rstrip("/")


def status_of(api_url: str, login: Login | None = None) -> int | None:
    """Return the HTTP status of a request; 0: the answer is not HTTP; None: nothing answers.

    Args:
        api_url: address of a Prefect server.
        login: its login; None: ask without one.
    """
    # A route that every Prefect server has, and that changes nothing.
    return run_coro_as_sync(_status_of(f"{api_url}/block_types/slug/secret", login))


async def _status_of(url: str, login: Login | None) -> int | None:
    user, _, password = login.secret.partition(":") if login else ("", "", "")
    try:
        async with (
            asyncio.timeout(_ANSWER_TIMEOUT_S),
            # Only an answer's status is read, and no secret is sent, unless it is our own server's.
            httpx.AsyncClient(trust_env=not _is_local(url), verify=False) as client,
            client.stream("GET", url, auth=(user, password) if login else None) as answer,
        ):
            return answer.status_code
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return None
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        return 0


def _check_server(api_url: str, status: int, left: Login | None) -> None:
    """Check that what answers is a Prefect server which asks for a login, and that the settings have this login.

    Args:
        api_url: its address.
        status: its answer to a request without a login.
        left: the login that our last server has left, if it was killed. It must open no other server.
    """
    if 200 <= status < 300:
        raise UsageError(
            f"the Prefect server at {api_url} asks for no login, so whoever reaches it can run commands as you; "
            "start it with PREFECT_SERVER_API_AUTH_STRING, and give PREFECT_API_AUTH_STRING here"
        )
    if status not in (401, 403):
        raise UsageError(f"what answers at {api_url} is not a Prefect server; {_FREE_PORT}")
    settings = get_current_settings()
    secret = settings.api.auth_string
    if left is not None and secret is not None and secret.get_secret_value() == left.secret:
        problem: str | None = "it is not the one that was started here"
    elif not (secret or settings.api.key or settings.client.custom_headers):
        problem = "your settings have no login"
    else:
        problem = run_coro_as_sync(_refusal(api_url))
    if problem:
        raise UsageError(
            f"the server at {api_url} cannot be used ({problem}); if it is yours, set PREFECT_API_AUTH_STRING to its "
            f"login; if not, {_FREE_PORT}"
        )


async def _refusal(api_url: str) -> str | None:
    """Return why a server does not accept the login in Prefect's settings, None if it does."""
    try:
        async with asyncio.timeout(2 * _ANSWER_TIMEOUT_S):
            with temporary_settings({PREFECT_API_URL: api_url}):
                async with get_client() as client:
                    await client.read_flows(limit=1)
    except httpx.HTTPStatusError as error:
        return f"status {error.response.status_code} with the login in your settings"
    except (httpx.HTTPError, TimeoutError, ValueError, RuntimeError) as error:
        return f"its answer is not what Prefect expects: {' '.join(str(error).split())[:200]}"
    return None


@contextmanager
def _own_server(home: Path, api_url: str | None) -> Iterator[Server]:
    """Start a server that listens at `api_url`, or on a free port."""
    make_private(home)
    with _listening(api_url) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        with new_login(home, url) as (login, lock):
            server = _start(home, login, listener, lock)
            try:
                _wait_until_it_answers(login, home, server)
                yield Server(url, _environment(home, login), is_started=True)
            finally:
                stop(server)


def _start(home: Path, login: Login, listener: socket.socket, lock: IO[bytes]) -> "subprocess.Popen[Any]":
    """Start the server's process; only this process keeps the socket and the lock, so both show whether it lives."""
    environment = {
        **os.environ,
        **_OWN_SERVER,
        **_environment(home, login),
        "PREFECT_SERVER_API_AUTH_STRING": login.secret,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": login.api_url.removesuffix("/api"),
    }
    command = [sys.executable, "-m", "flows.server.process", str(listener.fileno())]
    inherited = (listener.fileno(), lock.fileno())
    with explain_write_errors(home):
        log = open_private(home / LOG_FILE)
    with log, listener, lock:
        return start(command, stdout=log, stderr=log, env=environment, umask=0o077, pass_fds=inherited)


def _environment(home: Path, login: Login) -> dict[str, str]:
    return {**login.environment, "PREFECT_HOME": str(home.resolve())}


def _listening(api_url: str | None) -> socket.socket:
    """Return a socket that listens at the address; from then on, no other program can answer there.

    Raises:
        UsageError: the address is not one of this machine, or is in use.
    """
    try:
        if api_url is None:
            return socket.create_server(("127.0.0.1", 0))
        if not _is_local(api_url):
            raise UsageError(f"no Prefect server answers at {api_url}; start it, {_ELSEWHERE}")
        return socket.create_server(("127.0.0.1", urlsplit(api_url).port or 80))
    except OSError as error:
        raise UsageError(f"{api_url} cannot be used ({error.strerror}); {_FREE_PORT}") from None


def _spelled(api_url: str) -> str:
    return api_url.rstrip("/").replace("//localhost:", "//127.0.0.1:")


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")


def _wait_until_it_answers(login: Login, home: Path, server: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while status_of(login.api_url, login) != 200:
        if (server is not None and server.poll() is not None) or time.monotonic() > deadline:
            raise PipelineError(f"the Prefect server does not start at {login.api_url}; see its log {home / LOG_FILE}")
        time.sleep(0.3)


@contextmanager
def _logged_in(environment: dict[str, str]) -> Iterator[None]:
    """Give these environment variables to Prefect in this process, and to its children."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    refresh_global_settings_context()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        refresh_global_settings_context()
