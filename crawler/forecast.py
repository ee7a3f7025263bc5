"""How much of a crawl there is to do, and how long that takes at the politeness rate.

Known are the ledger's pending pages; what lies behind them is estimated from the lists read so
far, and for photos from the totals that movie pages claim. Before anything tells of a kind, it is not
yet known: no number is better than a made-up one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crawler.plan import COMMENTS_A_PAGE, COMMENTS_REACH, HOSTS, PHOTOS_A_PAGE, Core, surviving
from crawler.settings import Scope
from crawler.store import Ledger

STATES = ("done", "pending", "gone", "refused", "failed")


STAGE_OF = {
    "comments": "ratings",
    "collection": "ratings",
    "movie": "ratings",
    "photos": "frames",
    "picture": "frames",
    "photo": "likes",
    "user_likes": "likes",
}
_SINGLE = ("movie", "picture")  # a page each, no lists


@dataclass(frozen=True)
class Forecast:
    """The requests one kind of page still needs: those known, and those expected behind them.

    `expected` is None where nothing read so far tells.
    """

    stage: str
    kind: str
    known: int
    expected: int | None

    @property
    def requests(self) -> int:
        """All that can be told."""
        return self.known + (self.expected or 0)


def forecast(ledger: Ledger, scope: Scope) -> list[Forecast]:
    """Return what each kind of page still needs, in the order of the stages."""
    counts = ledger.counts()
    found = []
    for kind, lists in _unplanned_lists(ledger, scope).items():
        known = sum(counts.get((kind, state), 0) for state in ("pending", "failed", "refused"))
        begun = ledger.value("SELECT count(*) FROM pages WHERE kind = ? AND state = 'pending' AND start = 0", (kind,))
        pages_a_list = _pages_a_list(ledger, scope, kind)
        if lists == begun == 0:
            expected: int | None = 0
        elif lists is None or pages_a_list is None:
            expected = None
        else:
            expected = round(begun * (pages_a_list - 1) + lists * pages_a_list)
        found.append(Forecast(STAGE_OF[kind], kind, known, expected))
    return found


def _unplanned_lists(ledger: Ledger, scope: Scope) -> dict[str, float | None]:
    """Return how many lists (or single pages) of each kind there will be that the ledger does not know yet."""
    core = surviving(ledger, scope)
    is_core_known = bool(core.movie_ids)
    frames = _expected_frames(ledger, scope, core) if is_core_known else None
    lists: dict[str, float | None] = {
        "comments": _unplanned(ledger, "comments", scope.movie_ids),
        "collection": _users_to_be_found(ledger, scope),
        "movie": _unplanned(ledger, "movie", core.movie_ids) if is_core_known else None,
        "photos": len(scope.photo_kinds) * _unplanned(ledger, "photos", core.movie_ids) if is_core_known else None,
        "picture": frames and max(0.0, frames - _lists(ledger, "picture")),
    }
    if "photo_page" in scope.liker_sources:
        lists["photo"] = frames and max(0.0, frames - _lists(ledger, "photo"))
    if "user_likes" in scope.liker_sources:
        lists["user_likes"] = max(0, len(core.user_ids) - _lists(ledger, "user_likes")) if is_core_known else None
    return lists


def seconds_needed(forecasts: Sequence[Forecast], delay_s: float) -> float:
    """Return how long the requests take when each host gets one every `delay_s`, all hosts at once."""
    of_host: dict[str, int] = {}
    for one in forecasts:
        of_host[HOSTS[one.kind]] = of_host.get(HOSTS[one.kind], 0) + one.requests
    return delay_s * max(of_host.values(), default=0)


def duration(seconds: float) -> str:
    """Return a time in words: "3 h 20 min", "4.1 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86400:.1f} days"


def _unplanned(ledger: Ledger, kind: str, subjects: Sequence[str]) -> int:
    planned = {row[0] for row in ledger.execute("SELECT DISTINCT subject FROM pages WHERE kind = ?", (kind,))}
    return len(set(subjects) - planned)


def _lists(ledger: Ledger, kind: str) -> int:
    n: int = ledger.value("SELECT count(*) FROM pages WHERE kind = ? AND start = 0", (kind,))
    return n


def _count(ledger: Ledger, kind: str, state: str) -> int:
    n: int = ledger.value("SELECT count(*) FROM pages WHERE kind = ? AND state = ?", (kind, state))
    return n


def _pages_a_list(ledger: Ledger, scope: Scope, kind: str) -> float | None:
    """Return how many pages the lists of a kind have that were read so far; None if nothing tells."""
    if kind in _SINGLE:
        return 1.0
    query = (
        "SELECT count(*), count(DISTINCT subject || variant) FROM pages "
        "WHERE kind = ? AND state = 'done' "
        "AND subject NOT IN (SELECT subject FROM pages WHERE kind = ? AND state = 'pending')"
    )
    pages, lists = ledger.execute(query, (kind, kind)).fetchone()
    if lists:
        return float(pages / lists)
    if kind == "comments":
        return COMMENTS_REACH / COMMENTS_A_PAGE
    total = ledger.value("SELECT avg(coalesce(photo_total, 0)) FROM movies") if kind == "photos" else None
    return None if total is None else 1 + total / (PHOTOS_A_PAGE * len(scope.photo_kinds))


def _users_to_be_found(ledger: Ledger, scope: Scope) -> float | None:
    """Estimate the users who are named, and whom the comments that are not read yet lead to."""
    named = _unplanned(ledger, "collection", scope.uids)
    unread = _count(ledger, "comments", "pending") + _unplanned(ledger, "comments", scope.movie_ids) * (
        _pages_a_list(ledger, scope, "comments") or 1.0
    )
    if not unread:
        return named
    read, found = _count(ledger, "comments", "done"), _lists(ledger, "collection")
    bound = None if scope.max_users is None else max(0.0, scope.max_users - found)
    if not read:
        return bound
    to_be_found = unread * found / read
    return named + (to_be_found if bound is None else min(to_be_found, bound))


def _expected_frames(ledger: Ledger, scope: Scope, core: Core) -> float | None:
    """Estimate the frames there will be: those known, and those that movie pages and begun lists claim.

    A movie's total counts photos of every kind; how much of it becomes frames is told by the movies
    whose lists are read. Until then all of it is expected, which is the most there can be.
    """
    totals: dict[str, int] = dict(ledger.execute("SELECT movie_id, coalesce(photo_total, 0) FROM movies"))
    known: dict[str, int] = dict(ledger.execute("SELECT movie_id, count(*) FROM frames GROUP BY movie_id"))
    begun = {row[0] for row in ledger.execute("SELECT subject FROM pages WHERE kind = 'photos' AND state <> 'pending'")}
    ahead = [movie_id for movie_id in core.movie_ids if movie_id not in begun]
    if ahead and not totals:
        return None
    read_total = sum(total for movie_id, total in totals.items() if movie_id in begun)
    share = min(1.0, sum(known.get(movie_id, 0) for movie_id in begun) / read_total) if read_total else 1.0
    mean = sum(totals.values()) / len(totals) if totals else 0.0
    return sum(known.values()) + share * sum(totals.get(movie_id, mean) for movie_id in ahead) + _rest_of_lists(ledger)


def _rest_of_lists(ledger: Ledger) -> int:
    """Return how many photos the begun lists claim beyond those shown."""
    rest: int | None = ledger.value(
        "SELECT sum(rest) FROM (SELECT max(claimed) - sum(seen) AS rest FROM pages WHERE kind = 'photos' "
        "GROUP BY subject, variant HAVING rest > 0 AND sum(state = 'pending') > 0)"
    )
    return rest or 0
