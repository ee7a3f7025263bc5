"""A movie's photos of one kind: `/subject/<id>/photos?type=…` (grade C; the empty list is G)."""

import re
from urllib.parse import urljoin, urlsplit

from lxml import etree

from crawler.pages.reading import LARGEST_COUNT, Document
from crawler.pages.rows import FrameRow, PhotoListPage
from crawler.pages.tree import select, text_of

LIST = 'ul[class*="poster-col"]'  # poster-col3: 30 a page; poster-col4, older: 40
EMPTY_LIST_HEADING = re.compile("的(?:剧照|海报|壁纸|图片)")  # a guess: what stands when there is no list
_PHOTO_LINK = re.compile(r"/photos/photo/([0-9]+)/?$")
_SIZE = re.compile("([0-9]{1,9}) ?[xX×] ?([0-9]{1,9})")


def parse_photos(html: str, url: str) -> PhotoListPage:
    """Return the photos of a page, in order.

    Always there: each photo's id (in `data-id` or its link) and picture. May be absent: a
    photo's size, the total and the next page's link (a list of one page has no paginator), and
    all photos (then no link to a photo may stand in the page's content, and a paginator only past
    the end).

    Raises:
        NotUnderstood: there is no such list, or a photo without id or picture.
    """
    page = Document.read("photos", html, url)
    movie_id = page.id_in_url("movie_id", r"/subject/([0-9]+)/photos")
    counted = text_of(page.css(".paginator span.count"))
    total = page.count_after("claimed_total", "共 ?([0-9]+) ?张", counted) if counted else None
    items = page.css(f"{LIST} > li")
    if not items and not _is_empty(page, total):
        raise page.not_understood("photos")
    return PhotoListPage(
        movie_id=movie_id,
        frames=tuple(_frame(page, item) for item in items),
        claimed_total=total,
        next_url=page.next_url(page.css(".paginator span.next a::attr(href)")),
    )


def _is_empty(page: Document, total: int | None) -> bool:
    """Return whether this is a photo list's page that shows no sign of photos, or lies past the list's end."""
    is_list = page.css(LIST) or EMPTY_LIST_HEADING.search(text_of(page.css("#content h1")))
    if not is_list or page.css('#content a[href*="/photos/photo/"]'):
        return False
    return page.start() >= total if total is not None else not page.css(".paginator")


def _frame(page: Document, item: etree._Element) -> FrameRow:
    frame_id = _frame_id(page, item)
    size = text_of(select(item, ".prop"))
    found = _SIZE.fullmatch(size)
    if size and not found:
        raise page.not_understood("size", f"is {size[:20]!r} for photo {frame_id}")
    width_px, height_px = (int(found[1]), int(found[2])) if found else (None, None)
    if 0 in (width_px, height_px) or max(width_px or 1, height_px or 1) > LARGEST_COUNT:
        raise page.not_understood("size", f"is {size!r} for photo {frame_id}")
    return FrameRow(frame_id, width_px, height_px, _image_url(page, item, frame_id))


def _frame_id(page: Document, item: etree._Element) -> str:
    links = (_PHOTO_LINK.search(href) for href in select(item, "a::attr(href)"))
    ids = {link[1] for link in links if link} | {item.attrib[name] for name in ("data-id",) if name in item.attrib}
    if len(ids) != 1 or not re.fullmatch("[0-9]+", min(ids)):
        raise page.not_understood("frame_id", f"is {sorted(ids)}" if ids else "not found in a photo")
    return ids.pop()


def _image_url(page: Document, item: etree._Element, frame_id: str) -> str:
    source: str = next(iter(select(item, "img::attr(src)")), "").strip()
    try:
        address = urlsplit(urljoin(page.url.geturl(), source))
    except ValueError:
        address = urlsplit("")
    if address.scheme not in ("http", "https") or not re.search(rf"/p{frame_id}\.[a-z]+$", address.path):
        raise page.not_understood("image_url", f"is {source[:80]!r} for photo {frame_id}")
    return address.geturl()
