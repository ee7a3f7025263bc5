"""The spider of a stage: passes each answer to `crawler.process`, and the outcome to `StagePages`."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Self

import scrapy
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadCancelledError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response

from crawler.alarms import alarms
from crawler.archive.warc import Archive
from crawler.kinds import KINDS
from crawler.kinds.kind import CrawlContext
from crawler.page import Answer, Page, TooMuch
from crawler.process import Outcome, parse_answer, process, settle
from crawler.spiders.closed import close_host
from crawler.spiders.fetch import ascii_header
from crawler.spiders.pages import StagePages
from crawler.spiders.rest import cannot_be_reached, say_paused
from crawler.spiders.robots import HostRules
from crawler.spiders.settings import CrawlSettings
from dataset.cli import say

_LOOK_EVERY_S = 600.0


class NotSent(IgnoreRequest):
    """The request was stopped before it left. Scrapy raises other `IgnoreRequest`s after an answer has come."""


class StageSpider(scrapy.Spider):
    """Reads every pending page of a stage's phases, one phase after the other.

    Scrapy's stats count pages by how they ended: `pages/done`, `pages/gone`, `pages/unavailable`, `pages/refused`,
    `pages/failed`, and `pages/retried`.

    Attributes:
        pages: the `StagePages`, which hand out the pages to request.
        close_reason: why Scrapy closed the spider: `finished`, or `shutdown` after a signal.
    """

    name = "stage"

    def __init__(
        self,
        crawl: CrawlSettings,
        context: CrawlContext,
        archive: Archive,
        rules: dict[str, HostRules],
        pages: StagePages,
    ) -> None:
        super().__init__()
        self.crawl = crawl
        self.context = context
        self.archive = archive
        self.rules = rules
        self.pages = pages
        self.close_reason = ""
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._alarmed: set[str] = set()
        self._next_look_at = time.monotonic() + _LOOK_EVERY_S

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Return the spider of a crawl."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.on_defect, signal=signals.spider_error)
        return spider

    def on_response(self, response: Response) -> None:
        """Process an answer."""
        page = self._answered(response)
        with self.context.ledger.transaction():  # no page is left marked as gone while it has attempts left
            self._report(page, process(page, answer_of(response), self.context, self.archive), response)

    async def on_slow_response(self, response: Response) -> None:
        """Process an answer that takes long to parse: parse it in a thread, one answer at a time."""
        page, loop = self._answered(response), asyncio.get_running_loop()
        parsed = await loop.run_in_executor(self._thread, parse_answer, page, answer_of(response), self.context)
        with self.context.ledger.transaction():
            self._report(page, settle(page, parsed, self.context, self.archive), response)

    def on_failure(self, failure: Any) -> None:
        """Handle a request without a usable answer: not sent, timed out, cut off, too large, or connection lost."""
        page: Page = failure.request.meta["page"]
        kind = KINDS[page.key.kind]
        if failure.check(NotSent):
            if not self.pages.is_refused(kind.host):  # disallowed by robots.txt; after a refusal the page stays pending
                self.context.ledger.mark(page, "refused", str(failure.value))
                self._count("refused")
            self.pages.hold_back(page)
            return
        self.pages.answered(page)
        cause = _cause_of(failure.value, kind.max_bytes, self.crawl.politeness.timeout_s)
        if cannot_be_reached(failure.value):
            self._wait_for_host(page, cause)
            return
        self.context.ledger.mark(page, "failed", cause)
        self._report(page, Outcome("failed", cause, may_recover=True))

    def _wait_for_host(self, page: Page, cause: str) -> None:
        host, wait_s = KINDS[page.key.kind].host, self.pages.wait_for_host(page, cause)
        self._count("waited")
        if wait_s:
            say_paused(host, cause, wait_s)

    def on_defect(self, failure: Any) -> None:
        """Stop after an exception in a callback: a bug, or a file that cannot be written."""
        self.pages.fail(failure.value)

    def closed(self, reason: str) -> None:
        """Remember why Scrapy closed the spider."""
        self.close_reason = reason
        self._thread.shutdown()

    def _answered(self, response: Response) -> Page:
        page: Page = response.meta["page"]
        self.pages.answered(page, response.meta.get("download_latency"), response.status == 200)
        return page

    def _report(self, page: Page, outcome: Outcome, response: Response | None = None) -> None:
        """Report the outcome of a page, which is marked in the ledger already, to `StagePages` and the stats."""
        host = KINDS[page.key.kind].host
        if outcome.state == "refused":
            self.pages.refuse(host, outcome.cause, [page])
            if response is not None:
                close_host(self.crawl.site.hosts[host], ascii_header(response.headers.get("Retry-After")))
        elif outcome.state != "failed":
            self.pages.understood(page)
        if outcome.may_recover and self.pages.retry(page, outcome.cause):
            self._count("retried")
        else:
            self._count(outcome.state)
            self.pages.finish(page, outcome.following)
        if time.monotonic() > self._next_look_at:
            self._look_for_alarms()
        if outcome.is_odd:
            self.pages.not_understood(page, outcome.cause)

    def _look_for_alarms(self) -> None:
        """Print new alarms on stderr: the crawl goes on, because its pages are archived."""
        self._next_look_at = time.monotonic() + _LOOK_EVERY_S
        kinds = [kind.name for kind in KINDS.values() if kind.host in self.rules]
        for alarm in alarms(self.context.ledger, kinds):
            what = alarm.partition(" has a value")[0]
            if what not in self._alarmed:
                self._alarmed.add(what)
                say(f"ALARM: {alarm}; see python -m crawler status", file=sys.stderr)

    def _count(self, what: str) -> None:
        self.crawler.stats.inc_value(f"pages/{what}")


def _cause_of(error: BaseException, max_bytes: int, timeout_s: float) -> str:
    """Return in words why there is no answer; what the bounds of this project stopped says which bound it was."""
    reasons = getattr(error.__cause__, "reasons", [])  # of Twisted's ResponseFailed
    for one in (error, error.__cause__, *(reason.value for reason in reasons)):
        if isinstance(one, TooMuch):
            return str(one)
    match error:
        case IgnoreRequest() | DownloadCancelledError():
            return f"the answer is larger than {max_bytes:,} bytes"
        case DownloadTimeoutError():
            return f"no complete answer within {timeout_s:g} s"
    return type(error).__name__


def answer_of(response: Response) -> Answer:
    """Return a response as an `Answer`, with the current time."""
    location, content_type = response.headers.get("Location"), response.headers.get("Content-Type")
    return Answer(
        status=response.status,
        url=response.url,
        body=response.body,
        location=ascii_header(location),
        content_type=ascii_header(content_type),
        at=datetime.now(UTC).timestamp(),
        retry_after=ascii_header(response.headers.get("Retry-After")),
        robots_tags=tuple(filter(None, map(ascii_header, response.headers.getlist("X-Robots-Tag")))),
    )
