"""The spider of a stage: pages from the ledger, through the parsers, back into the ledger."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import scrapy
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Request, Response

from crawler.archive import Answer, Archive
from crawler.forgotten import PERSONAL_KINDS
from crawler.images import PICTURE_HEADERS, Picture
from crawler.plan import HOSTS, Phase, address
from crawler.politeness import HostRules
from crawler.recording import Parsed, record
from crawler.settings import CrawlSettings, user_agent
from crawler.spiders.queue import PageQueue
from crawler.store import Key, Ledger, Page
from crawler.verdict import judge, parse_answer, picture_in

MAX_BACKOFF_S = 3600.0


class StageSpider(scrapy.Spider):
    """Reads every pending page of a stage's phases, one phase after the other.

    Attributes:
        refusals: what each host that refuses us said; such a host gets no further request.
        tally: pages by how they ended (`done`, `gone`, `refused`, `failed`, `retried`).
        requests_made: requests sent, whatever came of them.
        defect: an error of our own, which ends the crawl.
    """

    name = "stage"

    def __init__(
        self,
        crawl: CrawlSettings,
        ledger: Ledger,
        archive: Archive,
        rules: dict[str, HostRules],
        phases: tuple[Phase, ...],
        on_page: Callable[["StageSpider"], None],
    ) -> None:
        super().__init__()
        self.crawl = crawl
        self.ledger = ledger
        self.archive = archive
        self.rules = rules
        self.phases = phases
        self.on_page = on_page
        self.queues: dict[str, PageQueue] = {}
        self.refusals: dict[str, str] = {}
        self.tally: Counter[str] = Counter()
        self.requests_made = 0
        self.defect: Exception | None = None
        self.close_reason = ""
        self._agent = user_agent(crawl.manners.contact)
        self._moved = asyncio.Event()
        self._pictures = ThreadPoolExecutor(max_workers=1)

    async def start(self) -> AsyncIterator[Request]:
        """Yield a request for each page as it becomes due, and end when nothing is left to read."""
        try:
            async for request in self._requests():
                yield request
        except Exception as error:  # Scrapy would only log it
            self.defect = error

    async def _requests(self) -> AsyncIterator[Request]:
        await self._rest_after_robots()
        for phase in self.phases:
            if self._must_stop():
                return
            with self.ledger.transaction():
                phase.add_pages(self.ledger, self.crawl.scope)
            self.queues = self._queues_of(phase)
            while (page := await self._next_page()) is not None:
                yield self._request(page)

    async def _rest_after_robots(self) -> None:
        """Let the delay pass since robots.txt was read: it was a request like any other."""
        due = max(rule.read_at + rule.delay_s for rule in self.rules.values())
        await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _queues_of(self, phase: Phase) -> dict[str, PageQueue]:
        kinds: dict[str, list[str]] = {}
        for kind in phase.kinds:
            kinds.setdefault(HOSTS[kind], []).append(kind)
        window = self.crawl.manners.concurrency
        return {host: PageQueue(self.ledger, of_host, window) for host, of_host in kinds.items()}

    async def _next_page(self) -> Page | None:
        """Wait for a page that is due; None when all are settled, or when the crawl has to stop."""
        while not self._must_stop():
            now = time.monotonic()
            for queue in self.queues.values():
                if page := queue.take(now):
                    return page
            waits = [at - now for queue in self.queues.values() if (at := queue.next_retry_at()) is not None]
            if not waits and not any(queue.out for queue in self.queues.values()):
                return None
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), max(0.01, min(waits)) if waits else None)
            except TimeoutError:
                continue
        return None

    def _must_stop(self) -> bool:
        limit = self.crawl.scope.max_requests
        return bool(self.refusals) or self.defect is not None or (limit is not None and self.requests_made >= limit)

    def _request(self, page: Page) -> Request:
        self.requests_made += 1
        return Request(
            address(self.crawl.site, page.key),
            callback=self.on_picture if page.key.kind == "picture" else self.on_response,
            errback=self.on_failure,
            headers=PICTURE_HEADERS if page.key.kind == "picture" else None,
            meta={"download_slot": HOSTS[page.key.kind], "page": page},
            dont_filter=True,
        )

    def gate(self, request: Request) -> None:
        """Hold back a request that must not leave (called by `HostRulesMiddleware`).

        Raises:
            IgnoreRequest: the host has refused us, or its robots.txt disallows the path.
        """
        host = request.meta["download_slot"]
        if self.refusals:
            raise IgnoreRequest("held back: the site refuses us")
        if not self.rules[host].allows(request.url, self._agent):
            raise IgnoreRequest("robots.txt")

    def on_response(self, response: Response) -> None:
        """Archive an answer, and store what it gives or how it is not what was asked for."""
        page: Page = response.meta["page"]
        self._settle(page, lambda: self._read(page, answer_of(response)))

    async def on_picture(self, response: Response) -> None:
        """Do the same for a picture, decoded and written beside the event loop, one after the other."""
        page: Page = response.meta["page"]
        answer = answer_of(response)
        work = asyncio.get_running_loop().run_in_executor(self._pictures, picture_in, self.crawl.crawl_dir, answer)
        await asyncio.wait([work])
        self._settle(page, lambda: self._take_picture(page, answer, work))

    def on_failure(self, failure: Any) -> None:
        """Note a request without an answer: held back, timed out, cut off, connection lost."""
        page: Page = failure.request.meta["page"]
        self._settle(page, lambda: self._note_failure(page, failure.value))

    def _settle(self, page: Page, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # a defect of ours: end the crawl with its traceback
            self.defect = self.defect or error
        self.on_page(self)
        self._moved.set()

    def _read(self, page: Page, answer: Answer) -> None:
        forgotten = self.ledger.forgotten
        if page.key.kind in PERSONAL_KINDS and forgotten.owns(answer.body):
            self.ledger.forget_page(page)
            self.tally["gone"] += 1
            self._queue(page).finish(page)
            return
        answer = replace(answer, body=forgotten.redacted(answer.body))
        self.archive.write(page.key, answer)
        self._record(page, answer, lambda: parse_answer(page.key.kind, answer))

    def _take_picture(self, page: Page, answer: Answer, work: asyncio.Future[Picture]) -> None:
        stored_as = work.result().path if work.exception() is None else None
        self.archive.write(page.key, answer, stored_as)
        self._record(page, answer, work.result)

    def _record(self, page: Page, answer: Answer, parse: Callable[[], Parsed]) -> None:
        following: list[Key | None] = []
        crawl = self.crawl
        verdict = judge(
            lambda: following.append(record(self.ledger, crawl.site, crawl.scope, page, parse(), answer.at))
        )
        if verdict.state == "done":
            self.tally["done"] += 1
            self._queue(page).finish(page, following[0] and self.ledger.page(following[0]))
        elif verdict.try_again:
            self._try_again(page, verdict.cause, verdict.state)
        else:
            if verdict.state == "refused":
                self.refusals.setdefault(HOSTS[page.key.kind], verdict.cause)
            self._end(page, verdict.state, verdict.cause)

    def _note_failure(self, page: Page, error: BaseException) -> None:
        if not isinstance(error, IgnoreRequest):
            self._try_again(page, type(error).__name__, "failed")
        elif self.refusals:
            self.requests_made -= 1
            self._queue(page).finish(page)
        else:
            self.requests_made -= 1
            self._end(page, "refused", str(error))

    def _try_again(self, page: Page, cause: str, final_state: str) -> None:
        manners = self.crawl.manners
        if page.attempts + 1 >= manners.attempts:
            self._end(page, final_state, cause)
            return
        self.tally["retried"] += 1
        wait_s = min(MAX_BACKOFF_S, manners.backoff_s * 2**page.attempts)
        self._queue(page).retry(self.ledger.postpone(page, cause, time.time() + wait_s), time.monotonic() + wait_s)

    def _end(self, page: Page, state: str, cause: str) -> None:
        self.tally[state] += 1
        self.ledger.mark(page, state, cause)
        self._queue(page).finish(page)

    def _queue(self, page: Page) -> PageQueue:
        return self.queues[HOSTS[page.key.kind]]

    def closed(self, reason: str) -> None:
        """Remember why Scrapy closed us: `shutdown` after a signal."""
        self.close_reason = reason
        self._pictures.shutdown()


def answer_of(response: Response) -> Answer:
    """Return what is kept of a response, as of now."""
    location, content_type = response.headers.get("Location"), response.headers.get("Content-Type")
    return Answer(
        status=response.status,
        url=response.url,
        body=response.body,
        location=location.decode("latin-1") if location else None,
        content_type=content_type.decode("latin-1") if content_type else None,
        at=datetime.now(UTC).timestamp(),
    )
