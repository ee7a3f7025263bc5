"""The evidence about how lists end: a page that ends its list early, and how the readings of a list came out.

A page ends its list early if it is empty, or leads nowhere, although the list claims more items. That is believed only
if every answer was the same for at least 20 hours: a throttle does not last that long. An empty last page is believed
after three answers, because all its items may be hidden; but no row is deleted because of it.
"""

from crawler.ledger.ledger import Ledger
from crawler.page import Key, Page

CONFIRMED_AFTER_S = 20 * 3600.0
_ANSWERS_OF_LAST_PAGE = 3


class EarlyEnd:
    """Whether the answers of a page, up to now, ended its list early. Create it before the page is marked as done."""

    def __init__(self, ledger: Ledger, page: Page) -> None:
        self._ledger, self._page = ledger, page
        self._end, self._since, self._n, self._read_at = ledger.execute(
            "SELECT early_end, early_since, early_n, fetched_at FROM pages WHERE page_id = ?", (page.page_id,)
        ).fetchone()

    def was_read_since(self, at: float) -> bool:
        """Return whether the page was read since a time, and ended its list early, so that its items are stored."""
        return self._end is not None and self._read_at is not None and self._read_at >= at

    def step(self) -> int:
        """Return how many places the page before this one has; 0 without such a page."""
        key = self._page.key
        before: int | None = self._ledger.value(
            "SELECT max(start) FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start < ?", key
        )
        return 0 if before is None else key.start - before

    def is_believed(self, end: str, at: float, is_last: bool) -> bool:
        """Store that the page ends its list early once more; return whether that is now believed.

        Args:
            end: what the page claims and shows.
            at: when it was answered.
            is_last: whether the list has no place after this page.
        """
        is_same = end == self._end and self._since is not None
        since, n = (min(self._since, at), self._n + 1) if is_same else (at, 1)
        self._ledger.execute(
            "UPDATE pages SET early_end = ?, early_since = ?, early_n = ? WHERE page_id = ?",
            (end, since, n, self._page.page_id),
        )
        return bool(at - since >= CONFIRMED_AFTER_S or (is_last and n >= _ANSWERS_OF_LAST_PAGE))


def outcome_since(ledger: Ledger, first: Key, outcome: str, at: float) -> float:
    """Store how a reading of a list came out; return since when every reading has come out the same.

    Args:
        ledger: the ledger, in a transaction.
        first: the list's first page.
        outcome: where the reading ended, what the list claimed, and how much it showed.
        at: when its last page was answered.
    """
    where = "WHERE kind = ? AND subject = ? AND variant = ? AND start = ?"
    ledger.execute(
        "UPDATE pages SET outcome_since = CASE WHEN outcome = ? THEN min(outcome_since, ?) ELSE ? END, outcome = ? "
        + where,
        (outcome, at, at, outcome, *first),
    )
    since: float = ledger.value(f"SELECT outcome_since FROM pages {where}", first)
    return since
