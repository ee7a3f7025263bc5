"""What each kind of page leaves in the ledger: its rows, the pages found on it, and its done mark.

Every function here belongs into one transaction, which `record` opens. Storing a page twice, or a
row that also stands on another page, changes nothing: the newest row wins.
"""

import json
import time
from collections.abc import Iterable

from crawler.images import Picture
from crawler.pages.rows import (
    CollectionPage,
    CommentsPage,
    MoviePage,
    Person,
    PhotoLikersPage,
    PhotoListPage,
    UserLikesPage,
)
from crawler.plan import COMMENTS_REACH, next_key
from crawler.settings import Scope
from crawler.sites import Site
from crawler.store import Key, Ledger, Page

Parsed = CollectionPage | CommentsPage | MoviePage | PhotoLikersPage | PhotoListPage | UserLikesPage | Picture


def record(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: Parsed) -> Key | None:
    """Store what a page gave, all or nothing; return the next page of its list, if it goes on.

    Raises:
        NotUnderstood: the link to the next page leads elsewhere; nothing is stored.
    """
    with ledger.transaction():
        match parsed:
            case CommentsPage():
                return _comments(ledger, site, scope, page, parsed)
            case CollectionPage():
                return _collection(ledger, site, page, parsed)
            case MoviePage():
                _movie(ledger, page, parsed)
            case PhotoListPage():
                return _photos(ledger, site, scope, page, parsed)
            case PhotoLikersPage():
                return _photo_likers(ledger, site, page, parsed)
            case UserLikesPage():
                return _user_likes(ledger, site, page, parsed)
            case Picture():
                _picture(ledger, page, parsed)
        return None


def _comments(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: CommentsPage) -> Key | None:
    for person in parsed.people:
        _discover(ledger, scope, person)
    following = next_key(site, page.key, parsed.next_url, seen=1)  # a page of deleted people alone is not the last
    if following and following.start >= COMMENTS_REACH:
        following = None
    ledger.mark_done(page, seen=len(parsed.people))
    return _add(ledger, following)


def _discover(ledger: Ledger, scope: Scope, person: Person) -> None:
    """Plan a person's collection, unless it is planned under another uid or there are enough people."""
    user_id = ledger.user_id(person)
    is_known = ledger.value(
        "SELECT 1 FROM people JOIN pages ON pages.kind = 'collection' AND pages.subject = people.uid "
        "WHERE people.user_id = ?",
        (user_id,),
    )
    if not is_known and (scope.max_users is None or _planned_users(ledger) < scope.max_users):
        ledger.add_pages([Key("collection", person.uid)])


def _planned_users(ledger: Ledger) -> int:
    planned: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'collection' AND start = 0")
    return planned


def _collection(ledger: Ledger, site: Site, page: Page, parsed: CollectionPage) -> Key | None:
    user_id = ledger.user_id(parsed.person)
    ledger.executemany(
        "INSERT INTO ratings VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET stars = excluded.stars, rated_on = excluded.rated_on",
        [(user_id, row.movie_id, row.stars, row.rated_on and row.rated_on.isoformat()) for row in parsed.ratings],
    )
    ledger.mark_done(page, seen=len(parsed.ratings), claimed=parsed.claimed_total)
    return _add(ledger, next_key(site, page.key, parsed.next_url, len(parsed.ratings), parsed.claimed_total))


def _movie(ledger: Ledger, page: Page, parsed: MoviePage) -> None:
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
            time.time(),
        ),
    )
    ledger.mark_done(page, seen=1)


def _photos(ledger: Ledger, site: Site, scope: Scope, page: Page, parsed: PhotoListPage) -> Key | None:
    ledger.executemany(
        "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET movie_id = excluded.movie_id, "
        "kind = excluded.kind, width_px = excluded.width_px, height_px = excluded.height_px, "
        "image_url = excluded.image_url",
        [
            (row.frame_id, parsed.movie_id, page.key.variant, row.width_px, row.height_px, row.image_url)
            for row in parsed.frames
        ],
    )
    ledger.add_pages(Key("picture", row.frame_id, scope.picture_size) for row in parsed.frames)
    ledger.mark_done(page, seen=len(parsed.frames), claimed=parsed.claimed_total)
    return _add(ledger, next_key(site, page.key, parsed.next_url, len(parsed.frames), parsed.claimed_total))


def _picture(ledger: Ledger, page: Page, parsed: Picture) -> None:
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
    ledger.mark_done(page, seen=1)


def _photo_likers(ledger: Ledger, site: Site, page: Page, parsed: PhotoLikersPage) -> Key | None:
    if parsed.like_count is not None:
        ledger.execute("UPDATE frames SET like_count = ? WHERE frame_id = ?", (parsed.like_count, page.key.subject))
    likes = [(ledger.user_id(liker.person), page.key.subject, liker.liked_on) for liker in parsed.likers]
    _store_likes(ledger, "photo_page", likes)
    seen = len(likes) + parsed.n_anonymous
    ledger.mark_done(page, seen=seen, claimed=parsed.like_count, left_out=parsed.n_anonymous)
    return _add(ledger, next_key(site, page.key, parsed.next_url, seen))


def _user_likes(ledger: Ledger, site: Site, page: Page, parsed: UserLikesPage) -> Key | None:
    user_id = ledger.user_id(Person(parsed.uid, parsed.uid))
    likes = [
        (user_id, like.frame_id, like.liked_on)
        for like in parsed.likes
        if ledger.value("SELECT 1 FROM frames WHERE frame_id = ?", (like.frame_id,))
    ]
    _store_likes(ledger, "user_likes", likes)
    ledger.mark_done(page, seen=len(parsed.likes), left_out=len(parsed.likes) - len(likes))
    return _add(ledger, next_key(site, page.key, parsed.next_url, len(parsed.likes)))


def _store_likes(ledger: Ledger, source: str, likes: Iterable[tuple[str, str, object]]) -> None:
    ledger.executemany(
        "INSERT INTO likes VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET liked_on = excluded.liked_on",
        [(user_id, frame_id, source, liked_on and str(liked_on)) for user_id, frame_id, liked_on in likes],
    )


def _add(ledger: Ledger, key: Key | None) -> Key | None:
    if key is not None:
        ledger.add_pages([key])
    return key
