"""Makes items in threads before they are asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def one_ahead(items: Iterator[T]) -> Generator[T]:
    """Yield items. A thread makes the next one while one is used."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        future = thread.submit(next, items, None)
        while (item := future.result()) is not None:
            future = thread.submit(next, items, None)
            yield item


def each_ahead(work: Callable[[T], R], items: Iterable[T], n_threads: int) -> Generator[R]:
    """Yield `work` of each item, in order. Threads do the work for the next items while one is used."""
    with ThreadPoolExecutor(n_threads, "ahead") as threads:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(threads.submit(work, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
