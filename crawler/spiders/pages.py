"""Decides which page of a stage is requested next, and when. Independent of Scrapy.

A page waits until its host is free (`HostPace` in this crawl, `HostClock` among all of the account), and after a failed
attempt until its next attempt is due. When all pages of a phase are finished, the next phase begins. After a refusal, a
bug or `--max-requests`, no more pages are handed out.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping

from crawler.kinds import KINDS, is_page
from crawler.kinds.kind import CrawlContext
from crawler.page import Key, Page
from crawler.plan import Phase, plan_phase
from crawler.spiders.pace import HostPace
from crawler.spiders.politeness import Politeness
from crawler.spiders.queue import PageQueue
from crawler.spiders.robots import HostRules

MAX_BACKOFF_S = 3600.0
MAX_DELAY_S = 60.0  # of a host that answers slowly; twice the host's own delay if that is more


class StagePages:
    """Hands out the pages of a stage one by one, and is told how each ended.

    Attributes:
        refusals: the sign of refusal, by host.
        defect: an exception in our code (a bug, or a file that cannot be written); it ends the crawl.
        n_requests: how many requests were sent.
        is_over: whether no page is left to hand out.
    """

    def __init__(
        self,
        context: CrawlContext,
        phases: Iterable[Phase],
        politeness: Politeness,
        rules: Mapping[str, HostRules],
    ) -> None:
        delay_s = max(rule.delay_s for rule in rules.values())
        self.refusals: dict[str, str] = {}
        self.defect: Exception | None = None
        self.n_requests = 0
        self.is_over = False
        self._context = context
        self._phases = deque(phases)
        self._rules = rules
        self._politeness = politeness
        self._paces = {host: HostPace(delay_s, max(MAX_DELAY_S, 2 * delay_s)) for host in rules}
        self._clocks = {host: politeness.clock(context.site.hosts[host]) for host in rules}
        self._queues: dict[str, PageQueue] = {}
        for host, rule in rules.items():
            self._paces[host].ended(rule.read_at)  # robots.txt was a request like any other

    def take(self, now: float) -> Page | None:
        """Return a page to request now; None if none is due or the stage is over. `now` is monotonic time."""
        while not self.is_over:
            if self._must_stop():
                self.is_over = True
                break
            for host, queue in self._queues.items():
                if self._is_turn_of(host, now) and (page := queue.take(now)):
                    self.n_requests += 1
                    if is_page(page.key):
                        return page
                    self._context.ledger.mark(page, "gone", "its id has not the form of the site's ids")
                    self.hold_back(page)
            if any(queue.out or queue.next_retry_at() or queue.has_ready() for queue in self._queues.values()):
                break
            self._begin_next_phase()
        return None

    def next_due(self) -> float | None:
        """Return the earliest time at which `take` may return a page, if no other page is finished before."""
        times = []
        for host, queue in self._queues.items():
            if queue.out < self._politeness.concurrency and not self._rules[host].are_old():
                due = 0.0 if queue.has_ready() else queue.next_retry_at()
                if due is not None:
                    times.append(max(due, self._paces[host].free_at))
        return min(times, default=None)

    def host_with_old_rules(self) -> str | None:
        """Return a host whose robots.txt must be read again before its next page is handed out."""
        return next((host for host in self._queues if self._rules[host].are_old()), None)

    # --- how a page ended ----------------------------------------------------------------------

    def answered(self, page: Page, latency_s: float | None = None, is_ok: bool = False) -> None:
        """Start the delay of the page's host, because its request has ended."""
        host = KINDS[page.key.kind].host
        self._clocks[host].end()
        self._paces[host].ended(time.monotonic(), latency_s, is_ok)

    def finish(self, page: Page, following: Key | None = None) -> None:
        """Take back a finished page; `following` is the page of its list to request next."""
        self._queue(page).finish(page, following and self._context.ledger.page(following))

    def retry(self, page: Page, cause: str) -> bool:
        """Take back a page that failed, to retry it later; return False if it has no attempt left."""
        if page.attempts + 1 >= self._politeness.attempts:
            return False
        wait_s = min(MAX_BACKOFF_S, self._politeness.backoff_s * 2**page.attempts)
        postponed = self._context.ledger.postpone(page, cause, time.time() + wait_s)
        self._queue(page).retry(postponed, time.monotonic() + wait_s)
        return True

    def refuse(self, host: str, cause: str) -> None:
        """Stop, because a host refuses us."""
        self.refusals.setdefault(host, cause)

    def fail(self, error: Exception) -> None:
        """Stop, because of an exception in our code; the first one is kept."""
        self.defect = self.defect or error

    def hold_back(self, page: Page) -> None:
        """Take back a page whose request was not sent."""
        self.n_requests -= 1
        self._clocks[KINDS[page.key.kind].host].withdraw()
        self.finish(page)

    def _is_turn_of(self, host: str, now: float) -> bool:
        """Return whether a request to a host may be sent now; if so and a page is due, its turn is taken."""
        pace = self._paces[host]
        if pace.free_at > now or self._rules[host].are_old():
            return False
        if self._politeness.is_slow and self._queues[host].has_due(now):
            wait_s = self._clocks[host].begin(pace.delay_s)  # another crawl may have sent a request just now
            pace.free_at = now + wait_s
            return not wait_s
        return True

    def _must_stop(self) -> bool:
        limit = self._context.scope.max_requests
        return bool(self.refusals) or self.defect is not None or (limit is not None and self.n_requests >= limit)

    def _begin_next_phase(self) -> None:
        if not self._phases:
            self.is_over = True
            return
        phase = self._phases.popleft()
        plan_phase(self._context, phase)
        kinds: dict[str, list[str]] = {}
        for kind in phase:
            kinds.setdefault(kind.host, []).append(kind.name)
        window = self._politeness.concurrency
        self._queues = {host: PageQueue(self._context.ledger, names, window) for host, names in kinds.items()}

    def _queue(self, page: Page) -> PageQueue:
        return self._queues[KINDS[page.key.kind].host]
