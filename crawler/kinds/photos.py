"""A movie's photos of one kind: `/subject/<id>/photos?type=…`.

The markup is known from public spider code; that of an empty list is a guess.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from lxml import etree

from crawler.kinds.document import LARGEST_COUNT, Document
from crawler.kinds.estimates import unread_photo_lists, with_readable_photos
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.kinds.next_page import next_key
from crawler.kinds.tree import select, text_of
from crawler.ledger import reports
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows
from crawler.page import Key, Page, is_number
from crawler.scope import Scope
from crawler.sites import PHOTO_TYPES, Site

PHOTOS_PER_PAGE = 30
LIST = 'ul[class*="poster-col"]'
_OLDER_LIST = 'ul[class*="poster-col4"]'
_PHOTOS_PER_OLDER_PAGE = 40
_OF_PERSON = f'{LIST} a[href*="/celebrity/"], {LIST} a[href*="/personage/"]'  # their photos look much the same
_OF_OTHER_KINDS = ("v:itemreviewed", ".mainphoto", ".comment-item", "#db-usr-profile", ".fav-list")
EMPTY_LIST_HEADING = re.compile("的(?:剧照|海报|壁纸|图片)")  # a guess: the heading of a page without a list
_PHOTO_LINK = re.compile(r"/photos/photo/([0-9]{1,20})/?$")
_SIZE = re.compile("([0-9]{1,9}) ?[xX×] ?([0-9]{1,9})")


@dataclass(frozen=True)
class FrameRow:
    """A photo in a list. Sizes are of the original, None if the list does not show them."""

    frame_id: str
    width_px: int | None
    height_px: int | None
    image_url: str


@dataclass(frozen=True)
class PhotoListPage:
    """A page of a movie's photos of one kind. `left_out` counts the photos that could not be read, by reason."""

    movie_id: str
    frames: tuple[FrameRow, ...]
    claimed_total: int | None
    next_url: str | None
    page_size: int = PHOTOS_PER_PAGE
    left_out: dict[str, int] = field(default_factory=dict)


def address(site: Site, key: Key, sort_by: str = "time") -> str:
    """Return the address of a page of 30 photos of a kind (`still`, `poster`, `wallpaper`), by `time` or `like`."""
    query = {"type": PHOTO_TYPES[key.variant], "start": key.start, "sortby": sort_by, "size": "a", "subtype": "a"}
    return f"{site.movie}/subject/{key.subject}/photos?{urlencode(query)}"


def parse_photos(html: str, url: str) -> PhotoListPage:
    """Return the photos of a page, in order.

    Always present: each photo's id (in `data-id` or its link) and picture. May be absent: a
    photo's size, the total and the next page's link (a list of one page has no paginator), and
    all photos (then the page's content must have no link to a photo, and a paginator only with a total).

    Raises:
        NotUnderstood: the page has no such list, or most photos have no id or picture.
    """
    page = Document.read("photos", html, url)
    movie_id = page.id_in_url("movie_id", r"/subject/([0-9]+)/photos")
    counted = text_of(page.css(".paginator span.count"))
    total = page.count_after("claimed_total", "共 ?([0-9]+) ?张", counted) if counted else None
    items = page.css(f"{LIST} > li")
    is_list = bool(page.css(LIST)) or bool(EMPTY_LIST_HEADING.search(text_of(page.css("#content h1"))))
    if not is_list or (not items and not _is_empty(page, total)):
        raise page.not_understood("photos")
    page.require_kind(not page.css(_OF_PERSON), _OF_OTHER_KINDS)
    frames, left_out = page.read_items(items, lambda item: _frame(page, item))
    return PhotoListPage(
        movie_id=movie_id,
        frames=frames,
        claimed_total=total,
        next_url=page.next_url(page.css(".paginator span.next a::attr(href)")),
        page_size=_PHOTOS_PER_OLDER_PAGE if page.css(_OLDER_LIST) else PHOTOS_PER_PAGE,
        left_out=left_out,
    )


def _is_empty(page: Document, total: int | None) -> bool:
    """Return whether this page of a photo list has no sign of photos; with a paginator, it must state the total."""
    return not page.css('#content a[href*="/photos/photo/"]') and (total is not None or not page.css(".paginator"))


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
    hrefs = select(item, ".cover a::attr(href)") or select(item, "a::attr(href)")[:1]  # a text can hold other links
    links = map(_PHOTO_LINK.search, hrefs)
    ids = {link[1] for link in links if link} | {item.attrib[name] for name in ("data-id",) if name in item.attrib}
    if len(ids) != 1 or not is_number(min(ids)):
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


def record(context: CrawlContext, page: Page, parsed: PhotoListPage, at: float) -> Key | None:
    """Store the frames of a page and plan their pictures."""
    ledger, claimed = context.ledger, parsed.claimed_total
    seen = len(parsed.frames) + sum(parsed.left_out.values())
    of = {"movie_id": parsed.movie_id, "kind": page.key.variant}
    rows = ListRows("frames", of, "frame_id", can_vanish=False)
    list_pass = ListPass(ledger, page, at, rows, {row.frame_id: () for row in parsed.frames})
    ledger.upsert(
        "frames",
        [
            asdict(row) | of | {"position": page.key.start + place, "seen_at": list_pass.at}
            for place, row in enumerate(parsed.frames)
        ],
    )
    ledger.add_pages(Key("picture", row.frame_id, context.scope.picture_size) for row in parsed.frames)
    ledger.mark_done(page, list_pass.at, seen=seen, claimed=claimed, left_out=parsed.left_out)
    following = next_key(
        address(context.site, page.key), page.key, parsed.next_url, seen, claimed, context.scope.max_list_items
    )
    return list_pass.follow(following, claimed, page_size=parsed.page_size, seen=seen)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    movie_ids = with_readable_photos(ledger, scope)
    return (Key("photos", movie_id, kind) for movie_id in movie_ids for kind in scope.photo_kinds)


def _pages_per_list(ledger: Ledger, scope: Scope) -> float | None:
    totals = reports.photo_totals(ledger).values()
    return 1 + sum(totals) / len(totals) / (PHOTOS_PER_PAGE * len(scope.photo_kinds)) if totals else None


PHOTOS = HtmlKind(
    name="photos",
    host="movie",
    topic="photos",
    stage="frames",
    table="frames",
    subject="movie_id",
    variants=tuple(PHOTO_TYPES),
    address=address,
    parser=parse_photos,
    record=record,
    first_pages=_first_pages,
    unplanned=unread_photo_lists,
    pages_per_list=_pages_per_list,
    refresh_days=90.0,
)
