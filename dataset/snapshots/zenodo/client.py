"""Requests to Zenodo: with the user's token, repeated after a temporary failure, explained in one line otherwise.

Zenodo allows about 100 requests per minute. A request that it refuses for that (status 429) is sent again when the
answer says. Requests that may be sent twice (GET, PUT, DELETE) are sent again after a failure of the server or of the
network too; a POST is not, because it may have been obeyed.

Source: https://developers.zenodo.org (deposit/depositions, the files API of buckets, rate limits).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dataset.errors import StorageError, UsageError
from dataset.extras import require_library
from dataset.progress import duration, stage
from dataset.snapshots.zenodo.address import Server
from dataset.version import code_version

if TYPE_CHECKING:
    import httpx

_ATTEMPTS = 5
_BLOCK_BYTES = 1 << 20
_LONGEST_WAIT_S = 900.0
_TIMEOUT_S = 60.0
_TIMEOUT_OF_UPLOAD_S = 1800.0  # the server answers once it has digested the whole file
_SAFE = ("GET", "PUT", "DELETE")
_REASONS = {
    401: "Zenodo does not accept the token; make one in your account there (Applications, Personal access tokens)",
    403: "this token may not do that: the record is another account's, or the token lacks deposit:write or "
    "deposit:actions",
    404: "there is no such record, or it is another account's",
    413: "Zenodo takes no file as large as this; it takes 50 GB per record",
}


class Client:
    """Makes requests to a server, while it is used as a context.

    Args:
        server: the server.
        address: what the user asked for, for error messages.
        wait: waits for a number of seconds.
    """

    def __init__(self, server: Server, address: str, wait: Callable[[float], None] = time.sleep) -> None:
        require_library("httpx", "Zenodo")
        import httpx

        self.server, self.address, self._wait = server, address, wait
        headers = {"User-Agent": f"douban-keyframes/{code_version()}"}
        if server.token is not None:
            headers["Authorization"] = f"Bearer {server.token}"
        try:
            self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_S)
        except (ValueError, ImportError):  # its words hold the proxy's address, which may have a password
            raise UsageError("the proxy that the environment names (HTTPS_PROXY) cannot be used; correct it") from None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def url(self, path: str) -> str:
        """Return the address of a path of the interface; an address that the server has given must be its own.

        Raises:
            StorageError: the address is another server's, which must not get the token.
        """
        if "://" not in path:
            return f"{self.server.url}/api/{path}"
        if not path.startswith(f"{self.server.url}/"):
            raise StorageError(f"{self.address}: {self.server.url} leads to another server; nothing is sent there")
        return path

    def ask(self, method: str, path: str, value: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of the answer to a request, None if the answer is empty.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        body = {} if value is None else {"json": value}
        answer = self._send(method, path, params=params, **body)
        return self._json(answer) if answer.content else None

    def find(self, path: str) -> Any:
        """Return the JSON at a path, None if there is nothing.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        answer = self._send("GET", path, allowed=(404, 410), follow_redirects=True)
        return None if answer.status_code in (404, 410) else self._json(answer)

    def upload(self, bucket: str, key: str, file: Path, advance: Callable[[int], None]) -> str:
        """Send a file into a bucket, in place of any of that name, and return the MD5 that the server has of it.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        url = f"{self.url(bucket)}/{quote(key, safe='')}"
        sent = 0

        def content() -> Iterator[bytes]:
            nonlocal sent
            advance(-sent)  # of a request before, which has failed
            sent = 0
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK_BYTES):
                    yield block
                    sent += len(block)
                    advance(len(block))

        try:
            answer = self._send("PUT", url, content=content, headers=headers, timeout=_TIMEOUT_OF_UPLOAD_S)
        except OSError as error:
            raise StorageError(f"{self.address}: {file.name} cannot be read ({error.strerror}); run it again") from None
        return md5_of(self._json(answer))

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `start` on; a connection that breaks is resumed.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        import httpx

        at, failures = start, 0
        while True:
            try:
                with self._stream(path, at) as answer:
                    skip = at if answer.status_code == 200 else 0  # Zenodo does not always obey the range
                    for block in answer.iter_bytes(_BLOCK_BYTES):
                        new, skip = block[skip:], max(0, skip - len(block))
                        at, failures = at + len(new), 0 if new else failures
                        yield new
                return
            except httpx.RequestError as error:
                failures += 1
                if failures == _ATTEMPTS:
                    raise self._unreachable(error) from None
                self._wait(2.0**failures)

    @contextmanager
    def _stream(self, path: str, start: int) -> Iterator["httpx.Response"]:
        answer = self._send(
            "GET", path, headers={"Range": f"bytes={start}-"} if start else {}, stream=True, follow_redirects=True
        )
        try:
            yield answer
        finally:
            answer.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: Callable[[], Iterator[bytes]] | None = None,
        allowed: tuple[int, ...] = (),
        stream: bool = False,
        follow_redirects: bool = False,
        **options: Any,
    ) -> "httpx.Response":
        import httpx

        url = self.url(path)
        for attempt in count(1):
            is_last = attempt == _ATTEMPTS
            if content:
                options["content"] = content()
            try:
                request = self._http.build_request(method, url, **options)
                answer = self._http.send(request, stream=stream, follow_redirects=follow_redirects)
            except httpx.RequestError as error:
                if is_last or method not in _SAFE:
                    raise self._unreachable(error) from None
                self._wait(2.0**attempt)
                continue
            if answer.is_success or answer.status_code in allowed:
                break
            if stream:
                answer.read()
            if answer.status_code == 429 and not is_last:
                self._wait_as_asked(answer)
            elif answer.status_code >= 500 and method in _SAFE and not is_last:
                self._wait(2.0**attempt)
            else:
                raise self._refused(answer)
        return answer

    def _wait_as_asked(self, answer: "httpx.Response") -> None:
        asked_s = _asked_wait_s(answer.headers, time.time())
        if asked_s > _LONGEST_WAIT_S:
            raise StorageError(f"{self.address}: Zenodo asks to wait {duration(asked_s)}; run the same command then")
        with stage(f"Waiting {duration(asked_s)}, as Zenodo asks"):
            self._wait(asked_s)

    def _refused(self, answer: "httpx.Response") -> StorageError:
        status = answer.status_code
        if status == 429:
            return StorageError(f"{self.address}: Zenodo asks to wait; run the same command later")
        reason = _REASONS.get(status)
        if reason is None and status >= 500:
            reason = f"Zenodo fails (status {status}); run the same command later"
        words = _words_of(answer).replace(self.server.token or "\0", "…")
        return StorageError(f"{self.address}: {reason or f'Zenodo refuses (status {status}{words})'}")

    def _unreachable(self, error: Exception) -> StorageError:
        words = " ".join(str(error).split()) or type(error).__name__
        return StorageError(
            f"{self.address}: {self.server.url} cannot be reached ({words}); check the network, then run the same "
            "command again"
        )

    def _json(self, answer: "httpx.Response") -> Any:
        try:
            return answer.json()
        except ValueError:
            raise StorageError(
                f"{self.address}: {self.server.url} does not answer as Zenodo does (no JSON); check the address and "
                "the network's proxy"
            ) from None


def part_of(answer: Any, *keys: str) -> Any:
    """Return what an answer holds under keys, one within the other.

    Raises:
        StorageError: it holds nothing there, so it is no answer of Zenodo.
    """
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
        if answer is None:
            raise StorageError(f"the server's answer lacks {'.'.join(keys)}; run the same command again later")
    return answer


def md5_of(file: Mapping[str, Any]) -> str:
    """Return the MD5 that the server has of a file, in hexadecimal."""
    return str(file.get("checksum", "")).removeprefix("md5:")


def _asked_wait_s(headers: Mapping[str, str], now: float) -> float:
    """Return how many seconds the server asks to wait: `Retry-After` (seconds or a date), or `X-RateLimit-Reset`."""
    retry_after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return max(1.0, float(reset) - now) if reset.isdecimal() else _TIMEOUT_S


def _words_of(answer: "httpx.Response") -> str:
    """Return what the server says of a refusal, and of which fields: at most 300 characters in one line."""
    try:
        told = answer.json()
        words = [str(told.get("message", ""))]
        for one in told.get("errors") or []:
            messages = one.get("messages") or [one.get("message", "")]
            words.append(f"{one.get('field', '')}: {' '.join(map(str, messages))}")
    except (ValueError, AttributeError, TypeError):
        return ""
    line = " ".join("; ".join(filter(None, words)).split())
    return f": {line[:300]}" if line else ""
