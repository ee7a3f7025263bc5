"""The movies a user has watched: `/people/<uid>/collect` (markup known from public spider code).

`/do` (watching) and `/wish` have the same markup, so a page whose heading does not say 看过 is not understood.
The site shows a list in two modes: `grid`, and `list` with twice as many items per page, each with the same movie,
stars and date. An offset counts items in both, so a list that was begun in one mode can continue in the other.
A mark can lack its date, and the row of a deleted film lacks date and stars (and its title can be 未知电影).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import parse_qs, urlencode

from lxml import etree

from crawler.kinds.document import Document
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext, Fills
from crawler.kinds.next_page import next_key
from crawler.kinds.sources import n_people_to_come
from crawler.kinds.tree import one_line, select, text_of, title_of
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows
from crawler.page import Key, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

RATINGS_PER_PAGE = 15
PER_PAGE = {"grid": RATINGS_PER_PAGE, "list": 30}  # by mode
HEADING = re.compile(r"看过的(?:影视|电影)(?: ?[(（]([0-9]+)[)）])?$")
_MOVIE_LINK = re.compile(r"^(?:https?:)?(?://([^/]*))?/subject/([0-9]{1,20})/?(?:[?#]|$)")
_PLACES_OF_TITLE = ("title", "pic")  # of the link to an item's film; a comment can hold links to other films
_OUTER_CLASSES = ("item", "aside")
_MANY_WITHOUT_DATE = 3
_UNKNOWN = "未知电影"  # the title of a movie that was deleted
_LONGEST_TITLE = 1000  # characters
_STARS = re.compile(r"rating([1-5])-t")


@dataclass(frozen=True)
class RatingRow:
    """A watched movie or series in a list; `stars` is 1–5, None if it was not rated; some marks have no date.

    `title` is as the list shows it, None if it shows none to keep.
    """

    movie_id: str
    stars: int | None
    rated_on: date | None
    title: str | None = None


@dataclass(frozen=True)
class CollectionPage:
    """A page of a user's collection. `ratings` is empty past the end and in an empty collection.

    `left_out` counts the items that could not be read, by reason. `places` is how many items fit on such a page; hidden
    items count.
    """

    person: Person
    ratings: tuple[RatingRow, ...]
    claimed_total: int | None
    next_url: str | None
    left_out: dict[str, int] = field(default_factory=dict)
    places: int = RATINGS_PER_PAGE


def address(site: Site, key: Key, mode: str = "grid") -> str:
    """Return the address of a page of movies that a user has watched, newest first: 15, or 30 in the mode `list`."""
    query = urlencode({"start": key.start, "sort": "time", "rating": "all", "filter": "all", "mode": mode})
    return f"{site.movie}/people/{key.subject}/collect?{query}"


def _address_in(site: Site, key: Key, scope: Scope) -> str:
    return address(site, key, scope.collection_mode)


def parse_collection(html: str, url: str) -> CollectionPage:
    """Return a page of a user's ratings, newest first as shown (15 per page, 30 in the mode `list`).

    Always present: the profile's heading (`X看过的影视(1157)`), or the same words as title and items; in
    each item a link to the movie. May be absent: a date, stars (watched, not rated), the avatar, the total,
    the next page's link, and all items (past the end).

    Raises:
        NotUnderstood: the page has no such list, most of its items cannot be read, or most have no date.
    """
    page = Document.read("collection", html, url)
    url_uid = page.id_in_url("uid", r"/people/([^/]+)/collect")
    header = page.css("#db-usr-profile")
    heading = text_of(select(header, "h1"))
    shown = heading or title_of(page.root)
    found = HEADING.search(shown)
    if not found:
        raise page.not_understood("heading", f"is {shown[-30:]!r}, not of a list of watched movies")
    items = list(_items(page.root))
    if not items and (not heading or page.css('.article a[href*="/subject/"]')):
        raise page.not_understood("items")
    ratings, left_out = page.read_items(items, lambda item: _rating(page, item))
    _require_dates(page, ratings)
    person = page.person(select(header, "a"), select(header, "img")) or Person(url_uid, url_uid)
    return CollectionPage(
        person=person,
        ratings=ratings,
        claimed_total=_total(page, found[1] if found else None),
        next_url=page.next_url(_next_links(page), also=f"/people/{person.uid}/collect"),
        left_out=left_out,
        places=_places(page, items),
    )


def _places(page: Document, items: Sequence[etree._Element]) -> int:
    """Return how many items fit on the page: its items, or else its address, say which mode it is in."""
    is_list = items[0].tag == "li" if items else parse_qs(page.url.query).get("mode") == ["list"]
    return PER_PAGE["list" if is_list else "grid"]


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


def _require_dates(page: Document, ratings: Sequence[RatingRow]) -> None:
    """Check that dates are where they are expected: some marks have none, but not all, nor most of those with stars."""
    rated = [rating for rating in ratings if rating.stars is not None]
    for rows, share in ((ratings, 1.0), (rated, 0.5)):
        n_without = sum(row.rated_on is None for row in rows)
        if n_without >= _MANY_WITHOUT_DATE and (n_without == len(rows) or n_without > share * len(rows)):
            raise page.not_understood("rated_on", f"not found in {n_without} of {len(rows)} items")


def _rating(page: Document, item: etree._Element) -> RatingRow:
    links: list[tuple[etree._Element, str]] = []
    date: etree._Element | None = None
    marks: list[etree._Element] = []
    for node in item.iter(etree.Element):
        if node.tag == "a":
            link = _MOVIE_LINK.match(node.get("href", ""))
            if link and link[1] in (None, page.url.netloc):  # a book has the same path on another host
                links.append((node, link[2]))
        if (classes := node.get("class")) is not None:
            if date is None and _has_class(classes, "date"):
                date = node
            if node.tag == "span" and classes.startswith("rating"):
                marks.append(node)
    if not links:
        raise page.not_understood("movie_id", "not found in an item")
    when = "" if date is None else text_of(date)
    day = page.day("rated_on", when) if when else None
    beside = [] if date is None else [*date.itersiblings("span", preceding=True), *date.iterchildren("span")]
    movie_id = _of_title(item, links)
    title = _title([link for link, its_id in links if its_id == movie_id])
    return RatingRow(movie_id, _stars(page, beside or marks), day, title)


def _of_title(item: etree._Element, links: Sequence[tuple[etree._Element, str]]) -> str:
    """Return the id in the link of an item's title or picture; without either, that in its first link."""
    if any(movie_id != links[0][1] for _, movie_id in links):
        for place in _PLACES_OF_TITLE:
            for link, movie_id in links:
                for above in link.iterancestors():
                    if above is item:
                        break
                    if _has_class(above.get("class"), place):
                        return movie_id
    return links[0][1]


def _title(links: Sequence[etree._Element]) -> str | None:
    """Return the title in the links to a movie (`title / another title`), None if they have none to keep."""
    for link in reversed(links):  # the first one holds the poster
        if title := title_to_keep("".join(link.itertext()).partition(" / ")[0]):
            return title
    return None


def title_to_keep(shown: str) -> str | None:
    """Return a title as a list shows it; None if it is empty, broken, too long, or that of any deleted movie."""
    title = one_line(shown)
    is_title = title and title != _UNKNOWN and "\ufffd" not in title and len(title) <= _LONGEST_TITLE
    return title if is_title else None


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
    ledger, claimed = context.ledger, parsed.claimed_total
    seen = len(parsed.ratings) + sum(parsed.left_out.values())
    list_pass = store_ratings(ledger, page, at, ledger.user_id(parsed.person), parsed.ratings)
    ledger.mark_done(page, list_pass.at, seen=seen, claimed=claimed, left_out=parsed.left_out)
    following = next_key(
        address(context.site, page.key), page.key, parsed.next_url, seen, claimed, context.scope.max_list_items
    )
    sizes = tuple(PER_PAGE.values())
    return list_pass.follow(following, claimed, page_size=parsed.places, other_sizes=sizes, seen=seen)


def store_ratings(
    ledger: Ledger, page: Page, at: float, user_id: str, ratings: Sequence[RatingRow], is_repeated: bool = False
) -> ListPass:
    """Store the ratings of a page of a person's list, and return the pass over the list.

    Args:
        ledger: the ledger, in a transaction.
        page: the page, before it is marked as done.
        at: when it was answered.
        user_id: the person.
        ratings: what the page shows.
        is_repeated: whether the pass has seen all of them; that is not taken for a change of the list.
    """
    items = {row.movie_id: (row.stars, row.rated_on and row.rated_on.isoformat()) for row in ratings}
    rows = ListRows("ratings", {"user_id": user_id}, "movie_id", ("stars", "rated_on"), is_newest_first=True)
    list_pass = ListPass(ledger, page, at, rows, {} if is_repeated else items)
    ledger.upsert(
        "ratings",
        [
            {"user_id": user_id, "movie_id": movie_id, "stars": stars, "rated_on": day, "seen_at": list_pass.at}
            for movie_id, (stars, day) in items.items()
        ],
    )
    ledger.add_listed_titles({row.movie_id: row.title for row in ratings if row.title})
    return list_pass


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("collection", uid) for uid in scope.uids)


COLLECTION = HtmlKind(
    name="collection",
    host="movie",
    topic="collection",
    stage="ratings",
    table="ratings",
    subject="user_id",
    address=address,
    address_in=_address_in,
    parser=parse_collection,
    record=record,
    first_pages=_first_pages,
    unplanned=n_people_to_come,
    places=lambda scope: PER_PAGE[scope.collection_mode],
    fills=Fills(CollectionPage, lambda parsed: parsed.ratings, {"stars": 0.3, "rated_on": 0.3}),
    refresh_days=7.0,
)
