"""The kinds of page: one module per kind, and the registry of all.

A module has everything the crawler knows about its kind: the address, the parser, the rows it stores, and the facts in
its `PageKind`. To add a kind, write such a module and list its `PageKind` in `KINDS`. No other file changes. Parsers do
no I/O. Selectors are only in this folder, so that a change of the site's markup needs one edit. The first lines of each
module say how its markup is known: from saved real pages, from public spider code, or by a guess.
"""

from crawler.kinds.collection import COLLECTION
from crawler.kinds.comments import COMMENTS
from crawler.kinds.kind import PageKind
from crawler.kinds.movie import MOVIE
from crawler.kinds.photo import PHOTO
from crawler.kinds.photos import PHOTOS
from crawler.kinds.picture import PICTURE
from crawler.kinds.user_likes import USER_LIKES
from crawler.page import Key
from crawler.sites import Site

# In the order in which the kinds of a phase are planned.
KINDS: dict[str, PageKind] = {
    kind.name: kind for kind in (COMMENTS, COLLECTION, MOVIE, PHOTOS, PICTURE, PHOTO, USER_LIKES)
}
PERSONAL_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.is_personal)


def address(site: Site, key: Key) -> str:
    """Return the address of a page."""
    return KINDS[key.kind].address(site, key)
