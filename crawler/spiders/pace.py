"""Decides when the next request to a host may be sent."""


class HostPace:
    """The delay between two requests to a host, from the end of one to the start of the next.

    The delay grows to the host's latency if the host answers slowly, as in Scrapy's AutoThrottle with one request at a
    time, and falls back when it recovers. It never falls below `least_s`.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = max(least_s, most_s)
        self.delay_s = least_s
        self.free_at = 0.0

    def ended(self, now: float, latency_s: float | None = None, is_ok: bool = False) -> None:
        """Start the delay, because a request has ended.

        Args:
            now: the time, from a monotonic clock.
            latency_s: how long the host took to answer; None if it did not answer.
            is_ok: whether the status was 200; any other answer (an error is often fast) never shortens the delay.
        """
        if self._least_s and latency_s is not None:
            delay_s = max(latency_s, (self.delay_s + latency_s) / 2)
            if is_ok or delay_s > self.delay_s:
                self.delay_s = min(max(self._least_s, delay_s), self._most_s)
        self.free_at = now + self.delay_s
