"""A Scrapy scheduler that reads the ledger, and gives Scrapy a request only when it may be sent at once.

It also reads a host's robots.txt again when that is old; until then, the host gets no request.
"""

import asyncio
import time
from collections import deque
from typing import Self, cast

from scrapy import Request, Spider
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler

from crawler.kinds import KINDS, address
from crawler.page import Page
from crawler.spiders.politeness import user_agent
from crawler.spiders.rest import say_paused
from crawler.spiders.robots import read_robots
from crawler.spiders.spider import StageSpider
from dataset.errors import MissingInputError, RefusedError


class LedgerScheduler(BaseScheduler):
    """Turns the pages of `StagePages` into requests, and wakes the engine when a page becomes due."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._spider = cast(StageSpider, crawler.spider)
        self._pages = self._spider.pages
        self._due: deque[Request] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Return the scheduler of a crawl."""
        return cls(crawler)

    def open(self, spider: Spider) -> None:
        """Do nothing: the spider's pages are ready."""

    def close(self, reason: str) -> None:
        """Stop waiting for pages."""
        for waiting in (self._timer, self._reading):
            if waiting is not None:
                waiting.cancel()

    def has_pending_requests(self) -> bool:
        """Return whether the stage is not over, even if no request can be sent now."""
        return not self._pages.is_over

    def next_request(self) -> Request | None:
        """Return the next request; None if none may be sent now."""
        if self._due:
            return self._due.popleft()
        page = self._take()
        return None if page is None else self._request(page)

    def enqueue_request(self, request: Request) -> bool:
        """Accept a request that `_wake` gave to the engine; `next_request` returns it first."""
        self._due.append(request)
        return True

    def _take(self) -> Page | None:
        """Return a page to request now; if there is none, have the engine woken when there is one."""
        try:
            page = self._pages.take(time.monotonic())
            due = self._pages.next_due() if page is None and not self._pages.is_over else None
            if self._reading is None and (host := self._pages.host_with_old_rules()):
                self._reading = asyncio.get_running_loop().create_task(self._read_robots_again(host))
        except Exception as error:  # Scrapy would only log it, and wait forever
            self._pages.fail(error)
            self._pages.is_over = True
            return None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            wait_s = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)
        return page

    async def _read_robots_again(self, host: str) -> None:
        crawl = self._spider.crawl
        agent, politeness = user_agent(crawl.politeness.contact), crawl.politeness
        while True:
            try:
                hosts = {host: crawl.site.hosts[host]}
                self._spider.rules |= await asyncio.to_thread(read_robots, hosts, politeness, agent)
                self._pages.reached(host)
                break
            except MissingInputError as error:
                wait_s = self._pages.leave_alone(host)
                if wait_s is None:
                    break
                if wait_s:
                    say_paused(host, str(error), wait_s)
                await asyncio.sleep(self._pages.free_in(host))
            except RefusedError as refused:
                self._pages.refuse(host, str(refused))
                break
            except Exception as error:  # asyncio would only log it, and the crawl would wait forever
                self._pages.fail(error)
                break
        self._reading = None
        self._wake()

    def _wake(self) -> None:
        if (page := self._take()) is not None:
            self._crawler.engine.crawl(self._request(page))

    def _request(self, page: Page) -> Request:
        kind, spider = KINDS[page.key.kind], self._spider
        return Request(
            address(spider.crawl.site, page.key, spider.crawl.scope),
            callback=spider.on_slow_response if kind.is_slow else spider.on_response,
            errback=spider.on_failure,
            headers=dict(kind.headers),
            meta={"download_slot": kind.host, "page": page, "download_maxsize": kind.max_bytes},
            dont_filter=True,
        )
