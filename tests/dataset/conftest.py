"""A real S3 server on loopback, behind a proxy that fails as told: the network between a publisher and its store."""

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

Fault = Literal["before", "after", "cut"] | None
"""Fail before the server hears of the request, after it has done it, or in the middle of its answer."""


class FaultyProxy:
    """Passes HTTP requests on to a server, but for the faults that `fault(method, path)` orders.

    Attributes:
        requests: what was asked for: (method, path, the Range asked for or "").
        fault: decides the fate of a request; it may also wait.
        dropped_headers: request headers that are not passed on, in lower case.
    """

    def __init__(self, host: str, port: int) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.fault: Callable[[str, str], Fault] = lambda method, path: None
        self.dropped_headers: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(host, port))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, host: str, port: int) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with proxy._lock:
                    proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
                fault = proxy.fault(self.command, self.path)
                if fault == "before":
                    return self._answer(500, {}, b"")
                upstream = http.client.HTTPConnection(host, port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in proxy.dropped_headers}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
                upstream.close()
                if fault == "after":
                    return self._answer(500, {}, b"")
                return self._answer(answer.status, dict(answer.getheaders()), content, is_cut=fault == "cut")

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def _answer(self, status: int, headers: dict[str, str], content: bytes, is_cut: bool = False) -> None:
                self.send_response_only(status)
                kept = {k: v for k, v in headers.items() if k.lower() not in ("connection", "transfer-encoding")}
                if self.command != "HEAD":
                    kept = {k: v for k, v in kept.items() if k.lower() != "content-length"}
                    kept["Content-Length"] = str(len(content))
                for name, value in kept.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    with suppress(OSError):  # a killed client hears no answer
                        self.wfile.write(content[: len(content) // 2] if is_cut else content)
                self.close_connection = self.close_connection or is_cut

            def log_message(self, *_: Any) -> None: ...

        return Handler


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, int]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def proxy(
    server: tuple[str, int], s3_environment: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(*server)
    for name, value in s3_environment(proxy.url).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()


@pytest.fixture
def root(proxy: FaultyProxy) -> str:
    """The address of an empty folder in a bucket."""
    bucket = f"bucket-{uuid4().hex[:12]}"
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status == 200
    connection.close()
    return f"s3://{bucket}/some/prefix"
