"""The kinds of page: one module per kind, and the registry of all.

A module has everything the crawler knows about its kind: the address, the parser, the rows it stores, and the facts in
its `PageKind`. To add a kind, write such a module and list its `PageKind` in `KINDS`. No other file changes. Parsers do
no I/O. Selectors are only in this folder, so that a change of the site's markup needs one edit. The first lines of each
module say how its markup is known: from saved real pages, from public spider code, or by a guess.
"""

from crawler.kinds.collection import COLLECTION
from crawler.kinds.comments import COMMENTS
from crawler.kinds.kind import PageKind
from crawler.kinds.mobile.interests import INTERESTS
from crawler.kinds.mobile.marks import MARKS_JSON
from crawler.kinds.mobile.movie import MOVIE_JSON
from crawler.kinds.mobile.photos import PHOTOS_JSON
from crawler.kinds.movie import MOVIE
from crawler.kinds.photo import PHOTO
from crawler.kinds.photos import PHOTOS
from crawler.kinds.picture import PICTURE
from crawler.kinds.user_likes import USER_LIKES
from crawler.page import Key
from crawler.scope import Scope
from crawler.sites import Site

# In the order in which the kinds of a phase are planned.
KINDS: dict[str, PageKind] = {
    kind.name: kind
    for kind in (
        COMMENTS,
        INTERESTS,
        COLLECTION,
        MARKS_JSON,
        MOVIE_JSON,
        MOVIE,
        PHOTOS_JSON,
        PHOTOS,
        PICTURE,
        PHOTO,
        USER_LIKES,
    )
}
_FAR = 2**32
PERSONAL_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.is_personal)


def is_page(key: Key) -> bool:
    """Return whether a key has the form of a page's: a known kind, an id, a kind of photo or a size, an offset."""
    kind = KINDS.get(key.kind)
    return kind is not None and kind.is_id(key.subject) and key.variant in kind.variants and 0 <= key.start < _FAR


def address(site: Site, key: Key, scope: Scope | None = None) -> str:
    """Return the address of a page; with a scope, the one that a crawl of this scope requests.

    Raises:
        ValueError: the key has not the form of a page's (`is_page`), so its address could be that of another page.
    """
    if not is_page(key):
        raise ValueError(f"{key}: not a page of the site")
    kind = KINDS[key.kind]
    if scope is not None and kind.address_in is not None:
        return kind.address_in(site, key, scope)
    return kind.address(site, key)
