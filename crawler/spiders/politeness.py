"""The rules of politeness: robots.txt first, a minimum delay, and one request at a time.

On any host other than this machine, at least `FLOOR_S` seconds pass between two requests whatever the options say,
a contact is required, and a host without a readable robots.txt is not crawled. On loopback
(the sandbox) robots.txt is obeyed too, and the delay is `--delay-s`, by default none.
"""

import functools
import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, unquote, urlsplit

import requests
from protego import Protego

from crawler.sites import Site, host_key, is_loopback, robots_txt
from crawler.spiders.clock import HostClock, host_clock
from dataset.errors import MissingInputError, RefusedError, UsageError

FLOOR_S = 5.0
SANDBOX_CONCURRENCY = 16
_MAX_ROBOTS_BYTES = 512 << 10
_SIGNS_OF_ANOTHER_PATH = ("%", "\\", "//", "/.")
# Douban's robots.txt asks for a delay in a comment; the crawler obeys it.
_COMMENTED_DELAY = re.compile(r"^\s*#\s*crawl-delay\s*:\s*(\d+(?:\.\d+)?)\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Politeness:
    """How politely a site is read. Created by `politeness_for`, which enforces the minimum delay.

    Attributes:
        is_slow: whether there is a delay (always, except on loopback without `--delay-s`).
        delay_s: the minimum time between two requests to a host; robots.txt can only raise it.
        concurrency: the number of simultaneous requests to a host.
        contact: the e-mail or web address in the User-Agent.
        timeout_s: how long to wait for an answer.
        attempts: how often a page is requested before it is marked as failed.
        backoff_s: the wait before the second attempt; it doubles with each attempt.
    """

    is_slow: bool
    delay_s: float
    concurrency: int
    contact: str | None
    timeout_s: float
    attempts: int
    backoff_s: float

    def clock(self, base: str) -> HostClock:
        """Return the clock of a host, which all crawls and probes of this account share if there is a delay."""
        return host_clock(host_key(base)) if self.is_slow else HostClock(None)


class NoRobotsError(RefusedError):
    """A host has no robots.txt (404). It is not crawled, but this is not a sign of refusal."""


@dataclass(frozen=True)
class HostRules:
    """The rules of one host, from its robots.txt, and when that was read (`time.monotonic`)."""

    delay_s: float
    robots: Protego
    read_at: float

    def allows(self, url: str, user_agent: str) -> bool:
        """Return whether robots.txt allows an address, in every way in which the host may read its path."""
        if not any(sign in url[len("https://") :] for sign in _SIGNS_OF_ANOTHER_PATH):
            return bool(self.robots.can_fetch(url, user_agent))
        return all(self.robots.can_fetch(one, user_agent) for one in _readings(url))


def _readings(url: str) -> Iterator[str]:
    """Yield an address as it is, and with its path decoded and its dots and slashes resolved until nothing changes.

    Raises:
        ValueError: it is not an address.
    """
    yield url
    parts = urlsplit(url)
    path = ""
    while path != parts.path:
        path = parts.path
        decoded = unquote(path).replace("\\", "/")
        parts = parts._replace(path=posixpath.normpath(f"/{decoded.lstrip('/')}"))
        for one in (decoded, parts.path, f"{parts.path}/"):
            yield parts._replace(path=quote(one, safe="/:@!$&'()*+,;=~")).geturl()


def politeness_for(
    site: Site, contact: str | None, delay_s: float = 0.0, timeout_s: float | None = None, attempts: int = 5
) -> Politeness:
    """Return the politeness for a site; only a site that is entirely on loopback may have less than `FLOOR_S`.

    With a delay, a site on loopback is treated like the real site, with that delay.

    Raises:
        UsageError: the site is not on loopback and no contact is given.
    """
    if contact is not None and not re.fullmatch(r"[^\s@()]+@[^\s@()]+|https?://[^\s()]+", contact):
        raise UsageError(f"--contact {contact!r}: neither an e-mail address nor an http(s) address; give one")
    if site.is_loopback:
        concurrency = 1 if delay_s else SANDBOX_CONCURRENCY
        return Politeness(delay_s > 0, delay_s, concurrency, contact, timeout_s or 10.0, attempts, 0.1)
    if contact is None:
        raise UsageError("a site other than the sandbox needs --contact, an e-mail or web address to reach you")
    return Politeness(True, max(FLOOR_S, delay_s), 1, contact, timeout_s or 60.0, attempts, 30.0)


def read_robots(hosts: Mapping[str, str], politeness: Politeness, user_agent: str) -> dict[str, HostRules]:
    """Read each host's robots.txt and return the rules by the host's role; raise if one cannot be read.

    Args:
        hosts: base address by role (`movie`, `www`, `images`).
        politeness: gives the delay, which robots.txt can only raise, and the timeout.
        user_agent: sent, and matched against the file's groups.

    Raises:
        RefusedError: a host does not answer with status 200 and a plain text.
        MissingInputError: no server answers at the address.
    """
    return {
        role: host_rules(base, _read_in_turn(base, politeness, user_agent), politeness, user_agent)
        for role, base in hosts.items()
    }


def host_rules(base: str, text: str, politeness: Politeness, user_agent: str) -> HostRules:
    """Return the rules of a host from the text of its robots.txt; outside loopback the delay is at least `FLOOR_S`."""
    robots = Protego.parse(text)
    if is_loopback(base):
        return HostRules(politeness.delay_s, robots, time.monotonic())
    asked = [float(found) for found in _COMMENTED_DELAY.findall(text)]
    delay_s = max(FLOOR_S, politeness.delay_s, float(robots.crawl_delay(user_agent) or 0), *asked)
    return HostRules(delay_s, robots, time.monotonic())


def _read_in_turn(base: str, politeness: Politeness, user_agent: str) -> str:
    with politeness.clock(base).turn(politeness.delay_s):
        return _read_one(base, politeness, user_agent)


def _read_one(base: str, politeness: Politeness, user_agent: str) -> str:
    """Return the text of a host's robots.txt."""
    url = robots_txt(base)
    is_local = is_loopback(base)
    with requests.Session() as session:
        session.trust_env = not is_local
        try:
            response = session.get(
                url, headers={"User-Agent": user_agent}, timeout=politeness.timeout_s, allow_redirects=False
            )
        except requests.ConnectionError:
            remedy = "start it with: python -m crawler sandbox" if is_local else "check the network and the address"
            raise MissingInputError(f"{base}: no server answers; {remedy}") from None
        except requests.RequestException as error:
            raise RefusedError(_not_valid(url, type(error).__name__)) from None
    return _valid_text(url, response)


def _valid_text(url: str, response: requests.Response) -> str:
    """Return the text of an answer; raise if it is not a valid robots.txt."""
    content_type = response.headers.get("Content-Type", "text/plain").partition(";")[0].strip().lower()
    if response.status_code == 404:
        raise NoRobotsError(_not_valid(url, "status 404"))
    if response.status_code != 200:
        raise RefusedError(_not_valid(url, f"status {response.status_code}"))
    if content_type != "text/plain" or response.content.lstrip().startswith(b"<"):
        raise RefusedError(_not_valid(url, f"{content_type}, not plain text"))
    if len(response.content) > _MAX_ROBOTS_BYTES:
        raise RefusedError(_not_valid(url, f"{len(response.content):,} bytes"))
    return response.content.decode("utf-8-sig", errors="replace")


def _not_valid(url: str, what: str) -> str:
    return f"{url}: no valid robots.txt ({what}), so this host is not crawled; try again tomorrow"


@functools.cache  # asked for every request, and the version is read from a file
def user_agent(contact: str | None) -> str:
    """Return the User-Agent: the project, its version and a contact."""
    return f"douban-keyframes/{version('douban-keyframes')} (+{contact or 'local test'})"
