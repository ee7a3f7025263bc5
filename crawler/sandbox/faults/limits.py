"""A limit of the rate of requests to each host, as guests have it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crawler.sandbox.answers import Answer, Answerer, Request, Role
from crawler.sandbox.faults.refusals import JSON_REFUSALS, REFUSALS


@dataclass(frozen=True)
class Allowance:
    """How often a host may be asked: the time between two requests, and the number of requests per minute."""

    delay_s: float
    most_per_minute: int


REAL_DELAY_S = 5.0
GUEST = Allowance(REAL_DELAY_S, 10)
ALLOWANCES: Mapping[Role, Allowance] = {"movie": GUEST, "www": GUEST, "images": GUEST, "mobile": Allowance(6.0, 8)}


class RateLimiter:
    """Refuses a request that comes too early on its host: within the delay, or as one too many in a minute.

    Time is scaled: with `delay_s` 0.05 for the real 5 s, a minute has 0.6 s. A host that refused continues to refuse
    for a scaled minute. A request can be read later than it was sent, and so seem closer to the next one; so
    intervals may be `slack_s` shorter. Requests for robots.txt count, but are answered.

    Args:
        delay_s: what stands for 5 s.
        slack_s: how much shorter an interval may be.
        clock: the time in seconds; for tests.
    """

    def __init__(self, delay_s: float, slack_s: float = 0.02, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused: list[tuple[Role, str]] = []  # the host, and which bound
        self._scale, self._slack_s, self._clock = delay_s / REAL_DELAY_S, slack_s, clock
        self._times: dict[Role, deque[float]] = {}
        self._refuses_until: dict[Role, float] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the true answer, or a refusal."""
        bound = self._exceeded(request.role)
        if bound is None or request.path == "/robots.txt":
            return answer(request)
        return JSON_REFUSALS["ip_limit"] if request.role == "mobile" else REFUSALS["block_redirect"]

    def _exceeded(self, role: Role) -> str | None:
        """Count a request; return which bound it exceeds, if any."""
        allowance, minute_s = ALLOWANCES[role], 60.0 * self._scale
        with self._lock:
            now, times = self._clock(), self._times.setdefault(role, deque(maxlen=allowance.most_per_minute))
            bound = None
            if now < self._refuses_until.get(role, float("-inf")):
                bound = "too early after a refusal"
            elif times and now - times[-1] < allowance.delay_s * self._scale - self._slack_s:
                bound = "within the delay"
            elif len(times) == times.maxlen and now - times[0] < minute_s - self._slack_s:
                bound = "too many in a minute"
            times.append(now)
            if bound:
                self.refused.append((role, bound))
                self._refuses_until[role] = now + minute_s
            return bound
