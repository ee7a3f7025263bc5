"""The photos someone likes: `/people/<uid>/likes/photo/` (grade C; public visibility unknown)."""

import re

from lxml import etree

from crawler.pages.reading import Document
from crawler.pages.rows import UserLikeRow, UserLikesPage
from crawler.pages.tree import select, text_of

_PHOTO_LINK = re.compile(r"/photos/photo/([0-9]+)/?(?:[?#]|$)")


def parse_user_likes(html: str, url: str) -> UserLikesPage:
    """Return a page of the photos someone likes, in order (15 a page).

    Always there: the list's frame `.fav-list`, and each photo's id. May be absent: all photos, a
    like's date, the next page's link.

    Raises:
        NotUnderstood: there is no such list, or a photo's id cannot be told.
    """
    page = Document.read("user_likes", html, url)
    uid = page.id_in_url("uid", r"/people/([^/]+)/likes/photo")
    frame = page.css(".fav-list")
    items = [item for one in frame for item in one.iterchildren("li")]
    if not frame or (not items and page.css('#content a[href*="/photos/photo/"], .paginator .next a')):
        raise page.not_understood("likes")
    return UserLikesPage(
        uid=uid,
        likes=tuple(_like(page, item) for item in items),
        next_url=page.next_url(page.css(".paginator > .next > a::attr(href)")),
    )


def _like(page: Document, item: etree._Element) -> UserLikeRow:
    links = (_PHOTO_LINK.search(href) for href in select(item, "a::attr(href)"))
    ids = {link[1] for link in links if link}
    if not ids:
        ids = {number for number in select(item, ".tag-add::attr(data-id)") if re.fullmatch("[0-9]+", number)}
    if len(ids) != 1:
        raise page.not_understood("frame_id", f"is {sorted(ids)}" if ids else "not found in a like")
    when = text_of(select(item, ".status-item .time"))
    return UserLikeRow(ids.pop(), page.day("liked_on", when) if when else None)
