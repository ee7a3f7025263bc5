"""Reads the items of a list, so that an odd one does not lose the page: it is left out and counted, with the reason."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from crawler.page import NotUnderstood

T = TypeVar("T")
U = TypeVar("U")

_FEW = 3


def read_items(items: Sequence[U], read: Callable[[U], T]) -> tuple[tuple[T, ...], dict[str, int]]:
    """Return what `read` gives for each item, and how many items could not be read, by reason.

    Raises:
        NotUnderstood: more than half of the items, and at least three, cannot be read.
    """
    rows: list[T] = []
    problems: list[NotUnderstood] = []
    for item in items:
        try:
            rows.append(read(item))
        except NotUnderstood as problem:
            problems.append(problem)
    if len(problems) >= _FEW and 2 * len(problems) > len(items):
        raise problems[0]
    return tuple(rows), dict(Counter(f"item not understood: {problem.field}" for problem in problems))


def read_shown_items(
    items: Sequence[U], read: Callable[[U], T | None], hidden: str
) -> tuple[tuple[T, ...], dict[str, int]]:
    """Return what `read_items` does; None from `read` is an item that does not show its content (`hidden` says why)."""
    rows, left_out = read_items(items, read)
    shown = tuple(row for row in rows if row is not None)
    return shown, left_out | {hidden: len(rows) - len(shown)} if len(shown) < len(rows) else left_out
