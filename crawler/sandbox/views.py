"""How the site shows its world: what a fault can ask to be shown otherwise, request by request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """How lists and widgets are shown; by default as the site is described.

    Attributes:
        withheld: how many of its newest items a list of several pages does not show (yet, or any more).
        gap_every: after so many items of a list is one that is counted, not shown; 0: none. Comments have no gaps.
        photos_page: photos on a page of a movie's list (older layouts: 40).
        has_data_ids: whether photos in a list may say their id, or only link to their page.
        has_like_widget: whether a photo's page says how many like it.
        lists_likers: whether a photo's page lists the people who like it.
    """

    withheld: int = 0
    gap_every: int = 0
    photos_page: int = 30
    has_data_ids: bool = True
    has_like_widget: bool = True
    lists_likers: bool = True


PLAIN = View()


@dataclass(frozen=True)
class Shown(Generic[T]):
    """A page of a list: its items, where the next page starts (None on the last), and the total it claims."""

    items: list[T]
    next_start: int | None
    total: int


def n_withheld(n_items: int, size: int, view: View) -> int:
    """Return how many items of a list a view withholds: none, unless the others fill more than a page."""
    return view.withheld if n_items - view.withheld > size else 0


def show(items: Sequence[T], start: int, size: int, view: View = PLAIN) -> Shown[T]:
    """Return the page of `size` places that begins at place `start` of a list, as seen in a view."""
    items = items[n_withheld(len(items), size, view) :]
    step = view.gap_every + 1
    total = len(items) + (len(items) // view.gap_every if view.gap_every else 0)
    end = min(start + size, total)
    if step > 1:
        shown = [items[place - place // step] for place in range(start, end) if (place + 1) % step]
    else:
        shown = list(items[start:end])
    return Shown(shown, start + size if start + size < total else None, total)
