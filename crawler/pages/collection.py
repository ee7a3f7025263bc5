"""What a user has watched: `/people/<uid>/collect` (grade C).

The same markup serves `/do` (watching) and `/wish`; a heading that does not say 看过 is refused.
"""

import re
from collections.abc import Iterator, Sequence

from lxml import etree

from crawler.pages.reading import Document
from crawler.pages.rows import CollectionPage, Person, RatingRow
from crawler.pages.tree import select, text_of

HEADING = re.compile(r"看过的(?:影视|电影)(?: ?[(（]([0-9]+)[)）])?$")
_MOVIE_LINK = re.compile(r"/subject/([0-9]+)/?$")
_APART = ("item", "aside")
_STARS = re.compile(r"rating([1-5])-t")


def parse_collection(html: str, url: str) -> CollectionPage:
    """Return a page of a user's ratings, newest first as shown (15 a page).

    Always there: the profile's heading (`X看过的影视(1157)`) or items; in each item one movie
    link and the date. May be absent: stars (watched, not rated), the avatar, the total, the next
    page's link, and all items (past the end).

    Raises:
        NotUnderstood: there is no such list, or an item's movie, stars or date cannot be told.
    """
    page = Document.read("collection", html, url)
    url_uid = page.id_in_url("uid", r"/people/([^/]+)/collect")
    header = page.css("#db-usr-profile")
    heading = text_of(select(header, "h1"))
    found = HEADING.search(heading)
    if heading and not found:
        raise page.not_understood("heading", f"is {heading[-30:]!r}, not of a list of watched movies")
    items = list(_items(page.root))
    if not items and (not found or page.css('.article a[href*="/subject/"]')):
        raise page.not_understood("items")
    person = page.person(select(header, "a"), select(header, "img")) or Person(url_uid, url_uid)
    return CollectionPage(
        person=person,
        ratings=tuple(_rating(page, item) for item in items),
        claimed_total=_total(page, found[1] if found else None),
        next_url=page.next_url(_next_links(page), also=f"/people/{person.uid}/collect"),
    )


def _total(page: Document, in_heading: str | None) -> int | None:
    if in_heading is not None:
        return page.count("claimed_total", in_heading)
    shown = text_of(page.css("span.subject-num"))
    return page.count_after("claimed_total", "/ ?([0-9]+)$", shown) if shown else None


def _next_links(page: Document) -> list[str]:
    return page.css(".paginator span.next a::attr(href)") or page.css('link[rel="next"]::attr(href)')


def _items(root: etree._Element) -> Iterator[etree._Element]:
    """Yield the items of the list: not what stands within another, nor aside.

    Most pages of a crawl are of this kind, so items are walked through once and not asked by XPath.
    """
    apart: dict[etree._Element, bool] = {}  # whether what stands in an element is within an item, or aside
    for node in root.iter("div", "li"):
        if _is_of(node.get("class"), "item"):
            parent = node.getparent()
            if parent not in apart:
                apart[parent] = any(
                    _is_of(above.get("class"), name) for above in node.iterancestors() for name in _APART
                )
            if not apart[parent]:
                yield node


def _rating(page: Document, item: etree._Element) -> RatingRow:
    ids: set[str] = set()
    date: etree._Element | None = None
    marks: list[etree._Element] = []
    for node in item.iter(etree.Element):
        if node.tag == "a" and (link := _MOVIE_LINK.search(node.get("href", ""))):
            ids.add(link[1])
        if (classes := node.get("class")) is not None:
            if date is None and _is_of(classes, "date"):
                date = node
            if node.tag == "span" and classes.startswith("rating"):
                marks.append(node)
    if len(ids) != 1:
        raise page.not_understood("movie_id", f"is {sorted(ids)}" if ids else "not found in an item")
    movie_id = ids.pop()
    if date is None:
        raise page.not_understood("rated_on", f"not found for movie {movie_id}")
    day = page.day("rated_on", text_of(date))
    beside = [*date.itersiblings("span", preceding=True), *date.iterchildren("span")]
    return RatingRow(movie_id, _stars(page, beside or marks), day)


def _is_of(classes: str | None, name: str) -> bool:
    """Return whether a class is one of an element's; most elements have nothing like it, and are not split."""
    return classes is not None and name in classes and name in classes.split()


def _stars(page: Document, marks: Sequence[etree._Element]) -> int | None:
    """Return the stars beside the date; any other mark there is one we do not know."""
    if not marks:
        return None
    classes = [mark.get("class") for mark in marks if mark.get("class") is not None]
    found = _STARS.fullmatch(classes[0].strip()) if len(marks) == len(classes) == 1 else None
    if found is None:
        raise page.not_understood("stars", f"is {classes}")
    return int(found[1])
