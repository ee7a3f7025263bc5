"""A movie's photos of one kind in the mobile JSON: `/movie/<id>/photos` (known from clients and from written probes).

A photo's number of likes is `likers_count`. Who likes it is in no such answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from pydantic import BeforeValidator

from crawler.kinds.estimates import unread_photo_lists, with_readable_photos
from crawler.kinds.items import read_shown_items
from crawler.kinds.kind import CrawlContext
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
from crawler.kinds.mobile.values import CountOrNone, Fields, Id, absent, read
from crawler.kinds.picture import PICTURE
from crawler.ledger import reports
from crawler.ledger.detours import n_new_in, open_page
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, ListRows
from crawler.page import Key, NotUnderstood, Page
from crawler.scope import Scope
from crawler.sites import PHOTO_TYPES, Site

PHOTOS_PER_PAGE = 30
EMPTY = "the item is empty"
# The names of the picture sizes, from the one that is wanted to those that come next to it.
_SIZES = {
    "sqxs": ("small", "normal", "large"),
    "s": ("small", "normal", "large"),
    "m": ("normal", "small", "large"),
    "l": ("large", "normal", "small"),
}


@dataclass(frozen=True)
class PhotoRow:
    """A photo. `urls` are the addresses of its pictures by size (`small`, `normal`, `large`); some may be missing."""

    frame_id: str
    urls: tuple[tuple[str, str], ...]
    like_count: int | None
    position: int | None

    def url(self, site: Site, picture_size: str) -> str:
        """Return the address of the picture in a size, or in the next one that the site names."""
        urls = dict(self.urls)
        found = next((urls[size] for size in _SIZES[picture_size] if size in urls), None)
        return found or PICTURE.address(site, Key("picture", self.frame_id, picture_size))


@dataclass(frozen=True)
class PhotosJsonPage:
    """A page of photos, in the site's order. `left_out` counts the items that hold nothing or cannot be read."""

    frames: tuple[PhotoRow, ...]
    claimed_total: int | None
    left_out: dict[str, int]


class _File(Fields):
    url: str | None = None


class _Image(Fields):
    small: Annotated[_File | None, BeforeValidator(absent)] = None
    normal: Annotated[_File | None, BeforeValidator(absent)] = None
    large: Annotated[_File | None, BeforeValidator(absent)] = None


class _Photo(Fields):
    id: Id
    image: Annotated[_Image | None, BeforeValidator(absent)] = None
    likers_count: CountOrNone = None
    position: CountOrNone = None


class _List(Fields):
    photos: list[dict[str, Any] | None]
    total: CountOrNone = None


def address(site: Site, key: Key) -> str:
    """Return the address of a page of photos of a kind (`still`, `poster`, `wallpaper`)."""
    place = Place.of(key)
    count = 1 if place.is_one else PHOTOS_PER_PAGE
    query = urlencode({"start": key.start, "count": count, "type": PHOTO_TYPES[place.name]})
    return f"{site.mobile}{API}/{place.path}/{key.subject}/photos?{query}"


def parse_photos_json(value: Any, movie_id: str) -> PhotosJsonPage:
    """Return the photos of a page, in order.

    Always present: each photo's id. May be absent: addresses of its picture, the counts, its position. An item that is
    empty or cannot be read is left out and counted.

    Raises:
        NotUnderstood: the answer has no such list, or most of its photos cannot be read.
    """
    page: _List = read("photos_json", _List, value)
    photos, left_out = read_shown_items(page.photos, _photo, EMPTY)
    return PhotosJsonPage(photos, page.total, left_out)


def _photo(item: dict[str, Any] | None) -> PhotoRow | None:
    if not item:
        return None
    photo: _Photo = read("photos_json", _Photo, item)
    files = {size: getattr(photo.image, size) for size in ("small", "normal", "large")} if photo.image else {}
    urls = {size: file.url for size, file in files.items() if file and file.url}
    if not all(_is_of_photo(url, photo.id) for url in urls.values()):
        raise NotUnderstood("photos_json", "image", f"is not of photo {photo.id}")
    return PhotoRow(photo.id, tuple(urls.items()), photo.likers_count, photo.position)


def _is_of_photo(url: str, frame_id: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    name = parts.path.rpartition("/")[2]
    return parts.scheme in ("http", "https") and bool(parts.netloc) and name.startswith(f"p{frame_id}.")


def _store(context: CrawlContext, page: Page, parsed: PhotosJsonPage, at: float) -> Key | None:
    """Store the frames of a page and plan their pictures; sizes of the site's copies are not stored."""
    ledger, place, scope = context.ledger, Place.of(page.key), context.scope
    ids = dict.fromkeys(photo.frame_id for photo in parsed.frames)
    n_left_out = sum(parsed.left_out.values())
    n_items = len(parsed.frames) + n_left_out
    first = list_page(page).key._replace(start=0)
    n_new = n_new_in(ledger, first, "frames", "frame_id", ids) if page.key.start else len(ids)
    shown = Shown.of(ledger, page, parsed.claimed_total, n_items, n_new + n_left_out)
    require_settled(ledger, page, shown)
    following = next_page(page, shown, PHOTOS_PER_PAGE, scope.max_list_items)
    of = {"movie_id": page.key.subject, "kind": place.name}
    rows = ListRows("frames", of, "frame_id", can_vanish=False)
    list_pass = ListPass(ledger, list_page(page), at, rows, dict.fromkeys(ids, ()) if n_new else {})
    ledger.upsert(
        "frames",
        [
            of
            | {
                "frame_id": photo.frame_id,
                "image_url": photo.url(context.site, scope.picture_size),
                "like_count": photo.like_count,
                "position": page.key.start + i if photo.position is None else photo.position,
                "seen_at": list_pass.at,
            }
            for i, photo in enumerate(parsed.frames)
        ],
    )
    ledger.add_pages(Key("picture", frame_id, scope.picture_size) for frame_id in ids)
    ledger.mark_done(page, list_pass.at, seen=n_items, claimed=parsed.claimed_total, left_out=parsed.left_out)
    if following is not None and (place.is_one or Place.of(following).is_one):
        return open_page(ledger, following, at)
    return list_pass.follow(following)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    movie_ids = with_readable_photos(ledger, scope)
    return (Key("photos_json", movie_id, kind) for movie_id in movie_ids for kind in scope.photo_kinds)


def _pages_per_list(ledger: Ledger, scope: Scope) -> float | None:
    totals = [total for total in reports.photo_totals(ledger).values() if total]  # JSON of a movie has no total
    return 1 + sum(totals) / len(totals) / (PHOTOS_PER_PAGE * len(scope.photo_kinds)) if totals else None


PHOTOS_JSON = JsonKind(
    name="photos_json",
    topic="photos",
    stage="frames",
    table="frames",
    subject="movie_id",
    variants=variants(*PHOTO_TYPES),
    address=address,
    parser=parse_photos_json,
    wanted="photos",
    page_size=PHOTOS_PER_PAGE,
    record=with_detours(_store, PHOTOS_PER_PAGE),
    first_pages=_first_pages,
    unplanned=unread_photo_lists,
    pages_per_list=_pages_per_list,
    refresh_days=90.0,
)
