"""The progress bar of a stage: finished and known pages, retries and failures."""

import time
from collections.abc import Sequence

from scrapy.statscollectors import StatsCollector

from crawler.ledger.ledger import Ledger
from dataset.progress import Bars

_REDRAW_S = 0.25
_SETTLED = ("done", "gone", "unavailable", "refused", "failed")


class Meter:
    """Draws the progress of a stage from Scrapy's stats."""

    def __init__(self, bar: Bars, stage: str, ledger: Ledger, kinds: Sequence[str]) -> None:
        self.stats: StatsCollector | None = None
        self._bar = bar
        self._ledger = ledger
        self._settled_before = ledger.count(kinds, "done", "gone", "unavailable")
        self._known_before = self._settled_before + ledger.count(kinds, "pending") - ledger.pages_added
        self._task = bar.add_task(f"Crawling {stage}", total=None, completed=self._settled_before)
        self._drawn = time.monotonic()

    def update(self) -> None:
        """Redraw, at most a few times per second."""
        if time.monotonic() - self._drawn >= _REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the current state."""
        if self.stats is None:
            return
        self._drawn = time.monotonic()
        counts = {what: self.stats.get_value(f"pages/{what}", 0) for what in (*_SETTLED, "retried")}
        settled = sum(counts[state] for state in _SETTLED)
        words = {"retried": "retries", "failed": "failed"}
        note = ", ".join(f"{counts[state]:,} {word}" for state, word in words.items() if counts[state])
        total = self._known_before + self._ledger.pages_added
        self._bar.update(self._task, completed=self._settled_before + settled, total=total, note=note)
