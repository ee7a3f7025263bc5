"""Runs a stage in Scrapy, in this process, and reports how it ended.

Scrapy's reactor can start only once per process, so a command runs one stage. The package `flows` starts the command
as a child process.
"""

import gc
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.statscollectors import StatsCollector
from twisted.python.failure import Failure

from crawler.archive.records import Origin
from crawler.archive.warc import Archive
from crawler.kinds import KINDS
from crawler.kinds.kind import CrawlContext, PageKind
from crawler.ledger.ledger import Ledger
from crawler.ledger.pages import STATES
from crawler.plan import drop_settled, kinds_of, phases_of
from crawler.spiders.meter import Meter
from crawler.spiders.pages import StagePages, may_go_on
from crawler.spiders.politeness import Politeness, user_agent
from crawler.spiders.rest import Rest, say_paused
from crawler.spiders.robots import HostRules, read_robots
from crawler.spiders.settings import CrawlSettings, scrapy_settings
from crawler.spiders.spider import StageSpider
from dataset.errors import MissingInputError, RefusedError, UnfinishedError
from dataset.progress import duration, progress


@dataclass(frozen=True)
class StageResult:
    """What a run of a stage did.

    Attributes:
        done: pages read.
        gone: pages that the site says do not exist.
        unavailable: pages that the site does not show to us.
        left: pages left because of `--max-requests`.
        set_aside: pages that the site refused in several runs, in which it answered others.
        missing: pages that failed, and may be missing.
        seconds: how long it took.
    """

    done: int
    gone: int
    unavailable: int
    left: int
    set_aside: int
    missing: int
    seconds: float


def run_stage(stage: str, crawl: CrawlSettings, ledger: Ledger) -> StageResult:
    """Read all pending pages of a stage.

    Raises:
        RefusedError: the site or its robots.txt refuses us; the command can be run again later.
        UnfinishedError: pages failed repeatedly, or a host cannot be reached.
        KeyboardInterrupt: a signal stopped it; pages in flight were finished first.
    """
    kinds, politeness = kinds_of(stage, scope=crawl.scope), crawl.politeness
    hosts = {host: crawl.site.hosts[host] for host in dict.fromkeys(KINDS[kind].host for kind in kinds)}
    rules, refusals, unreached = _read_rules(hosts, [KINDS[kind] for kind in kinds], politeness)
    ledger.revive(kinds)
    started = time.monotonic()
    context = CrawlContext(ledger, crawl.site, crawl.scope)
    pages = StagePages(context, phases_of(stage, crawl.scope), politeness, rules, refusals, unreached)
    with (
        Archive(crawl.crawl_dir, Origin(crawl.source, crawl.site, crawl.scope)) as archive,
        progress("pages") as bar,
    ):
        meter = Meter(bar, stage, ledger, kinds)
        stats = _crawl(crawl, context, archive, rules, pages, meter)
        meter.draw()
    with ledger.transaction():
        drop_settled(ledger, crawl.scope)
    missing = _raise_if_incomplete(pages, ledger, kinds, crawl)
    done, gone, unavailable = (stats.get_value(f"pages/{state}", 0) for state in ("done", "gone", "unavailable"))
    left, set_aside = ledger.count(kinds, "pending"), ledger.n_set_aside(kinds)
    return StageResult(done, gone, unavailable, left, set_aside, missing, time.monotonic() - started)


def _read_rules(
    hosts: Mapping[str, str], kinds: Sequence[PageKind], politeness: Politeness
) -> tuple[dict[str, HostRules], dict[str, str], dict[str, float]]:
    """Return the rules of each host; and, of hosts without which the run may go on, refusals and waits in vain.

    Raises:
        RefusedError: a host has no valid robots.txt, or asked to be left alone, and there is no other source.
        UnfinishedError: a host could not be reached, and there is no other source.
    """
    rules: dict[str, HostRules] = {}
    refusals: dict[str, str] = {}
    unreached: dict[str, float] = {}
    rest = Rest(politeness.backoff_s, politeness.patience_s)  # of all hosts together
    for host, base in hosts.items():
        try:
            rules |= _wait_for_rules(host, base, politeness, rest)
        except (RefusedError, UnfinishedError) as problem:
            if isinstance(problem, RefusedError):
                refusals[host] = str(problem)
            else:
                unreached[host] = rest.waited_s
            if not may_go_on(kinds, {*refusals, *unreached}):
                raise
    return rules, refusals, unreached


def _wait_for_rules(host: str, base: str, politeness: Politeness, rest: Rest) -> dict[str, HostRules]:
    """Read the rules of a host, as soon as it can be reached."""
    while True:
        try:
            return read_robots({host: base}, politeness, user_agent(politeness.contact))
        except MissingInputError as problem:
            wait_s = rest.begin(rest.until)
            if wait_s is None:
                raise UnfinishedError(
                    f"the {host} host could not be reached for {duration(rest.waited_s)} ({problem}); "
                    "nothing is lost: run the same command again to continue"
                ) from None
            say_paused(host, str(problem), wait_s)
            time.sleep(wait_s)


def _crawl(
    crawl: CrawlSettings,
    context: CrawlContext,
    archive: Archive,
    rules: dict[str, HostRules],
    pages: StagePages,
    meter: Meter,
) -> StatsCollector:
    """Run the spider to its end and return the stats; an exception in our code is raised unchanged."""
    process = CrawlerProcess(scrapy_settings(crawl, rules))
    # Otherwise Scrapy creates a log record for every page and discards it.
    logging.getLogger("scrapy.core").setLevel(logging.INFO)
    crawler = process.create_crawler(StageSpider)
    crawler.signals.connect(meter.update, signal=signals.request_left_downloader)
    problems: list[Failure] = []
    running = process.crawl(crawler, crawl=crawl, context=context, archive=archive, rules=rules, pages=pages)
    meter.stats = crawler.stats
    running.addErrback(problems.append)
    gc.collect()
    gc.freeze()  # the modules loaded so far are never freed, so the garbage collector need not scan them
    process.start()
    for problem in problems:
        problem.raiseException()
    if pages.defect is not None:
        raise pages.defect
    if cast(StageSpider, crawler.spider).close_reason != "finished":
        raise KeyboardInterrupt
    return crawler.stats


def _raise_if_incomplete(pages: StagePages, ledger: Ledger, kinds: Sequence[str], crawl: CrawlSettings) -> int:
    """Raise unless all pages are finished, or so few failed that they may be missing; return how many failed."""
    if pages.refusals and (pages.is_cut_short or ledger.count(kinds, "pending", "refused")):
        host, sign = next(iter(pages.refusals.items()))
        raise RefusedError(
            f"the {host} host refuses us ({sign}), so the crawl has stopped; nothing is lost: wait a day or more, "
            "raise --delay-s, then run the same command again (it begins with other pages)"
        )
    if pages.unreached and ((n := ledger.count(kinds, "pending")) or pages.is_cut_short):
        host, waited_s = next(iter(pages.unreached.items()))
        raise UnfinishedError(
            f"the {host} host could not be reached for {duration(waited_s)}; {n:,} known pages are left, nothing is "
            "lost: run the same command again to continue"
        )
    set_aside = ledger.n_set_aside(kinds)
    failed, known = ledger.count(kinds, "refused", "failed") - set_aside, ledger.count(kinds, *STATES)
    if failed <= crawl.allow_missing * known:
        return failed
    if refused := ledger.n_disallowed(kinds):
        raise RefusedError(
            f"{refused:,} pages were not requested because robots.txt disallows them; all other pages are finished "
            "(python -m crawler status counts them by kind); to go on without them: "
            f"--allow-missing {_rounded_up(failed / known):g}"
        )
    raise UnfinishedError(
        f"{failed:,} pages failed {crawl.politeness.attempts} times each (mostly: "
        f"{ledger.commonest_cause('failed')}); run the same command again to retry them, or go on without them: "
        f"--allow-missing {_rounded_up(failed / known):g} (a share of the stage's {known:,} pages)"
    )


def _rounded_up(share: float) -> float:
    """Return a share with two digits, not below it."""
    step = 10.0 ** (math.floor(math.log10(share)) - 1)
    return round(math.ceil(share / step - 1e-9) * step, 12)
