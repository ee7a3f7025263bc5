"""The HTTP server of the sandbox: one port of 127.0.0.1 per host, with a log of every request.

It speaks HTTP/1.1 with keep-alive and uses one thread per connection. `Answers` gives the answers; the `faults`
argument of `SandboxServer` is the only way to replace one, for example by a failure or a refusal (`faults`).
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from crawler.sandbox.answers import ROLES, Answer, Answers, Fault, Request, Role
from crawler.sandbox.world import World
from crawler.sites import Site
from dataset.errors import PipelineError

_LONGEST_LINE = 16_384
_IDLE_TIMEOUT_S = 120


@dataclass(frozen=True)
class LoggedRequest:
    """A request that was served.

    `started_at_s` (the request line was read) and `ended_at_s` (the answer was ready to send) are times of the
    monotonic clock; `wall_time_s` is the start in Unix time.
    """

    wall_time_s: float
    started_at_s: float
    ended_at_s: float
    host: Role
    method: str
    path: str
    status: int
    user_agent: str
    referer: str


class SandboxServer:
    """A running sandbox: `with SandboxServer(world) as server: crawl(server.site)`.

    Args:
        world: the world to serve.
        ports: ports of the movie, www, image and mobile host; 0 takes any free port.
        log_path: log file with one JSON line per request, in addition to `requests` in memory.
        faults: called with each request and the function that answers it; its result is sent. None: no faults.

    Raises:
        PipelineError: a port is in use, or the log cannot be written.
    """

    def __init__(
        self,
        world: World,
        ports: Sequence[int] = (0, 0, 0, 0),
        log_path: Path | None = None,
        faults: Fault | None = None,
    ) -> None:
        self.world = world
        self.requests: list[LoggedRequest] = []
        self._faults = faults
        self._lock = threading.Lock()
        self._log = _open_log(log_path) if log_path else None
        self._hosts: list[_Host] = []
        try:
            for role, port in zip(ROLES, ports, strict=True):
                self._hosts.append(_Host(role, port, self))
        except OSError as error:
            self._close()
            raise PipelineError(
                f"sandbox: port {port} on 127.0.0.1 cannot be used ({error.strerror}); "
                "stop the program that uses it, or choose another port with --port (0 takes any free port)"
            ) from error
        self.site = Site(**{host.role: f"http://127.0.0.1:{host.server_address[1]}" for host in self._hosts})
        self.answers = Answers(world, self.site)

    def __enter__(self) -> "SandboxServer":
        for host in self._hosts:
            threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True, name=f"sandbox {host.role}").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.shutdown()
        self._close()

    def respond(self, request: Request) -> Answer:
        """Return the answer to send: the true answer, or the one that the faults give."""
        return self._faults(request, self.answers) if self._faults else self.answers(request)

    def record(self, logged: LoggedRequest) -> None:
        """Add a request to the log."""
        with self._lock:
            self.requests.append(logged)
            if self._log:
                self._log.write(json.dumps(asdict(logged)) + "\n")
                self._log.flush()

    def _close(self) -> None:
        for host in self._hosts:
            host.server_close()
        if self._log:
            self._log.close()


class _Host(socketserver.ThreadingTCPServer):
    """One of the four hosts."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, role: Role, port: int, sandbox: SandboxServer) -> None:
        self.role, self.sandbox = role, sandbox
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, and close all open connections."""
        super().server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(socketserver.StreamRequestHandler):
    """One connection, whose requests are read, answered and logged in order."""

    timeout = _IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    server: _Host

    def handle(self) -> None:
        try:
            while self._serve_one():
                pass
        except (OSError, ValueError):
            return  # the client disconnected, or did not send HTTP

    def _serve_one(self) -> bool:
        """Serve one request; return whether the connection stays open."""
        line = self.rfile.readline(_LONGEST_LINE)
        if not line.strip():
            return False
        started, wall = time.monotonic(), time.time()
        method, target, version = line.decode("latin-1").split()
        headers = self._read_headers()
        sandbox = self.server.sandbox
        request = Request(self.server.role, method, target, headers)
        if method in ("GET", "HEAD"):
            answer = sandbox.respond(request)
        else:
            answer = Answer(
                HTTPStatus.METHOD_NOT_ALLOWED, b"", headers=(("Allow", "GET, HEAD"), ("Connection", "close"))
            )
        if answer.delay_s:
            time.sleep(answer.delay_s)
        sandbox.record(  # before sending: a client that has the answer finds it in the log
            LoggedRequest(
                wall, started, time.monotonic(), self.server.role, method, target, answer.status,
                headers.get("user-agent", ""), headers.get("referer", ""),
            )
        )  # fmt: skip
        self._send(answer, with_body=method == "GET")
        closes = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        return not closes and answer.cut_at is None and method in ("GET", "HEAD")

    def _read_headers(self) -> dict[str, str]:
        headers = {}
        while (line := self.rfile.readline(_LONGEST_LINE)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _send(self, answer: Answer, with_body: bool) -> None:
        fields = [
            f"HTTP/1.1 {int(answer.status)} {_phrase(answer.status)}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers),
        ]
        head = ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1")
        self.connection.sendall(head + answer.body[: answer.cut_at] if with_body else head)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _open_log(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise PipelineError(
            f"{path}: the request log cannot be written ({error.strerror}); choose another file"
        ) from error
