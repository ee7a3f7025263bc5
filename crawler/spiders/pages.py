"""Decides which page of a stage is requested next, and when. Independent of Scrapy.

A page waits until its host is free (`HostPace` in this crawl, `HostClock` among all of the account), and after a failed
attempt until its next attempt is due. When all pages of a phase are finished, the next phase begins. But if movies
turned out to be merged, the phase is planned again first, because the core of the ratings can be another one. After a
bug or `--max-requests`, no more pages are handed out.

A host that refuses us gets no more requests in this run. The other hosts get some only while one of them has another
source of the data (`PageKind.source`) than the host that refused; otherwise the run stops. Several pages in a row that
no parser understands are a refusal in a form that is not known.
"""

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from crawler.kinds import KINDS, is_page
from crawler.kinds.kind import CrawlContext, PageKind
from crawler.page import Key, Page
from crawler.plan import Phase, plan_phase
from crawler.spiders.closed import require_open
from crawler.spiders.pace import HostPace
from crawler.spiders.politeness import OF_ROLE, Politeness
from crawler.spiders.queue import PageQueue
from crawler.spiders.rest import Rest
from crawler.spiders.robots import HostRules
from dataset.errors import RefusedError

MAX_BACKOFF_S = 3600.0
MAX_DELAY_S = 60.0  # of a host that answers slowly; twice the host's own delay if that is more


def may_go_on(kinds: Iterable[PageKind], refusals: Collection[str]) -> bool:
    """Return whether a run that reads some kinds may go on, after some hosts have refused us.

    It may while one of the other hosts has another source of the data than the hosts that refused.
    """
    if not refusals:
        return True
    kinds = list(kinds)
    refused = {kind.source for kind in kinds if kind.host in refusals}
    return any(kind.host not in refusals and kind.source not in refused for kind in kinds)


def delay_of(host: str, rules: Mapping[str, HostRules]) -> float:
    """Return the delay between requests to a host: the longest that a host with the same bounds asks for."""
    return max(rule.delay_s for other, rule in rules.items() if OF_ROLE.get(other) == OF_ROLE.get(host))


class StagePages:
    """Hands out the pages of a stage one by one, and is told how each ended.

    Attributes:
        refusals: the sign of refusal, by host; a host in it gets no request.
        unreached: for how many seconds a host was waited for in vain, by host; a host in it gets no request.
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
        refusals: Mapping[str, str] | None = None,
        unreached: Mapping[str, float] | None = None,
    ) -> None:
        self.refusals: dict[str, str] = {**(refusals or {})}
        self.unreached: dict[str, float] = {**(unreached or {})}
        self.defect: Exception | None = None
        self.n_requests = 0
        self.is_over = False
        self._context = context
        self._phases = deque(phases)
        self._kinds = [kind for phase in self._phases for kind in phase]
        self._rules = rules
        self._politeness = politeness
        self._paces: dict[str, HostPace] = {}
        self._clocks = {host: politeness.clock(context.site.hosts[host], host) for host in rules}
        self._queues: dict[str, PageQueue] = {}
        self._phase: Phase = ()
        self._n_merged = len(context.ledger.aliases())
        self._answered_pages: dict[str, int] = {}  # how many pages of a host were understood
        self._rests: dict[str, Rest] = {}  # of hosts that cannot be reached
        self._odd: dict[str, list[Page]] = {}  # the last pages of a host, if none of them was understood
        for host, rule in rules.items():
            delay_s = delay_of(host, rules)
            self._paces[host] = HostPace(delay_s, max(MAX_DELAY_S, 2 * delay_s))
            self._paces[host].ended(rule.read_at)  # robots.txt was a request like any other

    def take(self, now: float) -> Page | None:
        """Return a page to request now; None if none is due or the stage is over. `now` is monotonic time."""
        while not self.is_over:
            if self._must_stop():
                self.is_over = True
                break
            queues, n_refusals = self._open_queues(), len(self.refusals)
            for host, queue in queues.items():
                if self._is_turn_of(host, now) and (page := queue.take(now)):
                    self.n_requests += 1
                    if is_page(page.key):
                        return page
                    self._context.ledger.mark(page, "gone", "its id has not the form of the site's ids")
                    self.hold_back(page)
            if len(self.refusals) > n_refusals:
                continue
            if any(queue.out for queue in self._queues.values()) or any(
                queue.next_retry_at() or queue.has_ready() for queue in queues.values()
            ):
                break
            self._begin_next_phase()
        return None

    def next_due(self) -> float | None:
        """Return the earliest time at which `take` may return a page, if no other page is finished before."""
        times = []
        for host, queue in self._open_queues().items():
            if queue.out < self._politeness.concurrency and not self._rules[host].are_old():
                due = 0.0 if queue.has_ready() else queue.next_retry_at()
                if due is not None:
                    times.append(max(due, self._paces[host].free_at))
        return min(times, default=None)

    def host_with_old_rules(self) -> str | None:
        """Return a host whose robots.txt must be read again before its next page is handed out."""
        return next((host for host in self._open_queues() if self._rules[host].are_old()), None)

    @property
    def is_cut_short(self) -> bool:
        """Whether a phase has not begun."""
        return bool(self._phases)

    # --- how a page ended ----------------------------------------------------------------------

    def answered(self, page: Page, latency_s: float | None = None, is_ok: bool = False) -> None:
        """Start the delay of the page's host, because its request has ended."""
        host = KINDS[page.key.kind].host
        self._clocks[host].end()
        self._paces[host].ended(time.monotonic(), latency_s, is_ok)
        if latency_s is not None:
            self.reached(host)

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

    def wait_for_host(self, page: Page, cause: str) -> float | None:
        """Take back a page whose host cannot be reached, and leave the host alone for a while; no attempt is counted.

        Returns:
            How long the wait is that begins now; 0 if one has begun already, None if the patience has ended.
        """
        host = KINDS[page.key.kind].host
        wait_s = self.leave_alone(host)
        self._context.ledger.mark(page, "pending", cause)
        self._queue(page).retry(page, self._rests[host].until)
        return wait_s

    def leave_alone(self, host: str) -> float | None:
        """Leave a host alone for a while that cannot be reached; return as `wait_for_host` does."""
        rest = self._rests.setdefault(host, Rest(self._politeness.backoff_s, self._politeness.patience_s))
        wait_s = rest.begin(time.monotonic())
        if wait_s is None:
            self.unreached[host] = rest.waited_s
        self._paces[host].free_at = max(self._paces[host].free_at, rest.until)
        return wait_s

    def free_in(self, host: str) -> float:
        """Return in how many seconds a host may be asked again."""
        return max(0.0, self._paces[host].free_at - time.monotonic())

    def reached(self, host: str) -> None:
        """Note that a host answers, whatever it says."""
        self._rests.pop(host, None)

    def refuse(self, host: str, cause: str, pages: Sequence[Page] = ()) -> None:
        """Stop a host, because it refuses us; `pages` are the refused ones, which count only at the first refusal."""
        if host in self.refusals:
            return
        self.refusals[host] = cause
        for page in pages:
            self._context.ledger.count_refusal(page, n_answered=self._answered_pages.get(host, 0))

    def understood(self, page: Page) -> None:
        """Note that the host of a page answers."""
        host = KINDS[page.key.kind].host
        self._answered_pages[host] = self._answered_pages.get(host, 0) + 1
        self._odd.pop(host, None)
        self._queues[host].answered()

    def not_understood(self, page: Page, cause: str) -> None:
        """Stop the host of a page that no parser understands, if it is the last of several such pages in a row."""
        host = KINDS[page.key.kind].host
        odd = self._odd.setdefault(host, [])
        odd[:] = [*(one for one in odd if one.page_id != page.page_id), page]
        if len(odd) >= self._politeness.stop_after_not_understood:
            self.refuse(host, f"{len(odd)} pages in a row were not understood, the last: {cause}", odd)

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
            try:
                require_open(self._context.site.hosts[host])
            except RefusedError as refused:  # what another crawl of this account was told
                self.refuse(host, str(refused))
                return False
            wait_s = self._clocks[host].begin(pace.delay_s)  # another crawl may have sent a request just now
            pace.free_at = now + wait_s
            return not wait_s
        return True

    def _must_stop(self) -> bool:
        limit = self._context.scope.max_requests
        is_at_limit = limit is not None and self.n_requests >= limit
        return self.defect is not None or is_at_limit or not may_go_on(self._kinds, self._closed)

    def _open_queues(self) -> dict[str, PageQueue]:
        return {host: queue for host, queue in self._queues.items() if host not in self._closed}

    @property
    def _closed(self) -> set[str]:
        """The hosts that get no request any more."""
        return {*self.refusals, *self.unreached}

    def _begin_next_phase(self) -> None:
        n_merged = len(self._context.ledger.aliases())
        if n_merged > self._n_merged:
            self._n_merged = n_merged
        elif self._phases:
            self._phase = self._phases.popleft()
        else:
            self.is_over = True
            return
        phase = self._phase
        plan_phase(self._context, phase)
        for kind in phase:
            if kind.like_source is not None:  # a dataset can do without likes, which a guest may not see
                others = [one.name for one in KINDS.values() if one.host == kind.host and one is not kind]
                self._context.ledger.set_kind_aside(kind.name, others)
        kinds: dict[str, list[str]] = {}
        for kind in phase:
            kinds.setdefault(kind.host, []).append(kind.name)
        window = self._politeness.concurrency
        self._queues = {host: PageQueue(self._context.ledger, names, window) for host, names in kinds.items()}

    def is_refused(self, host: str) -> bool:
        """Return whether a host must get no request, because it or another one refuses us."""
        return host in self.refusals or not may_go_on(self._kinds, self.refusals)

    def _queue(self, page: Page) -> PageQueue:
        return self._queues[KINDS[page.key.kind].host]
