"""Views: how the site shows its world. A fault can change the view of a single request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """How lists and widgets are shown; the defaults are the site's.

    Attributes:
        withheld: number of newest items that a list with several pages does not show (not yet, or no longer).
        gap_every: after this many items of a list, one item is counted but not shown; 0: no gaps. Comments have
            no gaps.
        photos_page: photos per page of a movie's list (older layouts: 40).
        has_data_ids: whether photos in a list may have a `data-id`, besides the link to their page.
        has_like_widget: whether a photo's page shows how many people like it.
        has_like_numbers: whether the newer like widget has a number (for guests it can be empty).
        lists_likers: whether a photo's page lists the people who like it.
        has_gone_likes: whether liked photos that are gone stay in a person's list, and the favourites have ids of
            their own, which are not the photos'.
        is_throttled: whether a page of a list has its heading, but no items and no link to the next page.
        has_next_link: whether a page of a list links to the next page.
        keeps_total: whether a throttled JSON list still claims its total; otherwise the total is 0.
        has_blank_items: whether JSON lists have `{}` for hidden items, and a null subject for deleted movies.
        narrows_total: whether the total of a JSON list of one kind of photo counts only this kind.
    """

    withheld: int = 0
    gap_every: int = 0
    photos_page: int = 30
    has_data_ids: bool = True
    has_like_widget: bool = True
    has_like_numbers: bool = True
    lists_likers: bool = True
    has_gone_likes: bool = False
    is_throttled: bool = False
    has_next_link: bool = True
    keeps_total: bool = True
    has_blank_items: bool = False
    narrows_total: bool = True


PLAIN = View()


@dataclass(frozen=True)
class Shown(Generic[T]):
    """A page of a list: its items, the start of the next page (None on the last), and the total that it claims."""

    items: list[T]
    next_start: int | None
    total: int


def n_withheld(n_items: int, size: int, view: View) -> int:
    """Return how many items of a list a view withholds: none if the other items fit on one page."""
    return view.withheld if n_items - view.withheld > size else 0


def show(items: Sequence[T], start: int, size: int, view: View = PLAIN) -> Shown[T]:
    """Return the page of a list that starts at position `start` and has `size` positions, as shown in a view."""
    items = items[n_withheld(len(items), size, view) :]
    step = view.gap_every + 1
    total = len(items) + (len(items) // view.gap_every if view.gap_every else 0)
    if view.is_throttled:
        return Shown([], None, total)
    end = min(start + size, total)
    if step > 1:
        shown = [items[place - place // step] for place in range(start, end) if (place + 1) % step]
    else:
        shown = list(items[start:end])
    return Shown(shown, start + size if start + size < total and view.has_next_link else None, total)
