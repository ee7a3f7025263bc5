"""Bounds of an answer's headers, which Scrapy and Twisted do not have."""

from typing import Any

from scrapy import Request
from scrapy.core.downloader.handlers import http11
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler.page import TooMuch

MAX_HEADER_BYTES = 256 << 10  # of an answer, with those of the answers 100 to 199 before it
MAX_ENCODINGS = 2


class BoundedHandler(http11.HTTP11DownloadHandler):
    """Scrapy's handler of http and https, with bounds for the headers of an answer."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._pool._factory = _BoundedFactory

    async def download_request(self, request: Request) -> Response:
        """Return the answer to a request.

        Raises:
            TooMuch: the body is compressed more than twice.
            DownloadFailedError: the answer has more than `MAX_HEADER_BYTES` of headers (caused by `TooMuch`).
        """
        response = await super().download_request(request)
        encodings = response.headers.getlist("Content-Encoding")
        if encodings and len(b",".join(encodings).split(b",")) > MAX_ENCODINGS:
            raise TooMuch(f"the answer is compressed more than {MAX_ENCODINGS} times")
        return response


class _BoundedParser(http11._LenientHTTPClientParser):
    """Reads the head of an answer, up to a bound."""

    n_bytes = 0

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        self.n_bytes += len(line) + 2
        if self.n_bytes > MAX_HEADER_BYTES:
            raise TooMuch(f"the answer has more than {MAX_HEADER_BYTES:,} bytes of headers")
        super().lineReceived(line)


class _BoundedProtocol(http11._LenientHTTP11ClientProtocol):
    """A connection whose answers are read by `_BoundedParser`."""

    def request(self, request: Any) -> Any:
        answer = super().request(request)
        self._parser.__class__ = _BoundedParser  # as Scrapy does: Twisted names the class in its code
        return answer


class _BoundedFactory(http11._LenientHTTP11ClientFactory):
    """Makes `_BoundedProtocol`s."""

    def buildProtocol(self, addr: Any) -> _BoundedProtocol:  # noqa: N802 - Twisted's name
        return _BoundedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]
