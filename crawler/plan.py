"""Which pages a crawl needs, in which order, and where they are.

A stage is a few phases; a phase first adds the pages it needs to the ledger, then all pending
pages of its kinds are read, those found on the way included. The ledger decides what is left, so
running a stage again reads only what is new or failed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urljoin, urlsplit

import polars as pl

from crawler.pages.rows import NotUnderstood
from crawler.settings import Scope
from crawler.sites import Site
from crawler.store import Key, Ledger
from dataset.building.kcore import k_core

COMMENTS_A_PAGE = 20
PHOTOS_A_PAGE = 30
COMMENTS_REACH = 200  # a logged-out reader is shown about so many comments of a movie

# Where each kind of page is (a host's role), and its address.
HOSTS = {
    "comments": "movie",
    "collection": "movie",
    "movie": "movie",
    "photos": "movie",
    "picture": "images",
    "photo": "movie",
    "user_likes": "www",
}


@dataclass(frozen=True)
class Phase:
    """Kinds of pages that are read together, and what adds the first of them to the ledger."""

    kinds: tuple[str, ...]
    add_pages: Callable[[Ledger, Scope], None]


@dataclass(frozen=True)
class Core:
    """The movies and users that survive the k-core of the ratings so far, most-rated movies first."""

    movie_ids: tuple[str, ...]
    user_ids: tuple[str, ...]


def address(site: Site, key: Key) -> str:
    """Return the address of a page."""
    match key.kind:
        case "comments":
            return site.comments(key.subject, key.start)
        case "collection":
            return site.collection(key.subject, key.start)
        case "movie":
            return site.movie_page(key.subject)
        case "photos":
            return site.photos(key.subject, key.variant, key.start)
        case "picture":
            return site.picture(key.subject, key.variant)
        case "photo":
            return site.photo_likers(key.subject, key.start)
        case "user_likes":
            return site.user_likes(key.subject, key.start)
    raise ValueError(key.kind)


def next_key(site: Site, key: Key, next_url: str | None, seen: int, claimed: int | None = None) -> Key | None:
    """Return the page that a list's link to the next page leads to; only its offset is taken from it.

    A short page is not the last (hidden items take up room), nor is an empty one before the claimed
    total; an empty one behind it is, whatever it links to.

    Raises:
        NotUnderstood: the link leads out of the list, or not forward.
    """
    if next_url is None or (seen == 0 and key.start >= (claimed or 0)):
        return None
    here = urlsplit(address(site, key))
    there = urlsplit(urljoin(here.geturl(), next_url))
    start = parse_qs(there.query).get("start", [""])[0]
    if there[:3] != here[:3] or not start.isdecimal() or int(start) <= key.start:
        raise NotUnderstood(key.kind, "next_url", f"leads out of the list: {next_url[:80]!r}")
    return key._replace(start=int(start))


def surviving(ledger: Ledger, scope: Scope) -> Core:
    """Return the k-core of the ratings so far (all, if k is 0), without movies that are gone."""
    rows = ledger.execute("SELECT user_id, movie_id FROM ratings").fetchall()
    ratings = pl.DataFrame(rows, schema={"user_id": pl.String, "movie_id": pl.String}, orient="row")
    core = k_core(ratings, k_user=scope.k, k_item=scope.k)
    gone = {row[0] for row in ledger.execute("SELECT subject FROM pages WHERE kind = 'movie' AND state = 'gone'")}
    by_count = core.group_by("movie_id").len().sort(["len", "movie_id"], descending=[True, False])
    movie_ids = [movie_id for movie_id in by_count["movie_id"] if movie_id not in gone]
    return Core(tuple(movie_ids[: scope.max_movies]), tuple(core["user_id"].unique().sort()))


def _add_seeds(ledger: Ledger, scope: Scope) -> None:
    ledger.add_pages(Key("comments", movie_id) for movie_id in scope.movie_ids)
    ledger.add_pages(Key("collection", uid) for uid in scope.uids)


def _add_movies(ledger: Ledger, scope: Scope) -> None:
    ledger.add_pages(Key("movie", movie_id) for movie_id in surviving(ledger, scope).movie_ids)


def _add_photos(ledger: Ledger, scope: Scope) -> None:
    movie_ids = surviving(ledger, scope).movie_ids
    ledger.add_pages(Key("photos", movie_id, kind) for movie_id in movie_ids for kind in scope.photo_kinds)
    bare = ledger.execute("SELECT frame_id FROM frames EXCEPT SELECT frame_id FROM pictures ORDER BY 1").fetchall()
    ledger.add_pages(Key("picture", frame_id, scope.picture_size) for (frame_id,) in bare)


def _add_likes(ledger: Ledger, scope: Scope) -> None:
    ledger.set_meta("k", str(scope.k))  # the export leaves out likes by people outside the core
    if "photo_page" in scope.liker_sources:
        frame_ids = ledger.execute("SELECT frame_id FROM frames ORDER BY frame_id").fetchall()
        ledger.add_pages(Key("photo", frame_id) for (frame_id,) in frame_ids)
    if "user_likes" in scope.liker_sources:
        ledger.add_pages(_user_like_pages(ledger, scope))


def _user_like_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    uids = dict(
        ledger.execute(
            "SELECT people.user_id, pages.subject FROM pages JOIN people ON people.uid = pages.subject "
            "WHERE pages.kind = 'collection' AND pages.start = 0 ORDER BY pages.page_id DESC"
        )
    )
    return (Key("user_likes", uids[user_id]) for user_id in surviving(ledger, scope).user_ids)


def stages(liker_sources: tuple[str, ...]) -> dict[str, tuple[Phase, ...]]:
    """Return the phases of every stage, in the order in which the stages are run."""
    like_kinds = {"photo_page": "photo", "user_likes": "user_likes"}
    return {
        "ratings": (Phase(("comments", "collection"), _add_seeds), Phase(("movie",), _add_movies)),
        "frames": (Phase(("photos", "picture"), _add_photos),),
        "likes": (Phase(tuple(like_kinds[source] for source in liker_sources), _add_likes),),
    }
