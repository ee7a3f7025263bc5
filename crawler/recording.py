"""What each kind of page leaves in the ledger: its rows, the pages found on it, and its done mark.

Every function here belongs into one transaction, which `record` opens. Storing a page twice, or a
row that also stands on another page, changes nothing: the newest row wins.
"""

import json
from collections.abc import Iterable

from crawler.images import Picture
from crawler.lists import LastItem, Reading, Rows
from crawler.pages.rows import (
    CollectionPage,
    CommentsPage,
    MoviePage,
    Person,
    PhotoLikersPage,
    PhotoListPage,
    UserLikesPage,
)
from crawler.plan import COMMENTS_A_PAGE, COMMENTS_REACH
from crawler.settings import Scope
from crawler.sites import Site
from crawler.store import Key, Ledger, Page

Parsed = CollectionPage | CommentsPage | MoviePage | PhotoLikersPage | PhotoListPage | UserLikesPage | Picture


def record(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: Parsed, at: float) -> Key | None:
    """Store what a page gave, all or nothing; return the page of its list to read next, if it goes on.

    Args:
        ledger: where to.
        site: where the page is.
        scope: of the crawl.
        page: which page it is.
        parsed: what it gave.
        at: when it was answered, in Unix time.

    Raises:
        NotUnderstood: the link to the next page leads elsewhere; nothing is stored.
    """
    with ledger.transaction():
        match parsed:
            case CommentsPage():
                return _comments(ledger, site, scope, page, parsed, at)
            case CollectionPage():
                return _collection(ledger, site, page, parsed, at)
            case MoviePage():
                _movie(ledger, page, parsed, at)
            case PhotoListPage():
                return _photos(ledger, site, scope, page, parsed, at)
            case PhotoLikersPage():
                return _photo_likers(ledger, site, page, parsed, at)
            case UserLikesPage():
                return _user_likes(ledger, site, page, parsed, at)
            case Picture():
                _picture(ledger, page, parsed, at)
        return None


def _comments(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: CommentsPage, at: float) -> Key | None:
    for person in parsed.people:
        _discover(ledger, scope, person)
    uids = [person.uid for person in parsed.people]
    is_full = len(uids) == COMMENTS_A_PAGE  # else somebody is left out, perhaps at the seam
    last = LastItem(uids[-1] if is_full else None, uids[0] if uids else None, ledger.last_item_before(page.key))
    reading = Reading(ledger, page, at)
    ledger.mark_done(page, reading.at, seen=len(uids), last_item=last.shown)
    at_reach = page.key.start + COMMENTS_A_PAGE >= COMMENTS_REACH
    return reading.follow(site, None if at_reach else parsed.next_url, seen=1, last=last)


def _discover(ledger: Ledger, scope: Scope, person: Person) -> None:
    """Plan a person's collection, unless it is planned under another uid or there are enough people."""
    user_id = ledger.user_id(person)
    is_known = ledger.value(
        # CROSS: the person's few uids first, not every collection for every person
        "SELECT 1 FROM people CROSS JOIN pages ON pages.kind = 'collection' AND pages.subject = people.uid "
        "WHERE people.user_id = ?",
        (user_id,),
    )
    if not is_known and (scope.max_users is None or _planned_users(ledger) < scope.max_users):
        ledger.add_pages([Key("collection", person.uid)])


def _planned_users(ledger: Ledger) -> int:
    planned: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'collection' AND start = 0")
    return planned


def _collection(ledger: Ledger, site: Site, page: Page, parsed: CollectionPage, at: float) -> Key | None:
    user_id = ledger.user_id(parsed.person)
    items = {row.movie_id: (row.stars, row.rated_on and row.rated_on.isoformat()) for row in parsed.ratings}
    rows = Rows("ratings", "user_id = ?", (user_id,), "movie_id", ("stars", "rated_on"), is_newest_first=True)
    reading = Reading(ledger, page, at, rows, items)
    ledger.executemany(
        "INSERT INTO ratings VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET stars = excluded.stars, rated_on = excluded.rated_on, seen_at = excluded.seen_at",
        [(user_id, movie_id, *values, reading.at) for movie_id, values in items.items()],
    )
    ledger.mark_done(page, reading.at, seen=len(parsed.ratings), claimed=parsed.claimed_total)
    return reading.follow(site, parsed.next_url, len(parsed.ratings), parsed.claimed_total)


def _movie(ledger: Ledger, page: Page, parsed: MoviePage, at: float) -> None:
    movie = parsed.movie
    ledger.execute(
        "INSERT OR REPLACE INTO movies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            movie.movie_id,
            movie.title,
            movie.original_title,
            movie.year,
            movie.kind,
            json.dumps(movie.genres, ensure_ascii=False),
            json.dumps(movie.directors, ensure_ascii=False),
            movie.rating_mean,
            movie.rating_count,
            parsed.photo_total,
            parsed.seen_total,
            at,
        ),
    )
    ledger.mark_done(page, at, seen=1)


def _photos(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: PhotoListPage, at: float) -> Key | None:
    rows = Rows(
        "frames", "movie_id = ? AND kind = ?", (parsed.movie_id, page.key.variant), "frame_id", can_vanish=False
    )
    reading = Reading(ledger, page, at, rows, {row.frame_id: () for row in parsed.frames})
    ledger.executemany(
        "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "movie_id = excluded.movie_id, kind = excluded.kind, width_px = excluded.width_px, "
        "height_px = excluded.height_px, image_url = excluded.image_url, seen_at = excluded.seen_at",
        [
            (row.frame_id, parsed.movie_id, page.key.variant, row.width_px, row.height_px, row.image_url, reading.at)
            for row in parsed.frames
        ],
    )
    ledger.add_pages(Key("picture", row.frame_id, scope.picture_size) for row in parsed.frames)
    ledger.mark_done(page, reading.at, seen=len(parsed.frames), claimed=parsed.claimed_total)
    return reading.follow(site, parsed.next_url, len(parsed.frames), parsed.claimed_total)


def _picture(ledger: Ledger, page: Page, parsed: Picture, at: float) -> None:
    ledger.execute(
        "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            page.key.subject,
            parsed.sha256,
            parsed.format,
            parsed.width_px,
            parsed.height_px,
            parsed.size_bytes,
            parsed.path,
        ),
    )
    ledger.mark_done(page, at, seen=1)


def _photo_likers(ledger: Ledger, site: Site, page: Page, parsed: PhotoLikersPage, at: float) -> Key | None:
    frame_id, total = page.key.subject, parsed.like_count
    likes = {ledger.user_id(liker.person): liker.liked_on for liker in parsed.likers}
    rows = Rows("likes", "frame_id = ? AND source = 'photo_page'", (frame_id,), "user_id")
    reading = Reading(ledger, page, at, rows, dict.fromkeys(likes, ()))
    _store_likes(ledger, "photo_page", [(user_id, frame_id, day) for user_id, day in likes.items()], reading.at)
    seen = len(parsed.likers) + parsed.n_anonymous
    ledger.mark_done(page, reading.at, seen=seen, claimed=total, left_out=parsed.n_anonymous)
    return reading.follow(site, parsed.next_url, seen, total)


def _user_likes(ledger: Ledger, site: Site, page: Page, parsed: UserLikesPage, at: float) -> Key | None:
    """Store likes, also of photos that are no frames (yet): the export leaves those out.

    The list claims no total, so each page is asked for with the last item of the one before.
    """
    user_id = ledger.user_id(Person(parsed.uid, parsed.uid))
    shown = [like.frame_id for like in parsed.likes]
    expected = ledger.last_item_before(page.key)
    last = LastItem(shown[-1] if shown else None, shown[0] if shown else None, expected)
    fresh = {like.frame_id: like.liked_on for like in parsed.likes if like.frame_id != expected}
    rows = Rows("likes", "user_id = ? AND source = 'user_likes'", (user_id,), "frame_id")
    reading = Reading(ledger, page, at, rows, dict.fromkeys(fresh, ()))
    _store_likes(ledger, "user_likes", [(user_id, frame_id, day) for frame_id, day in fresh.items()], reading.at)
    ledger.mark_done(page, reading.at, seen=len(fresh), last_item=last.shown)
    return reading.follow(site, parsed.next_url, len(shown), last=last)


def _store_likes(ledger: Ledger, source: str, likes: Iterable[tuple[str, str, object]], at: float) -> None:
    ledger.executemany(
        "INSERT INTO likes VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET liked_on = excluded.liked_on, seen_at = excluded.seen_at",
        [(user_id, frame_id, source, day and str(day), at) for user_id, frame_id, day in likes],
    )
