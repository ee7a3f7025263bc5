"""Where a list in the mobile JSON goes on, and where it ends.

A page advances by the count asked, not by the items shown, since hidden items take up places. A list ends with an empty
page or with a page without a new item; a total only says that an **empty** page before it is a sign of a throttle. So
such a page is read again, and is the end only if it stays empty.

A series can answer under `/tv/` only, and one broken item makes a whole page fail (status 500). Both are part of
`Key.variant`: `tv` is the path, and `one` a page of one item. The page that failed is done without items; its items
are read one by one, and the broken ones are counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from crawler.kinds.kind import CrawlContext
from crawler.kinds.mobile.json_kind import Elsewhere, ItemFailed
from crawler.ledger.detours import cause_of, largest_claim, left_out_between, open_page
from crawler.ledger.ledger import Ledger
from crawler.page import EndsEarly, Key, NotUnderstood, Page, TooMuch

READINGS = 4  # of an empty page before the claimed total; on the real site they take about 4 minutes
_MOST_FAILED = 10  # items of one page: more say that not the items fail, but the host
FAILED = "the site fails on it (500)"
_FLAGS = ("tv", "one")


@dataclass(frozen=True)
class Place:
    """The parts of a key's variant: the kind of list (of photos), the path, and whether it is a page of one item."""

    name: str
    is_tv: bool = False
    is_one: bool = False

    @classmethod
    def of(cls, key: Key) -> "Place":
        """Return the parts of a key's variant."""
        parts = [part for part in key.variant.split("-") if part]
        name = next((part for part in parts if part not in _FLAGS), "")
        return cls(name, "tv" in parts, "one" in parts)

    @property
    def variant(self) -> str:
        """The variant of a key."""
        return "-".join(filter(None, (self.name, "tv" * self.is_tv, "one" * self.is_one)))

    @property
    def path(self) -> str:
        """The part of the address that says what the subject is."""
        return "tv" if self.is_tv else "movie"


def variants(*names: str, has_tv: bool = True) -> tuple[str, ...]:
    """Return all variants of a list, or of lists with these names."""
    return tuple(
        Place(name, is_tv, is_one).variant
        for name in names or ("",)
        for is_tv in ((False, True) if has_tv else (False,))
        for is_one in (False, True)
    )


def list_page(page: Page) -> Page:
    """Return a page of one item as a page of its list."""
    variant = replace(Place.of(page.key), is_one=False).variant
    return replace(page, key=page.key._replace(variant=variant))


def with_detours(
    store: Callable[[CrawlContext, Page, Any, float], Key | None], page_size: int
) -> Callable[[CrawlContext, Page, Any, float], Key | None]:
    """Return a `record` that also follows what is not the page itself: another address, or a page that fails.

    Args:
        store: stores what a page holds, and returns the page of its list to read next.
        page_size: how many items are asked for at once; 0: not a list.
    """

    def record(context: CrawlContext, page: Page, parsed: Any, at: float) -> Key | None:
        match parsed:
            case Elsewhere():
                return _follow(context.ledger, page, parsed, at)
            case ItemFailed():
                return _one_by_one(context.ledger, page, page_size, at)
        return store(context, page, parsed, at)

    return record


def _follow(ledger: Ledger, page: Page, to: Elsewhere, at: float) -> Key:
    key, place = page.key, Place.of(page.key)
    other = key._replace(variant=Place(place.name, to.path == "tv", place.is_one).variant)
    if other == key or (place.is_tv and ledger.page(other, of_any_state=True)):  # that one has led here
        raise NotUnderstood(key.kind, "address", "leads in a circle")
    ledger.mark_done(page, at)
    return open_page(ledger, other, at)


def _one_by_one(ledger: Ledger, page: Page, page_size: int, at: float) -> Key | None:
    """Read the items of a page that failed twice one by one; leave out an item that failed three times."""
    key, place = page.key, Place.of(page.key)
    before = cause_of(ledger, page)
    if not before.startswith(f"{key.kind} page: field 'status 500"):
        raise NotUnderstood(key.kind, "status 500")
    if place.is_one and not before.startswith(f"{key.kind} page: field 'status 500 again"):
        raise NotUnderstood(key.kind, "status 500 again")
    if not place.is_one:
        ledger.mark_done(page, at)
        return open_page(ledger, key._replace(variant=Place(place.name, place.is_tv, is_one=True).variant), at)
    if left_out_between(ledger, key, key.start - key.start % page_size) >= _MOST_FAILED:
        raise NotUnderstood(key.kind, "status 500", f"of more than {_MOST_FAILED} items of a page")
    ledger.mark_done(page, at, left_out={FAILED: 1})
    return open_page(ledger, after(key, page_size), at)


def after(key: Key, page_size: int) -> Key:
    """Return the page after a page; after the last item of a page that failed, a whole page again."""
    place = Place.of(key)
    if not place.is_one:
        return key._replace(start=key.start + page_size)
    is_last = (key.start + 1) % page_size == 0
    return key._replace(start=key.start + 1, variant=Place(place.name, place.is_tv, not is_last).variant)


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        claimed: the total that it claims.
        n_items: how many items it shows.
        n_new: how many of them are new in this reading.
        is_unsure: it is empty, and no page of this reading has claimed a total, because the first one failed.
    """

    claimed: int | None
    n_items: int
    n_new: int
    is_unsure: bool = False

    @classmethod
    def of(cls, ledger: Ledger, page: Page, claimed: int | None, n_items: int, n_new: int | None = None) -> "Shown":
        """Return what a page shows. An empty page claims what the reading's other pages do: a throttled host says 0."""
        if not n_items:
            first = list_page(page).key._replace(start=0)
            one_by_one = replace(Place.of(first), is_one=True).variant
            claimed = max(claimed or 0, largest_claim(ledger, first, (first.variant, one_by_one)) or 0)
            return cls(claimed, 0, 0, is_unsure=Place.of(page.key).is_one and not claimed)
        return cls(claimed, n_items, n_items if n_new is None else n_new)


def next_page(page: Page, shown: Shown, page_size: int, most: int) -> Key | None:
    """Return the page after a page that was read; None if it is the last one.

    Args:
        page: the page.
        shown: what it shows.
        page_size: how many items are asked for at once.
        most: how many items a list may have.

    Raises:
        TooMuch: the list goes on beyond `most` items.
    """
    key, place = page.key, Place.of(page.key)
    following, claimed = after(key, page_size), shown.claimed
    if not shown.n_items:
        return following if place.is_one and key.start < (claimed or 0) else None
    is_short = not place.is_one and shown.n_items < page_size
    if (not shown.n_new and key.start) or (is_short and claimed is not None and following.start >= claimed):
        return None
    if following.start > most:
        raise TooMuch(f"{key.kind} page: the list goes on beyond {most:,} items (--max-list-items)")
    return following


def require_settled(ledger: Ledger, page: Page, shown: Shown) -> None:
    """Check that a page which is empty before the claimed total, or without one, was so `READINGS` times.

    Raises:
        EndsEarly: it was not; the host may be throttled.
    """
    if shown.n_items or (page.key.start >= (shown.claimed or 0) and not shown.is_unsure):
        return
    what = f"{page.key.kind} page: empty before the claimed total, reading"
    before = cause_of(ledger, page)
    n_before = int(before.rpartition(" ")[2]) if before.startswith(what) else 0
    if n_before + 1 < READINGS:
        raise EndsEarly(f"{what} {n_before + 1}")
