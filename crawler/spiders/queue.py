"""The queue of one host: which page is requested next, and when.

At most `window` pages are handed out at once, so no request waits inside Scrapy, where it could not be
stopped any more. The ledger is read in batches. A list that has begun is finished first, so that it changes little
while it is read. Pages that were refused in an earlier run come as soon as the host has answered another page: if
one is refused again then, it is the page that the site refuses.
"""

import heapq
from collections import deque
from collections.abc import Sequence

from crawler.ledger.ledger import Ledger
from crawler.page import Page

_BATCH_PAGES = 256


class PageQueue:
    """Hands out the pending pages of some kinds, each once; failed pages again when they are due.

    Attributes:
        out: how many pages are handed out and not returned yet.
    """

    def __init__(self, ledger: Ledger, kinds: Sequence[str], window: int) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._window = window
        self._ready: deque[Page] = deque()
        self._later: list[tuple[float, int, Page]] = []
        self._held: set[int] = set()  # pages in memory: ready, later or out
        self._last_loaded = 0
        self._refused_before = ledger.pending_after_refusals(kinds)  # a run adds none: its host is stopped
        self.out = 0

    def take(self, now: float) -> Page | None:
        """Return the next page to request; None if none is due, or if `window` pages are handed out.

        `now` is from a monotonic clock.
        """
        if self.out >= self._window:
            return None
        if self._later and self._later[0][0] <= now:
            page = heapq.heappop(self._later)[2]
        else:
            if not self._ready:
                self._load()
            if not self._ready:
                return None
            page = self._ready.popleft()
        self.out += 1
        return page

    def has_due(self, now: float) -> bool:
        """Return whether `take` would return a page."""
        return self.out < self._window and (bool(self._later and self._later[0][0] <= now) or self.has_ready())

    def finish(self, page: Page, following: Page | None = None) -> None:
        """Take back a finished page; `following`, the next page of its list, comes before all others."""
        self.out -= 1
        self._held.discard(page.page_id)
        if following is not None and following.page_id not in self._held:
            self._held.add(following.page_id)
            self._ready.appendleft(following)

    def answered(self) -> None:
        """Put the pages that were refused in an earlier run before all others, because the host answers."""
        if self._refused_before:
            waiting, self._ready = self._ready, deque()
            self._hold_refused()
            self._ready.extend(waiting)

    def retry(self, page: Page, due: float) -> None:
        """Take back a page that failed; it is handed out again when it is due, by the clock of `take`."""
        self.out -= 1
        heapq.heappush(self._later, (due, page.page_id, page))

    def next_retry_at(self) -> float | None:
        """Return when the next retry is due; None if no page waits for one."""
        return self._later[0][0] if self._later else None

    def has_ready(self) -> bool:
        """Return whether a page can be handed out as soon as the window has room."""
        if not self._ready:
            self._load()
        return bool(self._ready)

    def _load(self) -> None:
        while not self._ready:
            batch = self._ledger.pending(self._kinds, self._last_loaded, _BATCH_PAGES)
            if not batch:
                self._hold_refused()
                return
            self._last_loaded = batch[-1].page_id
            self._hold(batch)

    def _hold_refused(self) -> None:
        self._hold(self._refused_before)
        self._refused_before = []

    def _hold(self, pages: Sequence[Page]) -> None:
        for page in pages:
            if page.page_id not in self._held:
                self._held.add(page.page_id)
                self._ready.append(page)
