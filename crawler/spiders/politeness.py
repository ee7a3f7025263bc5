"""The rules of politeness: a minimum delay, one request at a time, and who we are.

On any host other than this machine, at least `FLOOR_S` seconds pass between two requests whatever the options say,
a contact is required, and a host without a readable robots.txt is not crawled (`robots.py`). On loopback
(the sandbox) robots.txt is obeyed too, and the delay is `--delay-s`, by default none.
"""

import functools
import re
from dataclasses import dataclass
from importlib.metadata import version

from crawler.sites import Site, host_key
from crawler.spiders.clock import HostClock, host_clock
from dataset.errors import UsageError

FLOOR_S = 5.0
SANDBOX_CONCURRENCY = 16


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
    return Politeness(True, max(FLOOR_S, delay_s), 1, contact, timeout_s or 50.0, attempts, 30.0)


@functools.cache  # asked for every request, and the version is read from a file
def user_agent(contact: str | None) -> str:
    """Return the User-Agent: the project, its version and a contact."""
    return f"douban-keyframes/{version('douban-keyframes')} (+{contact or 'local test'})"
