"""Manners towards the site: robots.txt first, a delay that nothing lowers, and one request at a time.

For a host that is not this very machine, `FLOOR_S` seconds lie between two requests whatever the
options say, a contact is named, and a robots.txt that is not a clean answer means that the host
is not crawled. On loopback (the sandbox) robots.txt is obeyed all the same, and the delay is the
one asked for, by default none.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import requests
from protego import Protego
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from crawler.sites import Site, robots_txt
from dataset.errors import MissingInputError, RefusedError, UsageError

FLOOR_S = 5.0
SANDBOX_CONCURRENCY = 16
_MAX_ROBOTS_BYTES = 512 << 10
# Douban's robots.txt asks for it in a comment; that counts.
_COMMENTED_DELAY = re.compile(r"^\s*#\s*crawl-delay\s*:\s*(\d+(?:\.\d+)?)\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Manners:
    """How to behave towards a site. Made by `manners_for`, which holds the floor.

    Attributes:
        is_slow: whether delays apply at all (always, unless the site is on loopback).
        delay_s: the least time between two requests to a host; robots.txt can only raise it.
        concurrency: requests at once to a host.
        attempts: how often a page is tried before it is called failed.
        backoff_s: the wait before the second try; it doubles from try to try.
    """

    is_slow: bool
    delay_s: float
    concurrency: int
    contact: str | None
    timeout_s: float
    attempts: int
    backoff_s: float


class NoRobotsError(RefusedError):
    """A host without a robots.txt (404); it is not crawled either, but that is no sign of refusal."""


@dataclass(frozen=True)
class HostRules:
    """What one host wants, from its robots.txt, and when it was asked (`time.monotonic`)."""

    delay_s: float
    robots: Protego
    read_at: float

    def allows(self, url: str, user_agent: str) -> bool:
        """Return whether robots.txt lets us read an address."""
        return bool(self.robots.can_fetch(url, user_agent))


def manners_for(
    site: Site, contact: str | None, delay_s: float = 0.0, timeout_s: float | None = None, attempts: int = 5
) -> Manners:
    """Return the manners for a site; only a site that is all on loopback can go without the floor.

    A delay on loopback gives the manners of the real site with that delay.

    Raises:
        UsageError: the site is not on loopback and no contact is named.
    """
    if contact is not None and not re.fullmatch(r"[^\s@()]+@[^\s@()]+|https?://[^\s()]+", contact):
        raise UsageError(f"--contact {contact!r}: neither an e-mail address nor an http(s) address; give one")
    if site.is_loopback:
        concurrency = 1 if delay_s else SANDBOX_CONCURRENCY
        return Manners(delay_s > 0, delay_s, concurrency, contact, timeout_s or 10.0, attempts, 0.1)
    if contact is None:
        raise UsageError("a site other than the sandbox needs --contact, an e-mail or web address to be reached at")
    return Manners(True, max(FLOOR_S, delay_s), 1, contact, timeout_s or 60.0, attempts, 30.0)


def read_robots(hosts: Mapping[str, str], manners: Manners, user_agent: str) -> dict[str, HostRules]:
    """Read each host's robots.txt and return its rules, by the host's role; fails closed.

    Args:
        hosts: base address by role (`movie`, `www`, `images`).
        manners: whose delay robots.txt can only raise.
        user_agent: sent, and matched against the file's groups.

    Raises:
        RefusedError: a robots.txt that is not a clean 200.
        MissingInputError: nobody answers at the address.
    """
    return {
        role: host_rules(base, _read_one(base, manners, user_agent), manners, user_agent)
        for role, base in hosts.items()
    }


def host_rules(base: str, text: str, manners: Manners, user_agent: str) -> HostRules:
    """Return the rules of a host from the text of its robots.txt; off loopback, never below the floor."""
    robots = Protego.parse(text)
    if Site(base, base, base).is_loopback:
        return HostRules(manners.delay_s, robots, time.monotonic())
    asked = [float(found) for found in _COMMENTED_DELAY.findall(text)]
    delay_s = max(FLOOR_S, manners.delay_s, float(robots.crawl_delay(user_agent) or 0), *asked)
    return HostRules(delay_s, robots, time.monotonic())


def _read_one(base: str, manners: Manners, user_agent: str) -> str:
    """Return the text of a host's robots.txt."""
    url = robots_txt(base)
    is_loopback = Site(base, base, base).is_loopback
    with requests.Session() as session:
        session.trust_env = not is_loopback
        try:
            response = session.get(
                url, headers={"User-Agent": user_agent}, timeout=manners.timeout_s, allow_redirects=False
            )
        except requests.ConnectionError:
            remedy = "start it with: python -m crawler sandbox" if is_loopback else "check the network and the address"
            raise MissingInputError(f"{base}: nobody answers there; {remedy}") from None
        except requests.RequestException as error:
            raise RefusedError(_closed(url, type(error).__name__)) from None
    return _clean_text(url, response)


def _clean_text(url: str, response: requests.Response) -> str:
    content_type = response.headers.get("Content-Type", "text/plain").partition(";")[0].strip().lower()
    if response.status_code == 404:
        raise NoRobotsError(_closed(url, "status 404"))
    if response.status_code != 200:
        raise RefusedError(_closed(url, f"status {response.status_code}"))
    if content_type != "text/plain" or response.content.lstrip().startswith(b"<"):
        raise RefusedError(_closed(url, f"{content_type}, not plain text"))
    if len(response.content) > _MAX_ROBOTS_BYTES:
        raise RefusedError(_closed(url, f"{len(response.content):,} bytes"))
    return response.content.decode("utf-8-sig", errors="replace")


def _closed(url: str, what: str) -> str:
    return f"{url}: no clean answer ({what}), so that host is not crawled; try again tomorrow"


class Gatekeeper(Protocol):
    """A spider that can hold back a request at the last moment."""

    def gate(self, request: Request) -> None:
        """Raise `IgnoreRequest` if the request must not leave."""


class HostRulesMiddleware:
    """The last gate before the network: a planned host, an allowed path, and nobody who refused us.

    It also counts a failed request as one sent, so that the delay runs from its end.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        crawler.signals.connect(self._downloaded, signal=signals.response_downloaded)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "HostRulesMiddleware":
        """Return the middleware of a crawl."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Let an allowed request pass.

        Raises:
            IgnoreRequest: robots.txt disallows it, or its host has refused us.
        """
        cast(Gatekeeper, self._crawler.spider).gate(request)

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Start the delay anew at a failure's end."""
        if not isinstance(exception, IgnoreRequest):
            self._rest(request)

    def _downloaded(self, response: Response, request: Request) -> None:
        self._rest(request)

    def _rest(self, request: Request) -> None:
        slot = self._crawler.engine.downloader.slots.get(request.meta["download_slot"])
        if slot is not None:
            slot.lastseen = time.monotonic()
