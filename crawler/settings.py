"""What a crawl is: its folder, its site, its scope and its manners; and Scrapy's settings for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crawler.politeness import HostRules, Manners
from crawler.sites import Site


@dataclass(frozen=True)
class Scope:
    """What to crawl. None means no bound.

    Attributes:
        movie_ids: movies whose comments lead to users.
        uids: users to start from, as numbers or slugs.
        photo_kinds: which photos become frames.
        picture_size: the site's name of a size (`sqxs`, `s`, `m`, `l`).
        liker_sources: `photo_page`, `user_likes`, or both.
        k: only movies and users of the k-core of the ratings so far get frames and likes; 0: all.
    """

    movie_ids: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
    max_users: int | None = None
    max_movies: int | None = None
    max_requests: int | None = None
    photo_kinds: tuple[str, ...] = ("still", "poster")
    picture_size: str = "m"
    liker_sources: tuple[str, ...] = ("photo_page",)
    k: int = 5


@dataclass(frozen=True)
class Source:
    """What is crawled, as the ledger and every export say it.

    Attributes:
        site: `sandbox`, `douban`, or the addresses of another site.
        world: the configuration of the sandbox's invented world; None for any other site.
    """

    site: str
    world: Mapping[str, Any] | None = None

    @property
    def is_invented(self) -> bool:
        """Whether no real person, film or picture is in it."""
        return self.world is not None

    def __str__(self) -> str:
        """Return it in words, for messages."""
        if self.world is None:
            return self.site
        return f"the {self.site} ({', '.join(f'{name} {value}' for name, value in self.world.items())})"

    def to_json(self) -> str:
        """Return it as JSON; equal sources give equal texts."""
        return json.dumps({"site": self.site, "is_invented": self.is_invented, "world": self.world}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Source":
        """Return what `to_json` wrote down."""
        told = json.loads(text)
        return cls(told["site"], told["world"])


@dataclass(frozen=True)
class CrawlSettings:
    """A crawl, as the command line describes it."""

    crawl_dir: Path
    site: Site
    source: Source
    manners: Manners
    scope: Scope = field(default_factory=Scope)


def user_agent(contact: str | None) -> str:
    """Return the User-Agent: the project, its version and whom to ask."""
    return f"douban-keyframes/{version('douban-keyframes')} (+{contact or 'local test'})"


def scrapy_settings(crawl: CrawlSettings, rules: dict[str, HostRules]) -> dict[str, Any]:
    """Return Scrapy's settings: one slot a host with its own delay; redirects, cookies and retries off.

    Only the middlewares named here are loaded: all others are either unwanted (cookies, redirects,
    caches) or done by the ledger (retries, filtering of repeats) or by `crawler.politeness` (robots.txt).
    """
    manners = crawl.manners
    delay_s = max(rule.delay_s for rule in rules.values())
    return {
        "BOT_NAME": "douban-keyframes",
        "USER_AGENT": user_agent(manners.contact),
        "DEFAULT_REQUEST_HEADERS": {"Accept": "text/html", "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"},
        "DOWNLOAD_SLOTS": {
            host: {"delay": rule.delay_s, "concurrency": manners.concurrency, "jitter": 0.0}
            for host, rule in rules.items()
        },
        "DOWNLOAD_DELAY": delay_s,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "CONCURRENT_REQUESTS": manners.concurrency * len(rules),
        "CONCURRENT_REQUESTS_PER_DOMAIN": manners.concurrency,
        "CONCURRENT_ITEMS": 1,  # callbacks give no items; Scrapy would start 100 tasks a page for them
        "DOWNLOAD_TIMEOUT": manners.timeout_s,
        "DOWNLOAD_MAXSIZE": 64 << 20,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_FAIL_ON_DATALOSS": True,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOADER_MIDDLEWARES_BASE": {
            "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
            "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": 590,
            "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": 750,
        },
        "DOWNLOADER_MIDDLEWARES": {"crawler.politeness.HostRulesMiddleware": 100},
        "EXTENSIONS_BASE": {"scrapy.extensions.throttle.AutoThrottle": 0},
        "AUTOTHROTTLE_ENABLED": manners.is_slow,  # it only ever slows down: never below DOWNLOAD_DELAY
        "AUTOTHROTTLE_MAX_DELAY": max(60.0, 2 * delay_s),
        "SPIDER_MIDDLEWARES_BASE": {},
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "HTTPPROXY_ENABLED": not crawl.site.is_loopback,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
        "LOGSTATS_INTERVAL": 0,
        "LOG_FILE": str(crawl.crawl_dir / "crawl.log"),
        "LOG_LEVEL": "INFO",
    }
