"""The photos a user likes: `/people/<uid>/likes/photo/`.

The markup is known from public spider code. Whether these pages are public is not known.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import urlencode

from lxml import etree

from crawler.kinds.document import Document
from crawler.kinds.estimates import surviving
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.kinds.next_page import next_key
from crawler.kinds.sources import kind_names
from crawler.kinds.tree import select, text_of
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows, Seam, last_item_before
from crawler.page import Key, Page, Person, is_number
from crawler.scope import Scope
from crawler.sites import Site

GONE = "the photo is gone"
_PHOTO_LINK = re.compile(r"/photos/photo/([0-9]{1,20})/?(?:[?#]|$)")
_DELETE_BUTTON = ".lnk-delete::attr(data-tid)"  # `.tag-add[data-id]` beside it is the favourite's own id
_PLACES_OF_LINK = (".pic a::attr(href)", "a::attr(href)")  # a text can hold links to other photos
_CONTENT_LINK = 'a[href]:not([href^="javascript:"]):not([href^="#"]):not([href*="/people/"])'
_OF_OTHER_KINDS = (
    "v:itemreviewed", ".mainphoto", ".poster-col3", ".poster-col4", ".topic-content", ".comment-item",
)  # fmt: skip


_MANY_GONE = 3  # items; if all of a page are gone, its markup may have changed


@dataclass(frozen=True)
class UserLikeRow:
    """A photo that a user likes."""

    frame_id: str
    liked_on: date | None


@dataclass(frozen=True)
class UserLikesPage:
    """A page of the photos a user likes (15 per page). `left_out` counts those that are gone or cannot be read."""

    uid: str
    likes: tuple[UserLikeRow, ...]
    next_url: str | None
    left_out: dict[str, int] = field(default_factory=dict)


def address(site: Site, key: Key) -> str:
    """Return the address of a page of 15 photos that a user likes."""
    return f"{site.www}/people/{key.subject}/likes/photo/?{urlencode({'start': key.start})}"


def parse_user_likes(html: str, url: str) -> UserLikesPage:
    """Return a page of the photos a user likes, in order (15 per page).

    Always present: the list's container `.fav-list`, and each photo's id, in its link or in the button that deletes
    the like; a photo that is gone has neither. May be absent: all photos, a like's date, the next page's link.

    Raises:
        NotUnderstood: the page has no such list, or most photos, or all of several, cannot be read.
    """
    page = Document.read("user_likes", html, url)
    uid = page.id_in_url("uid", r"/people/([^/]+)/likes/photo")
    container = page.css(".fav-list")
    items = [item for one in container for item in one.iterchildren("li")]
    if not container or (not items and page.css('#content a[href*="/photos/photo/"], .paginator .next a')):
        raise page.not_understood("likes")
    page.require_kind(True, _OF_OTHER_KINDS)
    found, left_out = page.read_items(items, lambda item: _like(page, item))
    likes = tuple(like for like in found if like)
    if not likes and len(items) >= _MANY_GONE:
        raise page.not_understood("frame_id", "not found in any like")
    if n_gone := len(found) - len(likes):
        left_out = {**left_out, GONE: n_gone}
    next_url = page.next_url(page.css(".paginator > .next > a::attr(href)"))
    return UserLikesPage(uid, likes, next_url, left_out)


def _like(page: Document, item: etree._Element) -> UserLikeRow | None:
    """Return a like; None if the photo is gone."""
    links = (_PHOTO_LINK.search(href) for css in _PLACES_OF_LINK for href in select(item, css))
    ids = [*filter(is_number, select(item, _DELETE_BUTTON)), *(link[1] for link in links if link)]
    if not ids:
        if select(item, _CONTENT_LINK):
            raise page.not_understood("frame_id", "not found in a like")
        return None
    when = text_of(select(item, ".status-item .time"))
    return UserLikeRow(ids[0], page.day("liked_on", when) if when else None)


def record(context: CrawlContext, page: Page, parsed: UserLikesPage, at: float) -> Key | None:
    """Store the likes of a page, including likes of photos that are not frames (yet); the export leaves those out.

    The list claims no total, so each page is requested from the last item of the page before.
    """
    ledger = context.ledger
    user_id = ledger.user_id(Person(parsed.uid, parsed.uid))
    shown = [like.frame_id for like in parsed.likes]
    expected = last_item_before(ledger, page.key)
    is_whole = shown and not parsed.left_out  # otherwise the last item may be left out
    seam = Seam(shown[-1] if is_whole else None, shown[0] if shown else None, expected)
    fresh = {like.frame_id: like.liked_on for like in parsed.likes if like.frame_id != expected}
    of = {"user_id": user_id, "source": "user_likes"}
    list_pass = ListPass(ledger, page, at, ListRows("likes", of, "frame_id"), dict.fromkeys(fresh, ()))
    ledger.upsert(
        "likes",
        [
            of | {"frame_id": frame_id, "liked_on": day and day.isoformat(), "seen_at": list_pass.at}
            for frame_id, day in fresh.items()
        ],
    )
    n_left_out = sum(parsed.left_out.values())
    ledger.mark_done(page, list_pass.at, seen=len(fresh) + n_left_out, left_out=parsed.left_out, last_item=seam.shown)
    most = context.scope.max_list_items
    seen = len(shown) + n_left_out
    following = next_key(address(context.site, page.key), page.key, parsed.next_url, seen, most=most)
    return list_pass.follow(following, seam=seam)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    uids = ledger.planned_uids(*kind_names("collection"))
    return (Key("user_likes", uids[user_id]) for user_id in surviving(ledger, scope).user_ids)


def _unplanned(ledger: Ledger, scope: Scope) -> float | None:
    core = surviving(ledger, scope)
    return max(0, len(core.user_ids) - ledger.n_lists("user_likes")) if core.movie_ids else None


USER_LIKES = HtmlKind(
    name="user_likes",
    host="www",
    stage="likes",
    table="frame_likes",
    subject="user_id",
    address=address,
    parser=parse_user_likes,
    record=record,
    first_pages=_first_pages,
    unplanned=_unplanned,
    like_source="user_likes",
    refresh_days=30.0,
)
