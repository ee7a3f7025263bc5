"""Who marked a movie, in the mobile JSON: `/movie/<id>/interests` (known from clients). They lead to people.

It lists the people who wrote a short comment, newest first, up to a reach that nobody states.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from crawler.kinds.items import read_shown_items
from crawler.kinds.kind import CrawlContext
from crawler.kinds.mobile import API
from crawler.kinds.mobile.json_kind import JsonKind
from crawler.kinds.mobile.paging import (
    Place,
    Shown,
    next_page,
    require_settled,
    variants,
    with_detours,
)
from crawler.kinds.mobile.values import CountOrNone, Fields, User, is_deleted, person_of, read
from crawler.kinds.sources import INTERESTS_PER_PAGE, INTERESTS_REACH, MOST_PAGES, plan_marks, unread_lists_of_people
from crawler.ledger.detours import open_page
from crawler.ledger.ledger import Ledger
from crawler.page import Key, NotUnderstood, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

NOBODY_SHOWN = "no person is shown, or the account is deleted"


@dataclass(frozen=True)
class InterestsPage:
    """A page of marks of a movie: the people, in order, without deleted accounts.

    `left_out` counts the items without a person; `n_items` are all items.
    """

    people: tuple[Person, ...]
    claimed_total: int | None
    n_items: int
    left_out: dict[str, int]


class _Interest(Fields):
    user: User = None
    status: str | None = None


class _List(Fields):
    interests: list[dict[str, Any] | None]
    total: CountOrNone = None


def address(site: Site, key: Key) -> str:
    """Return the address of a page of marks by people who have seen the movie, newest first."""
    place = Place.of(key)
    count = 1 if place.is_one else INTERESTS_PER_PAGE
    query = urlencode({"status": "done", "start": key.start, "count": count, "order_by": "latest"})
    return f"{site.mobile}{API}/{place.path}/{key.subject}/interests?{query}"


def parse_interests(value: Any, movie_id: str) -> InterestsPage:
    """Return the people who marked a movie as seen, in order, without deleted accounts.

    May be absent: a person (the account is gone), their slug, the whole content of an item.

    Raises:
        NotUnderstood: the answer has no such list, or is a person's marks.
    """
    page: _List = read("interests", _List, value)
    people, left_out = read_shown_items(page.interests, _person, NOBODY_SHOWN)
    return InterestsPage(people, page.total, len(page.interests), left_out)


def _person(item: dict[str, Any] | None) -> Person | None:
    if item and "subject" in item and "user" not in item:
        raise NotUnderstood("interests", "user")
    mark: _Interest = read("interests", _Interest, item or {})
    if mark.status not in (None, "", "done"):
        raise NotUnderstood("interests", "status", "is not that of a movie which was seen")
    if mark.user is None or is_deleted(mark.user):
        return None
    person = person_of(mark.user)
    if person is None:
        raise NotUnderstood("interests", "user.id")
    return person


def _store(context: CrawlContext, page: Page, parsed: InterestsPage, at: float) -> Key | None:
    """Plan the lists of new people; the marks themselves are not stored."""
    ledger = context.ledger
    shown = Shown.of(ledger, page, parsed.claimed_total, parsed.n_items)
    require_settled(ledger, page, shown)
    for person in parsed.people:
        plan_marks(ledger, context.scope, person, "interests")
    ledger.mark_done(page, at, seen=parsed.n_items, claimed=parsed.claimed_total, left_out=parsed.left_out)
    following = next_page(page, shown, INTERESTS_PER_PAGE, context.scope.max_list_items)
    if following is None or following.start >= INTERESTS_REACH:
        return None
    return open_page(ledger, following, at)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("interests", movie_id) for movie_id in scope.movie_ids)


def _most_pages_per_list(ledger: Ledger, scope: Scope) -> float | None:
    return MOST_PAGES["interests"]


INTERESTS = JsonKind(
    name="interests",
    topic="people",
    stage="ratings",
    table="ratings",
    subject="movie_id",
    variants=variants(),
    address=address,
    parser=parse_interests,
    wanted="interests",
    page_size=INTERESTS_PER_PAGE,
    is_list_of_people=True,
    record=with_detours(_store, INTERESTS_PER_PAGE),
    first_pages=_first_pages,
    unplanned=unread_lists_of_people,
    pages_per_list=_most_pages_per_list,
)
