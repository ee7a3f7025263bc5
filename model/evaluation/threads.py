"""Threads that each compute alone: as many as the work has parts, at most as many as torch may use.

torch splits one operation between all cores of the machine. For blocks that fit in a core's cache, that costs
more than it gives, and the more cores there are, the more it costs. So the cores share the blocks instead.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Part = TypeVar("Part")
Found = TypeVar("Found")

_state = {"threads": 0}  # how many threads there are for parts while torch is set to one; 0 outside


def in_threads(work: Callable[[Part], Found], parts: Iterable[Part], n_parts: int) -> Iterator[Found]:
    """Yield `work(part)` for each of the `n_parts` parts, in their order. Only a few results wait at a time."""
    n_threads = min(_state["threads"] or torch.get_num_threads(), n_parts)
    if n_threads <= 1:
        yield from map(work, parts)
        return
    with _one_thread_each(), ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Found]] = deque()
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch use one thread per operation, here and in threads that are started inside the block."""
    before, outer = torch.get_num_threads(), _state["threads"]
    _state["threads"] = outer or before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _state["threads"] = outer
