"""From an answer to a page: the one entry for the crawl, for re-reading the archive and for tests."""

from collections.abc import Callable

from crawler.pages.collection import parse_collection
from crawler.pages.comments import parse_comments
from crawler.pages.movie import parse_movie
from crawler.pages.photo import parse_photo_likers
from crawler.pages.photos import parse_photos
from crawler.pages.refusal import classify
from crawler.pages.rows import (
    CollectionPage,
    CommentsPage,
    MoviePage,
    NotUnderstood,
    PhotoLikersPage,
    PhotoListPage,
    UserLikesPage,
)
from crawler.pages.user_likes import parse_user_likes

Page = MoviePage | CommentsPage | PhotoListPage | PhotoLikersPage | CollectionPage | UserLikesPage

PARSERS: dict[str, Callable[[str, str], Page]] = {
    "movie": parse_movie,
    "comments": parse_comments,
    "photos": parse_photos,
    "photo": parse_photo_likers,
    "collection": parse_collection,
    "user_likes": parse_user_likes,
}

_LONGEST_TAIL = 4096  # characters; a server may write comments and scripts below the page


def parse_page(
    kind: str, *, status: int, url: str, body: bytes, location: str | None = None, content_type: str | None = None
) -> Page:
    """Return the page that an HTTP answer holds.

    Args:
        kind: which page was asked for, a key of `PARSERS`.
        status: the HTTP status.
        url: the address that answered, absolute.
        body: the answer's bytes, decompressed.
        location: the header of that name (redirects are not followed).
        content_type: the header of that name.

    Raises:
        Refused: the site refuses us.
        PageGone: what the page was about does not exist (any more).
        NotUnderstood: anything else that is not a whole page of this kind.
    """
    classify(status, url, body, content_type, location)
    if status != 200:
        raise NotUnderstood(kind, "status", f"is {status}" + (f", to {location}" if location else ""))
    html = body.decode("utf-8", "replace")
    if not html or html.isspace():
        raise NotUnderstood(kind, "body", "is empty")
    if "</html>" not in html[-_LONGEST_TAIL:].lower():
        raise NotUnderstood(kind, "end", "not found (no </html>): the page is cut off")
    return PARSERS[kind](html, url)
