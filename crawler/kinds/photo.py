"""A photo's page and the people who like it: `/photos/photo/<pid>/?type=like`.

The markup is a guess: public spider code shows like widgets and lists of likers on topics, notes and
albums; no saved page of a movie's photo is known.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import parse_qs, urlencode

from lxml import etree

from crawler.kinds.document import DELETED_NAME, Document
from crawler.kinds.estimates import frames_without_page
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.kinds.next_page import next_key
from crawler.kinds.tree import select, text_of
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows
from crawler.page import Key, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

ANONYMOUS = "anonymous, without a profile"
LIKERS_PER_PAGE = 100
PHOTO_ITSELF = ".mainphoto"
LIKERS = ".topic-fav-list"  # also on topics, notes and albums
_OF_PERSON = '.mainphoto[href*="/celebrity/"], .mainphoto[href*="/personage/"]'
_OF_OTHER_KINDS = (
    "v:itemreviewed", ".poster-col3", ".poster-col4", "#db-usr-profile", ".fav-list", ".topic-content",
    ".note-container",
)  # fmt: skip
COUNT_BEFORE_2020 = ".fav-num"  # `3人 喜欢`
COUNT_SINCE_2020 = ".action-react .react-num"  # `3`
_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class LikerRow:
    """Someone who likes a photo."""

    person: Person
    liked_on: date | None


@dataclass(frozen=True)
class PhotoLikersPage:
    """A photo's page with the people who like it (100 per page).

    `like_count` is what the like widget claims (anonymous likers included), None if there is no widget or no number
    in it (it is shown after a log-in). `n_anonymous` counts the listed likers without a profile, `left_out` those who
    could not be read, by reason.
    """

    frame_id: str
    like_count: int | None
    likers: tuple[LikerRow, ...]
    n_anonymous: int
    next_url: str | None
    left_out: dict[str, int] = field(default_factory=dict)


def photo_page(site: Site, frame_id: str) -> str:
    """Return the address of a photo's page, without the list of likers."""
    return f"{site.movie}/photos/photo/{frame_id}/"


def address(site: Site, key: Key) -> str:
    """Return the address of a page of 100 people who like a photo."""
    return f"{photo_page(site, key.subject)}?{urlencode({'type': 'like', 'start': key.start})}"


def parse_photo_likers(html: str, url: str) -> PhotoLikersPage:
    """Return what a photo's page says about who likes it.

    Always present: the photo (`.mainphoto`), or the list and a link to the photo; and a link in each liker.
    May be absent: the like widget and its number, the list, a like's date, the next page's link. A liker without
    a profile (anonymous, or the account is deleted) is counted, not listed.

    Raises:
        NotUnderstood: this is not a photo's page, most likers cannot be read, or the widget counts
            likes but this first page of likers shows none.
    """
    page = Document.read("photo", html, url)
    frame_id = page.id_in_url("frame_id", r"/photos/photo/([0-9]+)/?$")
    if not page.css(PHOTO_ITSELF) and not (page.css(LIKERS) and page.css(f'a[href*="/photos/photo/{frame_id}/"]')):
        raise page.not_understood("photo")
    page.require_kind(not page.css(_OF_PERSON), _OF_OTHER_KINDS)
    like_count = _like_count(page, frame_id)
    items = page.css(".topic-fav-list li")
    found, left_out = page.read_items(items, lambda item: _liker(page, item))
    query = parse_qs(page.url.query)
    is_first_of_likers = query.get("type") == ["like"] and query.get("start", ["0"]) == ["0"]
    if like_count and is_first_of_likers and not items:
        raise page.not_understood("likers", f"not found, though the page counts {like_count}")
    likers = tuple(liker for liker in found if liker)
    return PhotoLikersPage(frame_id, like_count, likers, len(found) - len(likers), _next_url(page), left_out)


def _like_count(page: Document, frame_id: str) -> int | None:
    """Return the number in the like widget; None without a widget, and if the number is shown after a log-in only."""
    before = page.css(COUNT_BEFORE_2020)
    if before:
        if before[0].get("data-tid", frame_id) != frame_id:
            raise page.not_understood("like_count", "belongs to another photo")
        return _counted(page, before, "(?<![0-9])([0-9]{1,10}) ?人")
    since = page.css(COUNT_SINCE_2020)
    return _counted(page, since, "^([0-9]+)$") if since else None


def _counted(page: Document, widget: list[etree._Element], pattern: str) -> int | None:
    text = text_of(widget)
    return page.count_after("like_count", pattern, text) if _DIGIT.search(text) else None


def _liker(page: Document, item: etree._Element) -> LikerRow | None:
    links = select(item, ".content > a")
    if not links:
        raise page.not_understood("liker", "has no link")
    person = page.person(links, select(item, "img"))
    if person is None or text_of(links) == DELETED_NAME:
        return None
    when = text_of(select(item, "span.pubtime"))
    return LikerRow(person, page.day("liked_on", when) if when else None)


def _next_url(page: Document) -> str | None:
    """Return the next address of likers; a paginator without `type=like` belongs to the photo's comments."""
    hrefs = page.css(".paginator .next a::attr(href)")
    return page.next_url([href for href in hrefs if "type=like" in href])


def record(context: CrawlContext, page: Page, parsed: PhotoLikersPage, at: float) -> Key | None:
    """Store the likes of a page."""
    ledger, frame_id, claimed = context.ledger, page.key.subject, parsed.like_count
    likes = {ledger.user_id(liker.person): liker.liked_on for liker in parsed.likers}
    of = {"frame_id": frame_id, "source": "photo_page"}
    list_pass = ListPass(ledger, page, at, ListRows("likes", of, "user_id"), dict.fromkeys(likes, ()))
    ledger.upsert(
        "likes",
        [
            of | {"user_id": user_id, "liked_on": day and day.isoformat(), "seen_at": list_pass.at}
            for user_id, day in likes.items()
        ],
    )
    left_out = parsed.left_out | {ANONYMOUS: parsed.n_anonymous} if parsed.n_anonymous else parsed.left_out
    seen = len(parsed.likers) + sum(left_out.values())
    ledger.mark_done(page, list_pass.at, seen=seen, claimed=claimed, left_out=left_out)
    following = next_key(
        address(context.site, page.key), page.key, parsed.next_url, seen, claimed, context.scope.max_list_items
    )
    return list_pass.follow(following, claimed, page_size=LIKERS_PER_PAGE, seen=seen)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("photo", frame_id) for frame_id in ledger.frame_ids())


def _unplanned(ledger: Ledger, scope: Scope) -> float | None:
    return frames_without_page(ledger, scope, "photo")


PHOTO = HtmlKind(
    name="photo",
    host="movie",
    stage="likes",
    table="frame_likes",
    subject="frame_id",
    address=address,
    parser=parse_photo_likers,
    is_list_of_people=True,
    record=record,
    first_pages=_first_pages,
    unplanned=_unplanned,
    like_source="photo_page",
    refresh_days=30.0,
)
