"""What answers at Prefect's port is used only if it asks for a login and accepts ours; else one line says why."""

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from dataset.errors import PipelineError, UsageError
from flows.server import start as prefect
from flows.server.home import read_login, running_login
from flows.server.start import prefect_server, status_of

Answer = Callable[[socket.socket, bytes], None]


def says(status: str, body: bytes = b"true", more: str = "") -> Answer:
    """Return a program that gives the same answer to every request."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return lambda connection, _: connection.sendall(head.encode() + body)


def says_nothing(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def drips(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(1000):
        connection.sendall(b"X: y\r\n")
        time.sleep(0.1)


def never_ends(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def accepts_any_login(connection: socket.socket, request: bytes) -> None:
    says("200 OK" if b"\r\nauthorization: basic" in request.lower() else "401 Unauthorized", b"[]")(connection, request)


def asks_for_a_login_once(connection: socket.socket, request: bytes) -> None:
    says("401 Unauthorized" if b"GET /api/block_types" in request else "200 OK", b"[]")(connection, request)


PROGRAMS = {
    "silence": says_nothing,
    "the end of the connection": lambda _connection, _request: None,
    "garbage": lambda connection, _: connection.sendall(b"\0\xff SSH-2.0\r\n\r\n"),
    "a healthy server without a login": says("200 OK"),
    "another site": says("404 Not Found"),
    "a redirect": says("307 Temporary Redirect", more="Location: http://192.0.2.1/\r\n"),
    "an error": says("500 Internal Server Error"),
    "a server with another login": says("401 Unauthorized"),
    "headers without end": drips,
    "a body without end": never_ends,
    "a program that accepts any login": accepts_any_login,
    "a program that asks for a login once": asks_for_a_login_once,
}


@contextmanager
def squatter(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Answer at a port like another user's program; give the address and the requests."""
    requests: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                requests.append(self.request.recv(65536))
                answer(self.request, requests[-1])
            except OSError:
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as program:
        program.daemon_threads = True
        threading.Thread(target=program.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{program.server_address[1]}/api", requests
        program.shutdown()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(prefect, "_ANSWER_TIMEOUT_S", 1)
    with temporary_settings(restore_defaults={PREFECT_API_AUTH_STRING}):  # another test's server may have one
        yield


@pytest.mark.parametrize("answer", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_squatted_port_is_one_line_and_gets_no_secret(answer: Answer, tmp_path: Path) -> None:
    with (
        squatter(answer) as (url, requests),
        pytest.raises(UsageError) as refused,
        prefect_server(tmp_path, url),
    ):
        pytest.fail("the program was used")
    assert "\n" not in str(refused.value)
    assert url in str(refused.value)
    assert "PREFECT_API_URL" in str(refused.value) or "PREFECT_SERVER_API_AUTH_STRING" in str(refused.value)
    assert not any(b"authorization" in request.lower() for request in requests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer", [pytest.param(answer, id=name) for name, answer in PROGRAMS.items() if "login" not in name]
)
def test_the_login_of_a_labs_server_goes_to_no_other_program(answer: Answer, tmp_path: Path) -> None:
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: "lab:secret"}),
        squatter(answer) as (url, requests),
        pytest.raises(UsageError, match="is not a Prefect server"),
        prefect_server(tmp_path, url),
    ):
        pytest.fail("the program was used")
    assert not any(b"authorization" in request.lower() for request in requests)


def test_a_login_with_another_answer_than_prefects_is_not_enough(tmp_path: Path) -> None:
    def almost(connection: socket.socket, request: bytes) -> None:
        has_login = b"authorization" in request.lower()
        says("200 OK" if has_login else "401 Unauthorized", b'{"hello": "world"}')(connection, request)

    with (
        temporary_settings({PREFECT_API_AUTH_STRING: "lab:secret"}),
        squatter(almost) as (url, _),
        pytest.raises(UsageError, match="cannot be used"),
        prefect_server(tmp_path, url),
    ):
        pytest.fail("the program was used")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an orphan ends when its parent's folder is used again")
def test_a_killed_server_leaves_no_open_port_and_its_secret_opens_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from flows.server.start import prefect_server\n"
        "with prefect_server(pathlib.Path(sys.argv[1])) as server: print(server.api_url, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        login = running_login(tmp_path)
        assert login is not None
        assert login.api_url == url
        with pytest.raises(PipelineError, match="runs in this folder already"), prefect_server(tmp_path, _free_url()):
            pytest.fail("two servers in one folder")
        os.kill(starter.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while status_of(url) is not None or running_login(tmp_path):
        assert time.monotonic() < deadline, "the port is still open"
        time.sleep(0.2)
    assert read_login(tmp_path) == login
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: login.secret}),  # as `login.toml` gives it
        squatter(accepts_any_login) as (squatted, requests),
        pytest.raises(UsageError, match="it is not the one that was started here"),
        prefect_server(tmp_path, squatted),
    ):
        pytest.fail("the program was used")
    assert not any(b"authorization" in request.lower() for request in requests)


def _free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/api"
