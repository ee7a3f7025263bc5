"""The movies a user has watched: `/people/<uid>/collect` (markup known from public spider code).

`/do` (watching) and `/wish` have the same markup, so a page whose heading does not say 看过 is not understood.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from lxml import etree

from crawler.kinds.comments import most_pages_per_list
from crawler.kinds.document import Document
from crawler.kinds.estimates import n_unplanned
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.kinds.next_page import next_key
from crawler.kinds.tree import one_line, select, text_of
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows
from crawler.page import Key, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

HEADING = re.compile(r"看过的(?:影视|电影)(?: ?[(（]([0-9]+)[)）])?$")
_MOVIE_LINK = re.compile(r"/subject/([0-9]{1,20})/?$")
_OUTER_CLASSES = ("item", "aside")
_UNKNOWN = "未知电影"  # the title of a movie that was deleted
_LONGEST_TITLE = 1000  # characters
_STARS = re.compile(r"rating([1-5])-t")


@dataclass(frozen=True)
class RatingRow:
    """A watched movie in a collection; `stars` is 1–5, None if it was not rated; `title` as the list shows it."""

    movie_id: str
    stars: int | None
    rated_on: date | None
    title: str | None = None


@dataclass(frozen=True)
class CollectionPage:
    """A page of a user's collection. `ratings` is empty past the end and in an empty collection."""

    person: Person
    ratings: tuple[RatingRow, ...]
    claimed_total: int | None
    next_url: str | None


def address(site: Site, key: Key) -> str:
    """Return the address of a page of 15 movies that a user has watched, newest first."""
    query = urlencode({"start": key.start, "sort": "time", "rating": "all", "filter": "all", "mode": "grid"})
    return f"{site.movie}/people/{key.subject}/collect?{query}"


def parse_collection(html: str, url: str) -> CollectionPage:
    """Return a page of a user's ratings, newest first as shown (15 per page).

    Always present: the profile's heading (`X看过的影视(1157)`) or items; in each item one movie
    link and the date. May be absent: stars (watched, not rated), the avatar, the total, the next
    page's link, and all items (past the end).

    Raises:
        NotUnderstood: the page has no such list, or an item's movie, stars or date cannot be read.
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
    """Yield the items of the list, without those inside another item or an aside.

    Most pages of a crawl are of this kind, so this walks through the tree once instead of using XPath.
    """
    is_inside: dict[etree._Element, bool] = {}  # whether an element's children are inside an item or an aside
    for node in root.iter("div", "li"):
        if _has_class(node.get("class"), "item"):
            parent = node.getparent()
            if parent not in is_inside:
                is_inside[parent] = any(
                    _has_class(above.get("class"), name) for above in node.iterancestors() for name in _OUTER_CLASSES
                )
            if not is_inside[parent]:
                yield node


def _rating(page: Document, item: etree._Element) -> RatingRow:
    ids: set[str] = set()
    links: list[etree._Element] = []
    date: etree._Element | None = None
    marks: list[etree._Element] = []
    for node in item.iter(etree.Element):
        if node.tag == "a" and (link := _MOVIE_LINK.search(node.get("href", ""))):
            ids.add(link[1])
            links.append(node)
        if (classes := node.get("class")) is not None:
            if date is None and _has_class(classes, "date"):
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
    return RatingRow(movie_id, _stars(page, beside or marks), day, _title(links))


def _title(links: Sequence[etree._Element]) -> str | None:
    """Return the title in the links to a movie (`title / another title`), None if they have none to keep."""
    for link in reversed(links):  # the first one holds the poster
        title = one_line("".join(link.itertext()).partition(" / ")[0])
        if title and title != _UNKNOWN and "\ufffd" not in title and len(title) <= _LONGEST_TITLE:
            return title
    return None


def _has_class(classes: str | None, name: str) -> bool:
    """Return whether an element has a class; the first test avoids splitting the classes of most elements."""
    return classes is not None and name in classes and name in classes.split()


def _stars(page: Document, marks: Sequence[etree._Element]) -> int | None:
    """Return the number of stars beside the date; raise if there is any other mark."""
    if not marks:
        return None
    classes = [mark.get("class") for mark in marks if mark.get("class") is not None]
    found = _STARS.fullmatch(classes[0].strip()) if len(marks) == len(classes) == 1 else None
    if found is None:
        raise page.not_understood("stars", f"is {classes}")
    return int(found[1])


def record(context: CrawlContext, page: Page, parsed: CollectionPage, at: float) -> Key | None:
    """Store the ratings of a page."""
    ledger, claimed, seen = context.ledger, parsed.claimed_total, len(parsed.ratings)
    user_id = ledger.user_id(parsed.person)
    items = {row.movie_id: (row.stars, row.rated_on and row.rated_on.isoformat()) for row in parsed.ratings}
    rows = ListRows("ratings", {"user_id": user_id}, "movie_id", ("stars", "rated_on"), is_newest_first=True)
    list_pass = ListPass(ledger, page, at, rows, items)
    ledger.upsert(
        "ratings",
        [
            {"user_id": user_id, "movie_id": movie_id, "stars": stars, "rated_on": day, "seen_at": list_pass.at}
            for movie_id, (stars, day) in items.items()
        ],
    )
    ledger.add_listed_titles({row.movie_id: row.title for row in parsed.ratings if row.title})
    ledger.mark_done(page, list_pass.at, seen=seen, claimed=claimed)
    following = next_key(
        address(context.site, page.key), page.key, parsed.next_url, seen, claimed, context.scope.max_list_items
    )
    return list_pass.follow(following, claimed)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("collection", uid) for uid in scope.uids)


def _unplanned(ledger: Ledger, scope: Scope) -> float | None:
    """Estimate the lists to be planned: of users in the scope, and of users whom unread comments will lead to."""
    named = n_unplanned(ledger, "collection", scope.uids)
    pages_per_list = reports.pages_per_finished_list(ledger, "comments") or most_pages_per_list(ledger, scope) or 1.0
    unread = ledger.count(["comments"], "pending") + n_unplanned(ledger, "comments", scope.movie_ids) * pages_per_list
    if not unread:
        return named
    read, found = ledger.count(["comments"], "done"), ledger.n_lists("collection")
    bound = None if scope.max_users is None else max(0.0, scope.max_users - found)
    if not read:
        return bound
    to_be_found = unread * found / read
    return named + (to_be_found if bound is None else min(to_be_found, bound))


COLLECTION = HtmlKind(
    name="collection",
    host="movie",
    stage="ratings",
    table="ratings",
    subject="user_id",
    address=address,
    parser=parse_collection,
    record=record,
    first_pages=_first_pages,
    unplanned=_unplanned,
    refresh_days=7.0,
)
