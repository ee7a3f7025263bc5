"""The queries of the export: the rows of each raw table, with the site's own ids of people."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from crawler.ledger.database import marks
from crawler.ledger.ledger import Ledger
from crawler.page import Key

_OF_FRAMES = "frame_id IN (SELECT frame_id FROM frames)"  # after a replay, the list with a frame can be missing
_ANONYMOUS = "anonymous, without a profile"  # the only reason before version 3
_NOT_READ = "state IN ('gone', 'unavailable', 'refused', 'failed')"

Row = tuple[Any, ...]


class Unread(NamedTuple):
    """A page that gave no rows, or not all of its items; `left_out` counts the others by reason."""

    key: Key
    state: str
    cause: str | None
    left_out: dict[str, int]


def movies(ledger: Ledger, read_by: Sequence[str]) -> list[Row]:
    """Return the rows of `movies`; genres and directors are JSON, `crawled_at` is Unix time.

    A merged movie has the id of the one that it is now, whose own row is preferred. A movie whose page (of a kind in
    `read_by`) is not shown to us has the title that people's lists show, or else its id, and nothing more.
    """
    aliases = ledger.aliases()
    rows = ledger.execute(
        "SELECT movie_id, title, original_title, year, kind, genres, directors, rating_mean, rating_count, "
        "crawled_at FROM movies"
    ).fetchall()
    known = {row[0]: row for row in rows if row[0] not in aliases}
    for row in rows:
        movie_id = aliases.get(row[0], row[0])
        known.setdefault(movie_id, (movie_id, *row[1:]))
    titles = dict(
        ledger.execute(
            "SELECT subject, title FROM pages LEFT JOIN listed_titles ON movie_id = subject "
            f"WHERE kind IN ({marks(read_by)}) AND state = 'unavailable' ORDER BY subject",
            read_by,
        )
    )
    for movie_id, title in titles.items():
        into_id = aliases.get(movie_id, movie_id)
        known.setdefault(into_id, (into_id, title or into_id, None, None, None, "[]", "[]", None, None, None))
    return list(known.values())


def ratings(ledger: Ledger) -> tuple[list[Row], list[Row]]:
    """Return user id, movie id, stars and ISO date of every rating; and the marks that another one replaces.

    A merged movie has the id of the one that it is now. Of the marks of one person that become marks of the same movie,
    the latest stays (a mark without a date is the oldest, one without stars is older than one of the same day). The
    others are returned with the id that they have at the source.
    """
    rows = ledger.execute("SELECT user_id, movie_id, stars, rated_on FROM ratings").fetchall()
    aliases = ledger.aliases()
    if not aliases:
        return rows, []
    merged = {*aliases, *aliases.values()}
    kept = [row for row in rows if row[1] not in merged]
    latest: dict[tuple[str, str], Row] = {}
    replaced: list[Row] = []
    of_merged = [row for row in rows if row[1] in merged]
    for row in sorted(of_merged, key=lambda row: (row[3] or "", row[2] is not None, row[1] not in aliases, row)):
        pair = (row[0], aliases.get(row[1], row[1]))
        if pair in latest:
            replaced.append(latest[pair])
        latest[pair] = row
    kept += [(user_id, movie_id, *row[2:]) for (user_id, movie_id), row in latest.items()]
    return kept, replaced


def users(ledger: Ledger, kinds: Sequence[str]) -> list[Row]:
    """Return, for each person whose list of marks was read, how they were found and what was read.

    A row is: user id, what led to them, when the last reading began (Unix time), how many marks the list claims, how
    many are stored, and whether it was read to its end.

    Args:
        ledger: the ledger.
        kinds: the kinds of page that list a person's marks.
    """
    return ledger.execute(
        "SELECT people.user_id, found_through, max(begun_at), claimed, "
        "(SELECT count(*) FROM ratings WHERE ratings.user_id = people.user_id), "
        "coalesce(is_complete, 1) AND NOT EXISTS (SELECT 1 FROM pages AS other WHERE other.kind = pages.kind "
        "AND other.subject = pages.subject AND other.variant = pages.variant AND other.state <> 'done') "
        "FROM pages JOIN people ON people.uid = pages.subject "
        f"WHERE pages.kind IN ({marks(kinds)}) AND start = 0 AND begun_at IS NOT NULL GROUP BY people.user_id",
        kinds,
    ).fetchall()


def frames(ledger: Ledger, counted_by: str) -> list[Row]:
    """Return the rows of `frames`; a frame of a merged movie belongs to the one that the movie is now.

    The number of likes is what the frame's page of kind `counted_by` claims, or else what the list says.
    """
    return ledger.execute(
        "SELECT frame_id, coalesce(into_id, movie_id), frames.kind, width_px, height_px, image_url, "
        "coalesce(claimed, like_count), position FROM frames LEFT JOIN aliases USING (movie_id) LEFT JOIN pages "
        "ON pages.kind = ? AND pages.subject = frame_id AND variant = '' AND start = 0",
        (counted_by,),
    ).fetchall()


def pictures(ledger: Ledger) -> list[Row]:
    """Return the rows of `images`."""
    return ledger.execute(
        f"SELECT frame_id, sha256, format, width_px, height_px, size_bytes, path FROM pictures WHERE {_OF_FRAMES}"
    ).fetchall()


def likes(ledger: Ledger) -> list[Row]:
    """Return user id, frame id, date and source of every like of a known frame.

    A like in both sources is returned once, with source `photo_page` and with a date if one of them has it.
    """
    return ledger.execute(
        f"SELECT user_id, frame_id, max(liked_on), min(source) FROM likes WHERE {_OF_FRAMES} GROUP BY user_id, frame_id"
    ).fetchall()


def likes_of_unknown_frames(ledger: Ledger) -> list[Row]:
    """Return for each user the number of likes of photos that are not frames of this crawl."""
    return ledger.execute(f"SELECT user_id, count(*) FROM likes WHERE NOT {_OF_FRAMES} GROUP BY user_id").fetchall()


def unread_pages(ledger: Ledger) -> list[Unread]:
    """Return every page that gave no rows, and every page with items left out."""
    rows = ledger.execute(
        "SELECT kind, subject, variant, start, state, cause, left_out, left_out_reasons FROM pages "
        f"WHERE {_NOT_READ} OR left_out > 0"
    )
    return [
        Unread(Key(*row[:4]), row[4], row[5], json.loads(row[7]) if row[7] else {_ANONYMOUS: row[6]} if row[6] else {})
        for row in rows
    ]


def times(ledger: Ledger) -> tuple[float | None, float | None]:
    """Return the Unix times of the earliest and the latest answer (the last one of each page counts)."""
    first, last = ledger.execute("SELECT min(fetched_at), max(fetched_at) FROM pages").fetchone()
    return first, last


def causes(ledger: Ledger) -> dict[str, int]:
    """Return how many pages gave no rows, by cause."""
    return dict(ledger.execute(f"SELECT cause, count(*) FROM pages WHERE {_NOT_READ} GROUP BY cause ORDER BY cause"))


def claimed_and_seen(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Return for each kind of list the number of lists, of items they claim, and of items they showed."""
    rows = ledger.execute(
        "SELECT kind, count(*), sum(claimed), sum(seen) FROM (SELECT kind, max(claimed) AS claimed, sum(seen) AS seen "
        "FROM pages WHERE state = 'done' GROUP BY kind, subject, variant) WHERE claimed IS NOT NULL GROUP BY kind"
    )
    return {kind: {"lists": n, "items_claimed": claimed, "items_seen": seen} for kind, n, claimed, seen in rows}
