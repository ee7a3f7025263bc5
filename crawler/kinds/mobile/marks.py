"""The movies and series that a person has watched, in the mobile JSON: `/user/<uid>/interests` (known from clients).

Whether it answers a guest today is not known. A page can be shorter than asked, and the total counts what is hidden.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BeforeValidator

from crawler.kinds.collection import RatingRow, store_ratings, title_to_keep
from crawler.kinds.items import read_shown_items
from crawler.kinds.kind import CrawlContext, Fills
from crawler.kinds.mobile import API
from crawler.kinds.mobile.json_kind import JsonKind
from crawler.kinds.mobile.paging import (
    Place,
    Shown,
    list_page,
    next_page,
    require_settled,
    variants,
    with_detours,
)
from crawler.kinds.mobile.values import CountOrNone, DayOrNone, Fields, Id, Stars, absent, read, stars_of
from crawler.kinds.sources import n_people_to_come
from crawler.ledger.detours import n_new_in, open_page
from crawler.ledger.ledger import Ledger
from crawler.page import Key, NotUnderstood, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

MARKS_PER_PAGE = 50
HIDDEN = "the movie is not shown"


@dataclass(frozen=True)
class MarksPage:
    """A page of a person's marks, newest first. `left_out` counts the items whose movie is not shown, and others."""

    uid: str
    ratings: tuple[RatingRow, ...]
    claimed_total: int | None
    left_out: dict[str, int]


class _Subject(Fields):
    id: Id
    title: Any = None
    type: str | None = None


class _Mark(Fields):
    subject: Annotated[_Subject | None, BeforeValidator(absent)] = None
    rating: Stars = None
    create_time: DayOrNone = None
    status: str | None = None


class _List(Fields):
    interests: list[dict[str, Any] | None]
    total: CountOrNone = None


def address(site: Site, key: Key) -> str:
    """Return the address of a page of movies and series that a person has watched, newest first."""
    count = 1 if Place.of(key).is_one else MARKS_PER_PAGE
    query = urlencode({"type": "movie", "status": "done", "start": key.start, "count": count})
    return f"{site.mobile}{API}/user/{key.subject}/interests?{query}"


def parse_marks(value: Any, uid: str) -> MarksPage:
    """Return a page of a person's ratings, newest first as shown.

    May be absent: stars (watched, not rated), the time, the movie (withdrawn) or all of an item. An item without a
    movie, or that cannot be read, is left out and counted.

    Raises:
        NotUnderstood: the answer has no such list, or most of its items cannot be read, for example because they are of
            another list (of a movie, of books, of what is only wished for).
    """
    page: _List = read("marks_json", _List, value)
    ratings, left_out = read_shown_items(page.interests, _row, HIDDEN)
    return MarksPage(uid, ratings, page.total, left_out)


def _row(item: dict[str, Any] | None) -> RatingRow | None:
    if not item:
        return None
    if "user" in item and "subject" not in item:
        raise NotUnderstood("marks_json", "subject")
    mark: _Mark = read("marks_json", _Mark, item)
    if mark.status not in (None, "", "done"):
        raise NotUnderstood("marks_json", "status", "is not that of a movie which was seen")
    if mark.subject is None:
        return None
    if mark.subject.type not in (None, "", "movie", "tv"):
        raise NotUnderstood("marks_json", "subject.type", "is not that of a film or series")
    title = mark.subject.title
    return RatingRow(
        mark.subject.id,
        stars_of("marks_json", mark.rating),
        mark.create_time,
        title_to_keep(title) if isinstance(title, str) else None,
    )


def _store(context: CrawlContext, page: Page, parsed: MarksPage, at: float) -> Key | None:
    """Store the ratings of a page."""
    ledger, place = context.ledger, Place.of(page.key)
    user_id = ledger.user_id(Person(parsed.uid, parsed.uid))
    ids = {row.movie_id for row in parsed.ratings}
    n_left_out = sum(parsed.left_out.values())
    n_items = len(parsed.ratings) + n_left_out
    first = list_page(page).key._replace(start=0)
    of = {"user_id": user_id}
    n_new = n_new_in(ledger, first, "ratings", "movie_id", ids, of) if page.key.start else len(ids)
    shown = Shown.of(ledger, page, parsed.claimed_total, n_items, n_new + n_left_out)
    if place.is_one:
        require_settled(ledger, page, shown)
    following = next_page(page, shown, MARKS_PER_PAGE, context.scope.max_list_items)
    list_pass = store_ratings(ledger, list_page(page), at, user_id, parsed.ratings, is_repeated=not n_new)
    ledger.mark_done(page, list_pass.at, seen=n_items, claimed=parsed.claimed_total, left_out=parsed.left_out)
    if following is not None and (place.is_one or Place.of(following).is_one):
        return open_page(ledger, following, at)
    size = 1 if place.is_one else MARKS_PER_PAGE
    return list_pass.follow(following, shown.claimed, page_size=size, other_sizes=(MARKS_PER_PAGE,), seen=n_items)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("marks_json", uid) for uid in scope.uids)


MARKS_JSON = JsonKind(
    name="marks_json",
    topic="collection",
    stage="ratings",
    table="ratings",
    subject="user_id",
    variants=variants(has_tv=False),
    address=address,
    parser=parse_marks,
    wanted="interests",
    page_size=MARKS_PER_PAGE,
    record=with_detours(_store, MARKS_PER_PAGE),
    first_pages=_first_pages,
    unplanned=n_people_to_come,
    places=lambda scope: MARKS_PER_PAGE,
    fills=Fills(MarksPage, lambda parsed: parsed.ratings, {"stars": 0.3, "rated_on": 0.3}),
    refresh_days=7.0,
)
