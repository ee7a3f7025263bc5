"""The rules of politeness: a minimum delay, a number of requests per minute, one request at a time, and who we are.

On any host other than this machine, at least `FLOOR_S` seconds pass between two requests and at most `MOST_PER_MINUTE`
are sent in any minute, whatever the options say; the mobile host's bounds are stricter (`OF_ROLE`). A contact is
required, and a host without a readable robots.txt is not crawled (`robots.py`). On loopback (the sandbox) robots.txt is
obeyed too, and the delay is `--delay-s`, by default none; the minute is as much shorter as the delay.
"""

import functools
import re
from dataclasses import dataclass
from importlib.metadata import version

from crawler.sites import Site, host_key
from crawler.spiders.clock import HostClock, Minute, host_clock
from dataset.errors import UsageError

FLOOR_S = 5.0
MOST_PER_MINUTE = 10
_BOUNDS = (FLOOR_S, MOST_PER_MINUTE)
OF_ROLE = {"mobile": (6.0, 8)}  # the same two bounds of a host that has its own
MINUTE_S = 60.0
SANDBOX_CONCURRENCY = 16
MOST_NOT_UNDERSTOOD = 3
PATIENCE_S = 8 * 3600.0
SANDBOX_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Politeness:
    """How politely a site is read. Created by `politeness_for`, which enforces the minimum delay.

    Attributes:
        is_slow: whether there is a delay (always, except on loopback without `--delay-s`).
        delay_s: the minimum time between two requests to a host; robots.txt can only raise it.
        minute_s: how long a minute is, in which a host gets at most a number of requests.
        patience_s: how long a host that cannot be reached is waited for in all.
        concurrency: the number of simultaneous requests to a host.
        contact: the e-mail or web address in the User-Agent.
        timeout_s: how long to wait for an answer.
        attempts: how often a page is requested before it is marked as failed.
        backoff_s: the wait before the second attempt; it doubles with each attempt.
        stop_after_not_understood: so many pages in a row that no parser understands stop a host, like a refusal.
    """

    is_slow: bool
    delay_s: float
    concurrency: int
    contact: str | None
    timeout_s: float
    attempts: int
    backoff_s: float
    stop_after_not_understood: int = MOST_NOT_UNDERSTOOD
    minute_s: float = MINUTE_S
    patience_s: float = PATIENCE_S

    def delay_of(self, role: str) -> float:
        """Return the minimum time between two requests to the host of a role."""
        floor_s, _ = OF_ROLE.get(role, _BOUNDS)
        return max(self.delay_s, floor_s * self.minute_s / MINUTE_S) if self.is_slow else 0.0

    def minute_of(self, role: str) -> Minute:
        """Return how many requests the host of a role gets in any minute."""
        _, most = OF_ROLE.get(role, _BOUNDS)
        return Minute(most, self.minute_s)

    def seconds_per_request(self, role: str) -> float:
        """Return the time per request that a long crawl needs at least, by the delay and by the minute."""
        minute = self.minute_of(role)
        return max(self.delay_of(role), minute.seconds / minute.most) if self.is_slow else 0.0

    def clock(self, base: str, role: str) -> HostClock:
        """Return the clock of a host, which all crawls and probes of this account share if there is a delay."""
        return host_clock(host_key(base), self.minute_of(role)) if self.is_slow else HostClock(None)


def politeness_for(
    site: Site,
    contact: str | None,
    delay_s: float = 0.0,
    timeout_s: float | None = None,
    attempts: int = 5,
    stop_after_not_understood: int = MOST_NOT_UNDERSTOOD,
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
        minute_s = MINUTE_S * min(1.0, delay_s / FLOOR_S)
        return Politeness(
            delay_s > 0,
            delay_s,
            concurrency,
            contact,
            timeout_s or 10.0,
            attempts,
            0.1,
            stop_after_not_understood,
            minute_s,
            SANDBOX_PATIENCE_S,
        )
    if contact is None:
        raise UsageError("a site other than the sandbox needs --contact, an e-mail or web address to reach you")
    return Politeness(
        True, max(FLOOR_S, delay_s), 1, contact, timeout_s or 50.0, attempts, 30.0, stop_after_not_understood
    )


@functools.cache  # asked for every request, and the version is read from a file
def user_agent(contact: str | None) -> str:
    """Return the User-Agent: the project, its version and a contact."""
    return f"douban-keyframes/{version('douban-keyframes')} (+{contact or 'local test'})"
