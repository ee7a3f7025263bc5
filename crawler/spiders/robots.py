"""robots.txt: reading it, what it allows, and how old it is.

If a host's robots.txt cannot be read, or is no robots.txt, the host is not crawled. What is read is bounded, so that no
answer takes more than a moment to read.
"""

import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from protego import Protego

from crawler.page import Answer, TooMuch
from crawler.sites import is_loopback, robots_txt
from crawler.spiders.closed import close_host, require_open
from crawler.spiders.fetch import NoAnswer, NotConnected, fetch
from crawler.spiders.politeness import FLOOR_S, Politeness
from dataset.errors import MissingInputError, RefusedError

MAX_AGE_S = 86_400.0  # then it is read again
_MAX_BYTES = 512 << 10
_MAX_AGENTS = 5_000
_MAX_RULES = 1_000_000  # counted once per user agent of their group, as Protego stores them
_MAX_DELAY_S = 3_600.0
_SIGNS_OF_ANOTHER_PATH = ("%", "\\", "//", "/.")
_LINE = re.compile("[a-z][a-z -]*:")
# Douban's robots.txt asks for a delay in a comment; the crawler obeys it.
_COMMENTED_DELAY = re.compile(r"#[ \t]*crawl-delay[ \t]*:[ \t]*([0-9]{1,9}(?:\.[0-9]{1,9})?)[ \t]*", re.IGNORECASE)


class NoRobotsError(RefusedError):
    """A host has no robots.txt (404). It is not crawled, but this is not a sign of refusal."""


@dataclass(frozen=True)
class HostRules:
    """The rules of one host, from its robots.txt.

    Attributes:
        read_at: when it was read, by the monotonic clock.
        read_on: the same in Unix time.
    """

    delay_s: float
    robots: Protego
    read_at: float
    read_on: float = field(default_factory=time.time)

    def are_old(self) -> bool:
        """Return whether robots.txt must be read again before the next request."""
        return not 0 <= time.time() - self.read_on < MAX_AGE_S

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


def read_robots(hosts: Mapping[str, str], politeness: Politeness, user_agent: str) -> dict[str, HostRules]:
    """Read each host's robots.txt and return the rules by the host's role; raise if one cannot be read.

    Args:
        hosts: base address by role, as in `Site.hosts`.
        politeness: gives the delay, which robots.txt can only raise, and the timeout.
        user_agent: sent, and matched against the file's groups.

    Raises:
        RefusedError: a host does not answer with status 200 and a plain text, or asked to be left alone.
        MissingInputError: no connection could be made to a host.
    """
    return {
        role: host_rules(base, _read_one(base, politeness, user_agent, role), politeness, user_agent, role)
        for role, base in hosts.items()
    }


def host_rules(base: str, text: str, politeness: Politeness, user_agent: str, role: str = "movie") -> HostRules:
    """Return the rules of a host from the text of its robots.txt; outside loopback the delay is at least `FLOOR_S`.

    Raises:
        RefusedError: it has too many rules, or asks for a delay of more than an hour.
    """
    lines = [line.strip() for line in text.lower().splitlines()]
    agents = sum("agent" in line for line in lines)
    if agents > _MAX_AGENTS or agents * len(lines) > _MAX_RULES:
        raise RefusedError(_not_valid(robots_txt(base), f"{len(lines):,} lines for {agents:,} user agents"))
    robots = Protego.parse(text)
    if is_loopback(base):
        return HostRules(politeness.delay_of(role), robots, time.monotonic())
    asked = [float(found[1]) for found in map(_COMMENTED_DELAY.fullmatch, lines) if found]
    delay_s = max(FLOOR_S, politeness.delay_of(role), float(robots.crawl_delay(user_agent) or 0), *asked)
    if delay_s > max(_MAX_DELAY_S, politeness.delay_s):
        raise RefusedError(_not_valid(robots_txt(base), f"it asks for {delay_s:,.0f} s between two requests"))
    return HostRules(delay_s, robots, time.monotonic())


def _read_one(base: str, politeness: Politeness, user_agent: str, role: str) -> str:
    """Return the text of a host's robots.txt."""
    require_open(base)
    url = robots_txt(base)
    try:
        with politeness.clock(base, role).turn(politeness.delay_of(role)):
            answer = fetch(url, {"User-Agent": user_agent}, politeness.timeout_s, _MAX_BYTES)
    except NotConnected as problem:
        remedy = (
            "start it with: python -m crawler sandbox" if is_loopback(base) else "check the network and the address"
        )
        raise MissingInputError(f"{base}: no server answers, {problem}; {remedy}") from None
    except (NoAnswer, TooMuch) as problem:
        raise RefusedError(_not_valid(url, str(problem))) from None
    if answer.status != 200:
        close_host(base, answer.retry_after)
    return _valid_text(url, answer)


def _valid_text(url: str, answer: Answer) -> str:
    """Return the text of an answer; raise if it is not a valid robots.txt."""
    content_type = (answer.content_type or "text/plain").partition(";")[0].strip().lower()
    if answer.status == 404:
        raise NoRobotsError(_not_valid(url, "status 404"))
    if answer.status != 200:
        raise RefusedError(_not_valid(url, f"status {answer.status}"))
    if content_type != "text/plain" or answer.body.lstrip().startswith(b"<"):
        raise RefusedError(_not_valid(url, f"{content_type}, not plain text"))
    text = _decoded(answer.body)
    lines = [line for line in map(str.strip, text.lower().splitlines()) if line and not line.startswith("#")]
    if "\0" in text or (lines and not any(map(_LINE.match, lines))):
        raise RefusedError(_not_valid(url, "no line of it is a rule"))
    return text


def _decoded(body: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16 if it begins with the mark of that; signs of neither are replaced."""
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return body.decode(encoding, errors="replace")


def _not_valid(url: str, what: str) -> str:
    return f"{url}: no valid robots.txt ({what}), so this host is not crawled; try again tomorrow"
