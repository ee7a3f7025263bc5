"""The queries of `status` and `plan`."""

import json
from collections import Counter
from typing import NamedTuple

from crawler.ledger.database import marks
from crawler.ledger.ledger import Ledger

_CONTENTS = {
    "ratings": "SELECT count(*) || ' ratings by ' || count(DISTINCT user_id) || ' users; ' || "
    "(SELECT count(*) FROM movies) || ' movies' FROM ratings",
    "frames": "SELECT count(*) || ' frames of ' || count(DISTINCT movie_id) || ' movies; ' || "
    "(SELECT count(*) FROM pictures) || ' pictures' FROM frames",
    "likes": "SELECT count(*) || ' likes by ' || count(DISTINCT user_id) || ' users of ' || "
    "count(DISTINCT frame_id) || ' frames' FROM (SELECT DISTINCT user_id, frame_id FROM likes)",
}


class Cause(NamedTuple):
    """The number of pages of one kind, in one state, for one cause."""

    state: str
    kind: str
    cause: str
    n: int


def contents(ledger: Ledger, stage: str) -> str:
    """Return in words how many rows a stage has collected."""
    return str(ledger.value(_CONTENTS[stage]))


def causes(ledger: Ledger, limit: int = 20) -> list[Cause]:
    """Return the most frequent causes of pages that are not done."""
    rows = ledger.execute(
        "SELECT state, kind, cause, count(*) FROM pages WHERE cause IS NOT NULL "
        "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT ?",
        (limit,),
    )
    return [Cause(*row) for row in rows]


def set_aside(ledger: Ledger) -> dict[str, int]:
    """Return how many pages of each kind are set aside."""
    counts = {kind: ledger.n_set_aside([kind]) for kind, _ in ledger.counts()}
    return {kind: n for kind, n in counts.items() if n}


def opt_outs(ledger: Ledger) -> dict[str, int]:
    """Return how many pages ask for each opt-out, by the last answer of each page."""
    return dict(ledger.execute("SELECT directive, count(*) FROM opt_outs GROUP BY directive ORDER BY directive"))


def n_unsteady(ledger: Ledger) -> int:
    """Return how many lists changed too often to be read in one pass."""
    return ledger.value("SELECT sum(is_unsteady) FROM pages") or 0


def n_unseen(ledger: Ledger) -> int:
    """Return how many items are claimed by lists but not shown."""
    return ledger.value("SELECT sum(unseen) FROM pages WHERE unseen > 0") or 0


def last_fills(ledger: Ledger, kind: str, limit: int) -> tuple[int, Counter[str]]:
    """Return how many rows the pages of a kind that were answered last gave, and how many have a value, by field."""
    rows = ledger.execute(
        "SELECT fills FROM pages WHERE kind = ? AND state = 'done' AND fills IS NOT NULL "
        "ORDER BY fetched_at DESC, page_id DESC LIMIT ?",
        (kind, limit),
    )
    n_rows, filled = 0, Counter[str]()
    for (text,) in rows:
        n, of_page = json.loads(text)
        n_rows += n
        filled.update(of_page)
    return n_rows, filled


def n_not_shown(ledger: Ledger) -> dict[str, int]:
    """Return how many ratings and likes were not shown when their list was last read."""
    return {
        table: ledger.value(f"SELECT count(*) FROM {table} WHERE not_shown_since IS NOT NULL")
        for table in ("ratings", "likes")
    }


def left_out(ledger: Ledger) -> dict[tuple[str, str], int]:
    """Return how many items were left out, by kind of page and reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind, reasons in ledger.execute("SELECT kind, left_out_reasons FROM pages WHERE left_out_reasons IS NOT NULL"):
        for reason, n in json.loads(reasons).items():
            counts[kind, reason] += n
    return dict(sorted(counts.items()))


def answered_since(ledger: Ledger, since: float) -> tuple[int, float | None]:
    """Return how many pages were last answered after a time, and when the first of them was."""
    n, first = ledger.execute("SELECT count(*), min(fetched_at) FROM pages WHERE fetched_at > ?", (since,)).fetchone()
    return n, first


# --- for the forecast --------------------------------------------------------------------------


def n_unread_lists(ledger: Ledger, kind: str) -> int:
    """Return how many lists (or single pages) of a kind are planned but not begun: their first page is pending."""
    n: int = ledger.value("SELECT count(*) FROM pages WHERE kind = ? AND state = 'pending' AND start = 0", (kind,))
    return n


def subjects(ledger: Ledger, *kinds: str) -> set[str]:
    """Return the subjects of all known pages of some kinds."""
    rows = ledger.execute(f"SELECT DISTINCT subject FROM pages WHERE kind IN ({marks(kinds)})", kinds)
    return {row[0] for row in rows}


def started_subjects(ledger: Ledger, *kinds: str) -> set[str]:
    """Return the subjects that have a page of one of the kinds which is no longer pending."""
    rows = ledger.execute(f"SELECT subject FROM pages WHERE kind IN ({marks(kinds)}) AND state <> 'pending'", kinds)
    return {row[0] for row in rows}


def shown_subjects(ledger: Ledger, *kinds: str) -> set[str]:
    """Return the subjects that a page of one of the kinds has shown."""
    rows = ledger.execute(
        f"SELECT subject FROM pages WHERE kind IN ({marks(kinds)}) AND state = 'done' AND seen > 0", kinds
    )
    return {row[0] for row in rows}


def pages_per_finished_list(ledger: Ledger, kind: str) -> float | None:
    """Return the mean number of pages of the lists of a kind that are read to their end; None without such a list."""
    pages, lists = ledger.execute(
        "SELECT count(*), count(DISTINCT subject || variant) FROM pages WHERE kind = ? AND state = 'done' "
        "AND subject NOT IN (SELECT subject FROM pages WHERE kind = ? AND state = 'pending')",
        (kind, kind),
    ).fetchone()
    return float(pages / lists) if lists else None


def pages_per_claimed_list(ledger: Ledger, kinds: tuple[str, ...], places: int) -> float | None:
    """Return the mean number of pages of the lists that were begun, by their totals; None without such a list.

    Args:
        ledger: the ledger.
        kinds: the kinds of page that show these lists.
        places: how many items a page has.
    """
    mean: float | None = ledger.value(
        "SELECT avg(max(1, (claimed + ? - 1) / ?)) FROM pages "
        f"WHERE kind IN ({marks(kinds)}) AND state = 'done' AND start = 0 AND claimed IS NOT NULL",
        (places, places, *kinds),
    )
    return mean


def open_subjects(ledger: Ledger, *kinds: str) -> set[str]:
    """Return the subjects that have a page of one of the kinds which is still to be read."""
    rows = ledger.execute(
        f"SELECT subject FROM pages WHERE kind IN ({marks(kinds)}) AND state IN ('pending', 'refused', 'failed')", kinds
    )
    return {row[0] for row in rows}


def photo_totals(ledger: Ledger) -> dict[str, int]:
    """Return how many photos each movie's page claims; 0 if it claims no total."""
    return dict(ledger.execute("SELECT movie_id, coalesce(photo_total, 0) FROM movies"))


def frames_per_movie(ledger: Ledger) -> dict[str, int]:
    """Return the number of frames of each movie that has some."""
    return dict(ledger.execute("SELECT movie_id, count(*) FROM frames GROUP BY movie_id"))


def claimed_rest(ledger: Ledger, *kinds: str) -> int:
    """Return how many items the unfinished lists of some kinds claim beyond those shown so far."""
    rest: int | None = ledger.value(
        "SELECT sum(rest) FROM (SELECT max(claimed) - sum(seen) AS rest FROM pages "
        f"WHERE kind IN ({marks(kinds)}) GROUP BY kind, subject, variant "
        "HAVING rest > 0 AND sum(state = 'pending') > 0)",
        kinds,
    )
    return rest or 0
