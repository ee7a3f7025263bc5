"""The settings of a crawl from the command line, and Scrapy's settings for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crawler.scope import Scope, Source
from crawler.sites import Site
from crawler.spiders.politeness import Politeness, user_agent
from crawler.spiders.robots import HostRules


@dataclass(frozen=True)
class CrawlSettings:
    """The settings of a crawl, from the command line."""

    crawl_dir: Path
    site: Site
    source: Source
    politeness: Politeness
    scope: Scope = field(default_factory=Scope)
    allow_missing: float = 0.0


def scrapy_settings(crawl: CrawlSettings, rules: dict[str, HostRules]) -> dict[str, Any]:
    """Return Scrapy's settings: one slot per host with its own delay; redirects, cookies and retries off.

    The scheduler paces the requests; the slots' delays only make sure that Scrapy never sends faster. Only the
    middlewares named here are loaded. All others are unwanted (cookies, redirects, caches), or replaced by the ledger
    (retries, duplicate filter) and by `crawler.spiders.robots` (robots.txt). No proxy is used, whatever the environment
    says.
    """
    from crawler.kinds.tree import MAX_PAGE_BYTES  # here, because it loads the parsers of all pages

    politeness = crawl.politeness
    return {
        "BOT_NAME": "douban-keyframes",
        "USER_AGENT": user_agent(politeness.contact),
        "SCHEDULER": "crawler.spiders.scheduler.LedgerScheduler",
        "DOWNLOAD_SLOTS": {
            host: {"delay": rule.delay_s, "concurrency": politeness.concurrency, "jitter": 0.0}
            for host, rule in rules.items()
        },
        "DOWNLOAD_DELAY": max(rule.delay_s for rule in rules.values()),
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "CONCURRENT_REQUESTS": politeness.concurrency * len(rules),
        "CONCURRENT_REQUESTS_PER_DOMAIN": politeness.concurrency,
        "CONCURRENT_ITEMS": 1,  # callbacks return no items; Scrapy would start 100 tasks per page for them
        "DOWNLOAD_TIMEOUT": politeness.timeout_s,
        "DOWNLOAD_HANDLERS_BASE": dict.fromkeys(("http", "https"), "crawler.spiders.downloads.BoundedHandler"),
        "DOWNLOAD_MAXSIZE": MAX_PAGE_BYTES,  # each request has the bound of its kind
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOADER_MIDDLEWARES_BASE": {
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
            "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": 590,
        },
        "DOWNLOADER_MIDDLEWARES": {"crawler.spiders.middleware.HostRulesMiddleware": 900},
        "EXTENSIONS_BASE": {},
        "SPIDER_MIDDLEWARES_BASE": {},
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_FILE": str(crawl.crawl_dir / "crawl.log"),
        "LOG_LEVEL": "INFO",
    }
