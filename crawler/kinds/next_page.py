"""Finds the page to which a list's next-page link leads."""

from urllib.parse import parse_qs, urljoin, urlsplit

from crawler.page import Key, NotUnderstood, TooMuch
from crawler.scope import Scope

# A list that grows while it is read, and a total that lags behind it, are normal.
_BEYOND_CLAIM = 1.1
_BEYOND_ANY_CLAIM = 100


def next_key(
    here: str,
    key: Key,
    next_url: str | None,
    seen: int,
    claimed: int | None = None,
    most: int = Scope.max_list_items,
) -> Key | None:
    """Return the page that a list's link to its next page leads to; only the offset is taken from the link.

    A short page need not be the last one (hidden items take up places). An empty page before the claimed total is not
    the last one either. An empty page after it is the last one, even if it has a link.

    Args:
        here: the address of the page with the link.
        key: the page with the link.
        next_url: the link.
        seen: how many items the page showed.
        claimed: how many items the page claims the whole list has.
        most: how many items a list may have.

    Raises:
        NotUnderstood: the link leads out of the list, or not forward.
        TooMuch: the list goes on far beyond what it claims, or beyond `most` items.
    """
    if next_url is None or (seen == 0 and key.start >= (claimed or 0)):
        return None
    origin = urlsplit(here)
    target = urlsplit(urljoin(here, next_url))
    start = parse_qs(target.query).get("start", [""])[0]
    if target[:3] != origin[:3] or not start.isdecimal() or int(start) < key.start + max(seen, 1):
        raise NotUnderstood(key.kind, "next_url", f"leads out of the list: {next_url[:80]!r}")
    if int(start) > most:
        raise TooMuch(f"{key.kind} page: the list goes on beyond {most:,} items (--max-list-items)")
    if claimed is not None and int(start) > _BEYOND_CLAIM * claimed + _BEYOND_ANY_CLAIM:
        raise TooMuch(f"{key.kind} page: the list goes on beyond the {claimed:,} items that it claims")
    return key._replace(start=int(start))
