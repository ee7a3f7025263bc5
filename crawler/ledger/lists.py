"""Reads lists that may change while they are read, so that no item is missed or stored twice.

A pass is one reading of a list: from its first page, along the links, to its end. Every row stores when a page last
showed it, so the rows of the current pass are those seen since its first page was read.

A list has changed during a pass if a page claims a different total than the first page did, or shows an item that
this pass has already seen. Where pages claim no total, each page is requested with an overlap of one item, which must
be the last one seen. A changed list is read again from its start, at most `MAX_RESTARTS` times; after that the pass
continues to the end, and the list is marked as unsteady.

A list ends early (`endings.py`) if a page is empty or leads nowhere although more is claimed: often a soft throttle.
Then the page has failed and is tried again later. What a reading did not show is not deleted but marked
(`not_shown_since`), until a reading reaches the claimed total, or two readings at least 20 hours apart come out the
same. A total is reached by position, page by page: short pages are normal, because hidden items take up places. What a
list claims but does not show is stored as `unseen` on its first page; it is negative if items left the list after they
were read.

A list must lead somewhere: a page that adds nothing new, although it leads on, ends the reading as a failure, and so do
many pages of a few items each.

A collection is newest first. A pass stops at the first page on which every item is known, if the pass before came to
its end and the number of unseen items is still the same (so nothing has left the list).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from crawler.ledger.detours import open_page
from crawler.ledger.endings import CONFIRMED_AFTER_S, EarlyEnd, outcome_since
from crawler.ledger.ledger import Ledger
from crawler.page import EndsEarly, Key, Page, TooMuch

MAX_RESTARTS = 3
_SHORT_STEP = 5  # items; real pages have 15 or more
_SHORT_STEPS = 100
_FAR = 2**32


@dataclass(frozen=True)
class ListRows:
    """The rows that one list has in the ledger.

    Attributes:
        table: where they are stored.
        of: the columns and values that select this list's rows.
        item: the column that identifies an item within the list.
        values: the columns that are compared: an item with another value counts as new.
        can_vanish: whether items that the list no longer shows are deleted; the table then has `not_shown_since`.
        is_newest_first: whether new items appear at the list's start.
    """

    table: str
    of: Mapping[str, str]
    item: str
    values: tuple[str, ...] = ()
    can_vanish: bool = True
    is_newest_first: bool = False

    @property
    def where(self) -> str:
        """The SQL condition for these rows; its parameters are `of`'s values."""
        return " AND ".join(f"{column} = ?" for column in self.of)


@dataclass(frozen=True)
class Seam:
    """The overlap of two pages of a list without totals: a page must begin with the last item of the page before.

    Attributes:
        shown: this page's last item; None if the next page cannot be compared with it.
        first: this page's first item.
        expected: the last item of the page before; None if unknown.
    """

    shown: str | None
    first: str | None
    expected: str | None

    @property
    def has_moved(self) -> bool:
        """Whether this page does not begin where the page before ended."""
        return self.expected is not None and self.first != self.expected


class ListPass:
    """The current pass over a list, at one of its pages. Create it before the page's rows are stored.

    Args:
        ledger: the ledger, in a transaction.
        page: the page that was read.
        at: when the page was answered.
        rows: the list's rows in the ledger; None if it has none (comments only lead to people).
        items: the items that the page shows, each with its `rows.values`.
    """

    def __init__(
        self,
        ledger: Ledger,
        page: Page,
        at: float,
        rows: ListRows | None = None,
        items: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        self._ledger, self._page, self._rows = ledger, page, rows
        self._first = page.key._replace(start=0)
        fetched_at, begun_at, self._restarts, self._claimed_first, self._unseen, is_complete = self._first_page()
        self._is_first = page.key.start == 0
        self._pass_at: float = at if self._is_first or fetched_at is None else fetched_at
        if begun_at is None or (self._is_first and not self._restarts):
            begun_at = self._pass_at
            if is_complete == 0:  # the pass before was not finished, so only some items are known
                self._unseen = None
            self._set(begun_at=begun_at, unseen=self._unseen)
        self._begun_at: float = begun_at
        self.at = max(at, self._pass_at)  # a clock may have been set back
        self._early = EarlyEnd(ledger, page)
        known = self._known(list(items))
        self._n_items = len(items)
        is_again = self._is_first or self._early.was_read_since(self._pass_at)
        self._repeats = 0 if is_again else sum(seen_at >= self._pass_at for seen_at, _ in known.values())
        self._all_known = bool(items) and all(
            item in known and known[item][1] == tuple(values) for item, values in items.items()
        )

    def follow(
        self,
        following: Key | None,
        claimed: int | None = None,
        seam: Seam | None = None,
        *,
        page_size: int | None = None,
        other_sizes: Collection[int] = (),
        seen: int = 0,
    ) -> Key | None:
        """Return the page to read next, None if no page is left to read. Call this after the page is stored and marked.

        Args:
            following: the page that this page's link leads to.
            claimed: how many items the page claims the whole list has.
            seam: the overlap with the pages before and after; only for a list without totals.
            page_size: how many items a page has places for; needed to compare positions with `claimed`.
            other_sizes: how many places the list's other pages may have, if they were requested in another mode.
            seen: how many items the page showed, including those left out.

        Raises:
            EndsEarly: the list ends, or shows nothing, before what it claims.
            TooMuch: the list leads on without an end.
        """
        if self._has_changed(claimed, seam):
            self._restarts += 1
            self._set(restarts=self._restarts)
            if self._restarts <= MAX_RESTARTS:
                return self._restart()
        end = None
        if claimed is not None and page_size is not None:
            end = self._page.key.start + max(page_size, seen)
            if not seen or following is None:
                step = self._early.step()
                end = max(end, self._page.key.start + (0 if step in other_sizes else step))
                self._require_no_early_end(following, claimed, end, seen)
        if page_size is not None:
            self._drop_replaced(following)
        if following is None:
            self._end(claimed, end, max(page_size or 0, *other_sizes, 0))
            return None
        if self._nothing_new_follows(claimed):
            self._set(is_complete=1)
            return None
        if self._is_endless(following.start - self._page.key.start):
            raise TooMuch(f"{following.kind} page: the list leads on without adding anything new")
        if seam and seam.shown:
            following = following._replace(start=following.start - 1)
        if self._is_first:
            self._set(is_complete=0)  # until its end, or known items, are reached
        return open_page(self._ledger, following, self._pass_at)

    def _first_page(self) -> tuple[float | None, float | None, int, int | None, int | None, int | None]:
        found = self._ledger.execute(
            "SELECT fetched_at, begun_at, restarts, claimed, unseen, is_complete FROM pages "
            "WHERE kind = ? AND subject = ? AND variant = ? AND start = ?",
            self._first,
        ).fetchone()
        return found or (None, None, 0, None, None, None)

    def _known(self, items: list[str]) -> dict[str, tuple[float, tuple[Any, ...]]]:
        """Return when each stored item was seen, and its values; what is shown again is no longer marked as missing."""
        rows = self._rows
        if rows is None:
            return {}
        missing = "not_shown_since IS NOT NULL" if rows.can_vanish else "0"
        where = f"{rows.where} AND {rows.item} IN ({', '.join('?' * len(items))})"
        parameters = (*rows.of.values(), *items)
        found = self._ledger.execute(
            f"SELECT {', '.join((rows.item, missing, 'seen_at', *rows.values))} FROM {rows.table} WHERE {where}",
            parameters,
        ).fetchall()
        if any(row[1] for row in found):
            self._ledger.execute(f"UPDATE {rows.table} SET not_shown_since = NULL WHERE {where}", parameters)
        return {row[0]: (row[2], row[3:]) for row in found}

    def _has_changed(self, claimed: int | None, seam: Seam | None) -> bool:
        if self._is_first:
            return False
        claims_differ = None not in (claimed, self._claimed_first) and claimed != self._claimed_first
        return claims_differ or bool(self._repeats) or bool(seam and seam.has_moved)

    def _require_no_early_end(self, following: Key | None, claimed: int, end: int, seen: int) -> None:
        is_early = self._page.key.start < claimed if not seen else end < claimed
        if not is_early or self._early.is_believed(f"{claimed} {seen}", self.at, is_last=end >= claimed):
            return
        self._set(is_complete=0)
        if self._rows is not None:
            self._note_outcome(self._rows, claimed)
            self._mark_missing(self._rows)
        what = "leads nowhere" if seen else "is empty"
        raise EndsEarly(f"{self._page.key.kind} page: {what} before the total that the list claims")

    def _is_endless(self, step: int) -> bool:
        """Return whether this page, which leads on, adds nothing new, or is one of many that hardly lead on."""
        if self._n_items and self._repeats == self._n_items:
            return True
        if not self._n_items and self._rows is not None:  # nothing, or anonymous items only
            last_two = self._of_pass("seen", "ORDER BY start DESC LIMIT 2")
            return [seen for (seen,) in last_two] == [0, 0]
        return step < _SHORT_STEP and self._of_pass("count(*)")[0][0] > _SHORT_STEPS

    def _of_pass(self, columns: str, order: str = "") -> list[tuple[int, ...]]:
        """Return columns of the pages up to this one that the current pass has read."""
        return self._ledger.execute(
            f"SELECT {columns} FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start <= ? "
            f"AND fetched_at >= ? {order}",
            (*self._page.key, self._pass_at),
        ).fetchall()

    def _restart(self) -> Key:
        self._set(state="pending", attempts=0)
        return self._first

    def _nothing_new_follows(self, claimed: int | None) -> bool:
        rows = self._rows
        if rows is None or not rows.is_newest_first or not self._all_known or self._unseen is None:
            return False
        if self._count(rows, "not_shown_since IS NOT NULL"):
            return False
        return claimed is None or claimed - self._n_found(rows) == self._unseen

    def _drop_replaced(self, following: Key | None) -> None:
        """Forget the pages of earlier readings that begin within this page, or after the last one.

        They are there if the list has become shorter, or if its pages had fewer items.
        """
        end = _FAR if following is None else following.start
        self._ledger.execute(
            "DELETE FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start > ? AND start < ? "
            "AND state = 'done'",
            (*self._page.key, end),
        )

    def _end(self, claimed: int | None, end: int | None, widest: int) -> None:
        """Finish the pass.

        Args:
            claimed: how many items the last page claims.
            end: the position after the last page; None if unknown.
            widest: how many places a page of the list may have.
        """
        rows, is_steady = self._rows, self._restarts <= MAX_RESTARTS
        if rows is not None:
            has_come_to_it = bool(claimed and end and end >= claimed) and self._is_unbroken(widest)
            is_reached = has_come_to_it and not self._of_pass("count(early_end)")[0][0]
            since, n_shown = self._note_outcome(rows, claimed, end)
            is_confirmed = self._begun_at - since >= CONFIRMED_AFTER_S and bool(n_shown or not claimed)
            if rows.can_vanish and is_steady and (is_reached or is_confirmed):
                self._ledger.execute(
                    f"DELETE FROM {rows.table} WHERE {rows.where} AND seen_at < ?",
                    (*rows.of.values(), self._begun_at),
                )
            else:
                self._mark_missing(rows)
            claimed = self._claimed_first if claimed is None else claimed
            self._set(unseen=None if claimed is None else claimed - self._n_found(rows))
        self._set(is_unsteady=int(not is_steady), is_complete=int(is_steady), restarts=0)

    def _is_unbroken(self, widest: int) -> bool:
        """Return whether the pass has read every page up to this one."""
        pages = [*self._of_pass("start, coalesce(seen, 0)", "ORDER BY start"), (self._page.key.start, 0)]
        return all(later - start <= max(widest, seen) for (start, seen), (later, _) in pairwise(pages))

    def _note_outcome(self, rows: ListRows, claimed: int | None, end: int | None = None) -> tuple[float, int]:
        """Store how the current reading came out; return since when all came out the same, and how much it showed.

        A reading that has reached the total has no other outcome because its last page began elsewhere.
        """
        n_shown = self._count(rows, "seen_at >= ?", self._begun_at)
        is_reached = claimed and end and end >= claimed
        outcome = f"{claimed if is_reached else self._page.key.start} {claimed} {n_shown}"
        return outcome_since(self._ledger, self._first, outcome, self.at), n_shown

    def _mark_missing(self, rows: ListRows) -> None:
        """Mark the rows that the current reading did not show."""
        if rows.can_vanish:
            self._ledger.execute(
                f"UPDATE {rows.table} SET not_shown_since = ? WHERE {rows.where} AND seen_at < ? "
                "AND not_shown_since IS NULL",
                (self.at, *rows.of.values(), self._begun_at),
            )

    def _n_found(self, rows: ListRows) -> int:
        """Return how many items of the list are stored and shown, or were left out but counted in this pass."""
        left_out: int = self._ledger.value(
            "SELECT coalesce(sum(left_out), 0) FROM pages "
            "WHERE kind = ? AND subject = ? AND variant = ? AND fetched_at >= ?",
            (*self._first[:3], self._pass_at),
        )
        return self._count(rows, "not_shown_since IS NULL" if rows.can_vanish else "1") + left_out

    def _count(self, rows: ListRows, condition: str, *parameters: float | None) -> int:
        query = f"SELECT count(*) FROM {rows.table} WHERE {rows.where} AND {condition}"
        n: int = self._ledger.value(query, (*rows.of.values(), *parameters))
        return n

    def _set(self, **values: object) -> None:
        """Set columns of the list's first page."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._ledger.execute(
            f"UPDATE pages SET {columns} WHERE kind = ? AND subject = ? AND variant = ? AND start = ?",
            (*values.values(), *self._first),
        )


def last_item_before(ledger: Ledger, key: Key) -> str | None:
    """Return the last item of the page before a page of a list, if the current pass has stored it."""
    found: str | None = ledger.value(
        "SELECT last_item FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start < ? AND fetched_at >="
        " (SELECT fetched_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start = 0) "
        "ORDER BY start DESC LIMIT 1",
        (*key, *key[:3]),
    )
    return found
