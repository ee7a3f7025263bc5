"""Bounds how many bytes of pictures are in progress at the same time."""

import threading


class BytesBudget:
    """Counts bytes that are in memory; whoever would exceed the limit waits. Threads share it.

    Args:
        limit: how many bytes; one picture that is larger is alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._changed = threading.Condition()

    def take(self, n_bytes: int) -> None:
        """Wait until there is room for some bytes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + n_bytes <= self._limit)
            self._used += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Make room."""
        with self._changed:
            self._used -= n_bytes
            self._changed.notify_all()
