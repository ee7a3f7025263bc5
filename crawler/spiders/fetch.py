"""One request outside of Scrapy (robots.txt, and those of `probe`), bounded in time and bytes.

Nothing but the address and the given headers decides what is sent: no proxy, no cookie, no `~/.netrc`, no redirect.
"""

import http.client
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from crawler.page import Answer, TooMuch

_GZIP_OR_ZLIB = 47  # zlib's window bits
_MOST_MEMBERS = 100  # of a gzip file
_LONGEST_HEADER = 4096  # characters


class NoAnswer(Exception):  # noqa: N818 - an outcome, not an error
    """The host did not give a complete answer. The message says why."""


class NotConnected(NoAnswer):
    """No connection could be made: refused, timed out, or no such host."""


def fetch(url: str, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> Answer:
    """Return the answer to a request, decompressed.

    Raises:
        NotConnected: no connection could be made.
        NoAnswer: the answer is not complete after `timeout_s`, or is not HTTP.
        TooMuch: the body has more than `max_bytes`, compressed or not.
    """
    request = _Request(url, headers, timeout_s, max_bytes)
    thread = threading.Thread(target=request.run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        request.close()
        raise (
            NoAnswer(f"no complete answer within {timeout_s:g} s")
            if request.is_connected
            else NotConnected("TimeoutError")
        )
    if request.problem is not None:
        raise request.problem
    return request.answer


class _Request:
    """A request that a thread carries out, so that nothing a host does can make us wait longer than we want."""

    answer: Answer
    problem: Exception | None = None
    is_connected = False

    def __init__(self, url: str, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> None:
        self._url, self._max_bytes = url, max_bytes
        self._headers = {**headers, "Accept-Encoding": "gzip", "Connection": "close"}
        parts = urlsplit(url)
        self._target = parts._replace(scheme="", netloc="", fragment="").geturl()
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def run(self) -> None:
        try:
            self._connection.connect()
            self.is_connected = True
        except ssl.SSLError as error:  # somebody answers, but not the host
            self.problem = NoAnswer(f"no secure connection: {type(error).__name__}")
            return
        except OSError as error:
            self.problem = NotConnected(type(error).__name__)
            return
        try:
            self.answer = self._ask()
        except (OSError, ValueError, http.client.HTTPException, zlib.error) as error:
            self.problem = NoAnswer(f"no complete answer: {type(error).__name__}")
        except Exception as problem:  # `TooMuch`, or a bug; or `fetch` has closed the connection and does not wait
            self.problem = problem
        finally:
            self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._connection.close()

    def _ask(self) -> Answer:
        self._connection.request("GET", self._target, headers=self._headers)
        with self._connection.getresponse() as response:
            body = response.read(self._max_bytes + 1)
        self._require_bounded(body)
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        location, content_type = response.headers.get("Location"), response.headers.get("Content-Type")
        return Answer(
            status=response.status,
            url=self._url,
            body=self._decoded(body, response.headers.get("Content-Encoding", "").strip().lower()),
            location=ascii_header(location),
            content_type=ascii_header(content_type),
            at=time.time(),
            retry_after=ascii_header(response.headers.get("Retry-After")),
            robots_tags=tuple(filter(None, map(ascii_header, response.headers.get_all("X-Robots-Tag", [])))),
        )

    def _decoded(self, body: bytes, encoding: str) -> bytes:
        if encoding in ("", "identity"):
            return body
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise ValueError(encoding)
        decoded = b""
        for _ in range(_MOST_MEMBERS):
            member = zlib.decompressobj(_GZIP_OR_ZLIB)
            decoded += member.decompress(body, self._max_bytes + 1 - len(decoded))
            self._require_bounded(decoded)
            if not member.eof:
                raise ValueError("cut off")
            body = member.unused_data
            if not body:
                return decoded
        raise ValueError("many members")

    def _require_bounded(self, body: bytes) -> None:
        if len(body) > self._max_bytes:
            raise TooMuch(f"the answer is larger than {self._max_bytes:,} bytes")


def ascii_header(value: str | bytes | None) -> str | None:
    """Return a header as it is kept: printable ASCII, anything else percent-encoded, and cut if it is very long."""
    if value is None:
        return None
    raw = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"%{byte:02X}" for byte in raw[:_LONGEST_HEADER])
    return text.strip() or None
