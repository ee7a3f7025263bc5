"""Runs a stage in Scrapy, in this process, and tells how it ended.

Scrapy's reactor starts once in a process, so a command runs one stage; flows start the command
as a child process.
"""

import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from rich.progress import Progress
from scrapy.crawler import CrawlerProcess
from twisted.python.failure import Failure

from crawler.archive import Archive, Circumstances
from crawler.plan import HOSTS, Phase
from crawler.politeness import HostRules, read_robots
from crawler.settings import CrawlSettings, scrapy_settings, user_agent
from crawler.spiders.stage import StageSpider
from crawler.store import Ledger
from dataset.cli import progress
from dataset.errors import RefusedError, UnfinishedError

_REDRAW_S = 0.25


@dataclass(frozen=True)
class Outcome:
    """What a run of a stage did: pages read, pages found gone, and pages left by `--max-requests`."""

    done: int
    gone: int
    left: int
    seconds: float


def run_stage(stage: str, phases: tuple[Phase, ...], crawl: CrawlSettings, ledger: Ledger) -> Outcome:
    """Read all pending pages of a stage.

    Raises:
        RefusedError: the site or its robots.txt refuses us; the command can be run again later.
        UnfinishedError: pages failed again and again.
        KeyboardInterrupt: a signal stopped it; pages in flight were finished first.
    """
    kinds = [kind for phase in phases for kind in phase.kinds]
    bases = {"movie": crawl.site.movie, "www": crawl.site.www, "images": crawl.site.images}
    hosts = {host: bases[host] for host in dict.fromkeys(HOSTS[kind] for kind in kinds)}
    if crawl.manners.is_slow:  # another command may have asked the site just now
        time.sleep(crawl.manners.delay_s)
    rules = read_robots(hosts, crawl.manners, user_agent(crawl.manners.contact))
    ledger.revive(kinds)
    started = time.monotonic()
    under = Circumstances(crawl.source, crawl.site, crawl.scope)
    with Archive(crawl.crawl_dir, under) as archive, progress("pages") as bar:
        meter = _Meter(bar, stage, ledger, kinds)
        spider = _crawl(crawl, ledger, archive, rules, phases, meter)
        meter.draw(spider)
    _raise_if_incomplete(spider, ledger, kinds)
    left = _pages(ledger, kinds, "pending")
    return Outcome(spider.tally["done"], spider.tally["gone"], left, time.monotonic() - started)


def _crawl(
    crawl: CrawlSettings,
    ledger: Ledger,
    archive: Archive,
    rules: dict[str, HostRules],
    phases: tuple[Phase, ...],
    meter: "_Meter",
) -> StageSpider:
    """Run the spider to its end; a defect of ours comes out as its own exception."""
    process = CrawlerProcess(scrapy_settings(crawl, rules))
    logging.getLogger("scrapy.core").setLevel(logging.INFO)  # or a record is made for every page, and thrown away
    crawler = process.create_crawler(StageSpider)
    problems: list[Failure] = []
    running = process.crawl(
        crawler, crawl=crawl, ledger=ledger, archive=archive, rules=rules, phases=phases, on_page=meter.update
    )
    running.addErrback(problems.append)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: looking through it again and again would take time, and find nothing
    process.start()
    for problem in problems:
        problem.raiseException()
    spider = cast(StageSpider, crawler.spider)
    if spider.defect is not None:
        raise spider.defect
    if spider.close_reason != "finished":
        raise KeyboardInterrupt
    return spider


def _raise_if_incomplete(spider: StageSpider, ledger: Ledger, kinds: Sequence[str]) -> None:
    if spider.refusals:
        host, sign = next(iter(spider.refusals.items()))
        raise RefusedError(
            f"the {host} host refuses us ({sign}), so the crawl has stopped; nothing is lost: wait some hours, "
            "raise --delay-s, then run the same command again"
        )
    if refused := _pages(ledger, kinds, "refused"):
        raise RefusedError(
            f"{refused:,} pages were not requested, robots.txt disallows them; all others are settled "
            "(python -m crawler status lists them)"
        )
    if failed := _pages(ledger, kinds, "failed"):
        cause = ledger.value("SELECT cause FROM pages WHERE state = 'failed' GROUP BY cause ORDER BY count(*) DESC")
        raise UnfinishedError(
            f"{failed:,} pages failed {spider.crawl.manners.attempts} times each (mostly: {cause}); "
            "run the same command again to try them once more"
        )


def _pages(ledger: Ledger, kinds: Sequence[str], *states: str) -> int:
    return sum(n for (kind, state), n in ledger.counts().items() if kind in kinds and state in states)


class _Meter:
    """The progress bar of a stage: pages settled of pages known, pages a second, failures."""

    def __init__(self, bar: Progress, stage: str, ledger: Ledger, kinds: Sequence[str]) -> None:
        self._bar = bar
        self._ledger = ledger
        self._settled_before = _pages(ledger, kinds, "done", "gone")
        self._known_before = self._settled_before + _pages(ledger, kinds, "pending") - ledger.pages_added
        self._task = bar.add_task(stage, total=None, completed=self._settled_before, note="")
        self._started = self._drawn = time.monotonic()

    def update(self, spider: StageSpider) -> None:
        """Redraw, a few times a second at most."""
        if time.monotonic() - self._drawn >= _REDRAW_S:
            self.draw(spider)

    def draw(self, spider: StageSpider) -> None:
        """Draw how things stand."""
        self._drawn = time.monotonic()
        settled = sum(spider.tally[state] for state in ("done", "gone", "refused", "failed"))
        rate = settled / max(self._drawn - self._started, 1e-3)
        note = f"{rate:,.1f} pages/s"
        if retried := spider.tally["retried"]:
            note += f", {retried:,} retries"
        if failed := spider.tally["failed"]:
            note += f", {failed:,} failed"
        total = self._known_before + self._ledger.pages_added
        self._bar.update(self._task, completed=self._settled_before + settled, total=total, note=note)
