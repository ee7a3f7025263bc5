"""How much of a crawl there is to do, and how long that takes at the politeness rate.

Known are the ledger's pending pages; what lies behind them is estimated from the lists read so
far, or from the assumptions below while nothing is read yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crawler.plan import HOSTS, Core, surviving
from crawler.settings import Scope
from crawler.store import Ledger

ASSUMED_PAGES_A_LIST = {"comments": 10.0, "collection": 20.0, "photos": 3.0, "photo": 1.0, "user_likes": 3.0}
ASSUMED_NEW_USERS_A_PAGE = 10.0  # of comments
ASSUMED_FRAMES_A_PAGE = 30.0  # of photos
STATES = ("done", "pending", "gone", "refused", "failed")


@dataclass(frozen=True)
class Forecast:
    """The requests one kind of page still needs: those known, and those expected behind them."""

    stage: str
    kind: str
    known: int
    expected: int

    @property
    def requests(self) -> int:
        """All of them."""
        return self.known + self.expected


def forecast(ledger: Ledger, scope: Scope) -> list[Forecast]:
    """Return what each kind of page still needs, in the order of the stages."""
    core = surviving(ledger, scope)
    frames = _expected_frames(ledger, scope, core)
    unplanned = {
        "comments": _unplanned(ledger, "comments", scope.movie_ids),
        "collection": _unplanned(ledger, "collection", scope.uids) + _users_to_be_found(ledger, scope),
        "movie": _unplanned(ledger, "movie", core.movie_ids),
        "photos": len(scope.photo_kinds) * _unplanned(ledger, "photos", core.movie_ids),
        "picture": max(0.0, frames - _lists(ledger, "picture")),
    }
    if "photo_page" in scope.liker_sources:
        unplanned["photo"] = max(0.0, frames - _lists(ledger, "photo"))
    if "user_likes" in scope.liker_sources:
        unplanned["user_likes"] = max(0, len(core.user_ids) - _lists(ledger, "user_likes"))
    stage_of = {
        "comments": "ratings",
        "collection": "ratings",
        "movie": "ratings",
        "photos": "frames",
        "picture": "frames",
    }
    counts = ledger.counts()
    found = []
    for kind, lists in unplanned.items():
        known = counts.get((kind, "pending"), 0) + counts.get((kind, "failed"), 0) + counts.get((kind, "refused"), 0)
        begun = ledger.value("SELECT count(*) FROM pages WHERE kind = ? AND state = 'pending' AND start = 0", (kind,))
        pages_a_list = _pages_a_list(ledger, kind)
        expected = round(begun * (pages_a_list - 1) + lists * pages_a_list)
        found.append(Forecast(stage_of.get(kind, "likes"), kind, known, expected))
    return found


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


def _pages_a_list(ledger: Ledger, kind: str) -> float:
    query = (
        "SELECT count(*), count(DISTINCT subject || variant) FROM pages "
        "WHERE kind = ? AND state = 'done' "
        "AND subject NOT IN (SELECT subject FROM pages WHERE kind = ? AND state = 'pending')"
    )
    pages, lists = ledger.execute(query, (kind, kind)).fetchone()
    return pages / lists if lists else ASSUMED_PAGES_A_LIST.get(kind, 1.0)


def _users_to_be_found(ledger: Ledger, scope: Scope) -> float:
    """Estimate the users whom the comments that are not read yet lead to."""
    read: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'comments' AND state = 'done'")
    found = _lists(ledger, "collection")
    a_page = found / read if read else ASSUMED_NEW_USERS_A_PAGE
    begun: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'comments' AND state = 'pending'")
    unread = begun + _unplanned(ledger, "comments", scope.movie_ids) * _pages_a_list(ledger, "comments")
    bound = float("inf") if scope.max_users is None else max(0, scope.max_users - found)
    return min(unread * a_page, bound)


def _expected_frames(ledger: Ledger, scope: Scope, core: Core) -> float:
    known: int = ledger.value("SELECT count(*) FROM frames")
    read: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'photos' AND state = 'done'")
    a_page = known / read if read else ASSUMED_FRAMES_A_PAGE
    begun: int = ledger.value("SELECT count(*) FROM pages WHERE kind = 'photos' AND state = 'pending'")
    lists = len(scope.photo_kinds) * _unplanned(ledger, "photos", core.movie_ids)
    return known + a_page * (begun + lists * _pages_a_list(ledger, "photos"))
