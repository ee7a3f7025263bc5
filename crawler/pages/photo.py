"""A photo's page and the people who like it: `/photos/photo/<pid>/?type=like`.

Grade G throughout: like widgets and lists of likers are known from topics, notes and albums
(grade C), never from a saved page of a movie's photo.
"""

from urllib.parse import parse_qs

from lxml import etree

from crawler.pages.reading import DELETED_NAME, Document
from crawler.pages.rows import LikerRow, PhotoLikersPage
from crawler.pages.tree import select, text_of

FRAME = ".mainphoto, .topic-fav-list"
COUNT_BEFORE_2020 = ".fav-num"  # `3人 喜欢`
COUNT_SINCE_2020 = ".action-react .react-num"  # `3`


def parse_photo_likers(html: str, url: str) -> PhotoLikersPage:
    """Return what a photo's page says about who likes it.

    Always there: the photo (`.mainphoto`) or the list, and a link in each liker. May be absent:
    the like widget, the list, a like's date, the next page's link. A liker without a profile
    (anonymous, or the account is deleted) is counted, not listed.

    Raises:
        NotUnderstood: this is no photo's page, a liker cannot be told, or the widget counts
            likes of which this first page of likers shows none.
    """
    page = Document.read("photo", html, url)
    frame_id = page.id_in_url("frame_id", r"/photos/photo/([0-9]+)/?$")
    if not page.css(FRAME):
        raise page.not_understood("photo")
    like_count = _like_count(page, frame_id)
    items = page.css(".topic-fav-list li")
    found = [_liker(page, item) for item in items]
    query = parse_qs(page.url.query)
    is_first_of_likers = query.get("type") == ["like"] and query.get("start", ["0"]) == ["0"]
    if like_count and is_first_of_likers and not items:
        raise page.not_understood("likers", f"not found, though the page counts {like_count}")
    likers = tuple(liker for liker in found if liker)
    return PhotoLikersPage(frame_id, like_count, likers, len(found) - len(likers), _next_url(page))


def _like_count(page: Document, frame_id: str) -> int | None:
    """Return what the like widget says; one without a number counts 0, no widget is None."""
    before = page.css(COUNT_BEFORE_2020)
    if before:
        if before[0].get("data-tid", frame_id) != frame_id:
            raise page.not_understood("like_count", "belongs to another photo")
        return _counted(page, before, "([0-9]+) ?人")
    since = page.css(COUNT_SINCE_2020)
    return _counted(page, since, "^([0-9]+)$") if since else None


def _counted(page: Document, widget: list[etree._Element], pattern: str) -> int:
    text = text_of(widget)
    return page.count_after("like_count", pattern, text) if text not in ("", "喜欢") else 0


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
    """Return the next page of likers; a paginator without `type=like` belongs to the photo's comments."""
    hrefs = page.css(".paginator .next a::attr(href)")
    return page.next_url([href for href in hrefs if "type=like" in href])
