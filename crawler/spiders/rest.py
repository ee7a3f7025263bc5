"""How long a host that cannot be reached is left alone, before one more request shows whether it answers again.

The waits double, up to an hour. If the host does not answer within the operator's patience, the run ends; its pages
stay pending. A host that answers, in whatever way, can be reached: what it says is not a reason to wait here.
"""

import sys

from scrapy.exceptions import CannotResolveHostError, DownloadConnectionRefusedError, DownloadTimeoutError
from twisted.internet.error import ConnectError

from dataset.cli import say
from dataset.progress import duration

_FIRST = 2  # times the wait before a page's second attempt
_MOST = 60  # times the first wait


class Rest:
    """The waits of one host since it was last reached.

    Args:
        backoff_s: the wait before a page's second attempt.
        patience_s: how long the host is waited for in all.

    Attributes:
        until: when the current wait ends, by the monotonic clock.
        waited_s: the sum of the waits since the host was last reached.
    """

    def __init__(self, backoff_s: float, patience_s: float) -> None:
        self.until = 0.0
        self.waited_s = 0.0
        self._first_s = _FIRST * backoff_s
        self._patience_s = patience_s
        self._n = 0

    def begin(self, now: float) -> float | None:
        """Begin the next wait and return its length; 0 if the current one has not ended, None if patience has."""
        if now < self.until:
            return 0.0
        wait_s: float = min(self._first_s * 2**self._n, _MOST * self._first_s, self._patience_s - self.waited_s)
        if wait_s <= 0:
            return None
        self._n += 1
        self.waited_s += wait_s
        self.until = now + wait_s
        return wait_s


def say_paused(host: str, cause: str, wait_s: float) -> None:
    """Say on stderr that a host is left alone."""
    say(
        f"PAUSED: the {host} host cannot be reached ({cause}); next try in {duration(wait_s)}, or stop the command and "
        "run it again later",
        file=sys.stderr,
    )


def cannot_be_reached(error: BaseException) -> bool:
    """Return whether a request failed because no connection could be made."""
    is_connect_timeout = isinstance(error, DownloadTimeoutError) and isinstance(error.__cause__, ConnectError)
    return is_connect_timeout or isinstance(
        error, CannotResolveHostError | DownloadConnectionRefusedError | ConnectError
    )
