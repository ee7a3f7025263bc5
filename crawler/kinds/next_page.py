"""Finds the page to which a list's next-page link leads."""

from urllib.parse import parse_qs, urljoin, urlsplit

from crawler.page import Key, NotUnderstood


def next_key(here: str, key: Key, next_url: str | None, seen: int, claimed: int | None = None) -> Key | None:
    """Return the page that a list's link to its next page leads to; only the offset is taken from the link.

    A short page need not be the last one (hidden items take up places). An empty page before the claimed total is not
    the last one either; an empty page after it is, even if it has a link.

    Args:
        here: the address of the page with the link.
        key: the page with the link.
        next_url: the link.
        seen: how many items the page showed.
        claimed: how many items the page claims the whole list has.

    Raises:
        NotUnderstood: the link leads out of the list, or not forward.
    """
    if next_url is None or (seen == 0 and key.start >= (claimed or 0)):
        return None
    origin = urlsplit(here)
    target = urlsplit(urljoin(here, next_url))
    start = parse_qs(target.query).get("start", [""])[0]
    if target[:3] != origin[:3] or not start.isdecimal() or int(start) <= key.start:
        raise NotUnderstood(key.kind, "next_url", f"leads out of the list: {next_url[:80]!r}")
    return key._replace(start=int(start))
