"""Reading a list that may change while it is read: each item once, and none missed.

A reading begins at a list's first page and follows the links to its end. Every row knows when a page
last showed it, so the rows of the present reading are those seen since its first page was read.
A list has changed under the reader when a page claims another total than the first page did, or
shows an item that this reading has seen already; where pages claim no total, each page is asked for
with an overlap of one item, which must be the last one seen. Then the list is read again from its start,
at most `MAX_RESTARTS` times; after that it is read on as it is, and counted as unsteady.

Rows that no page has shown since the reading began (restarts included) are deleted at its end: the site
shows them no longer. What a list claims and does not show (hidden items) is written down as `unseen`
on its first page; it is negative where items left the list after they were read.

A collection is newest first. When it was read to its end before, a later reading stops at a page on
which everything is known, provided that as many items are unseen as then: nothing has left it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from crawler.plan import next_key
from crawler.sites import Site
from crawler.store import Key, Ledger, Page

MAX_RESTARTS = 3


@dataclass(frozen=True)
class Rows:
    """The rows of one list: `WHERE where` of a table, told apart by `item`; `values` are what else counts."""

    table: str
    where: str
    parameters: tuple[str, ...]
    item: str
    values: tuple[str, ...] = ()
    can_vanish: bool = True
    is_newest_first: bool = False


@dataclass(frozen=True)
class LastItem:
    """The seam of a list without totals: each page is to begin with the last item of the one before.

    Attributes:
        shown: this page's last item, if the next page can be held against it.
        first: this page's first item.
        expected: what the page before ended with; None if unknown.
    """

    shown: str | None
    first: str | None
    expected: str | None

    @property
    def has_moved(self) -> bool:
        """Whether this page begins elsewhere than the one before ended."""
        return self.expected is not None and self.first != self.expected


class Reading:
    """The present reading of a list, at one of its pages. Made before the page's rows are stored.

    Args:
        ledger: in a transaction.
        page: the page.
        at: when it was answered.
        rows: the list's rows in the ledger; None if it has none (comments only lead to people).
        items: what the page shows, with the values that count.
    """

    def __init__(
        self,
        ledger: Ledger,
        page: Page,
        at: float,
        rows: Rows | None = None,
        items: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        self._ledger, self._page, self._rows = ledger, page, rows
        self._first = page.key._replace(start=0)
        fetched_at, self._begun_at, self._restarts, self._claimed_first, self._unseen = self._first_page()
        self._is_first = page.key.start == 0
        self._pass_at: float = at if self._is_first or fetched_at is None else fetched_at
        if self._begun_at is None or (self._is_first and not self._restarts):
            self._begun_at = self._pass_at
            self._note("begun_at", self._pass_at)
        self.at = max(at, self._pass_at)  # a clock may have been set back
        known = self._known(list(items))
        self._repeats = sum(seen_at >= self._pass_at for seen_at, _ in known.values()) if not self._is_first else 0
        self._all_known = bool(items) and all(
            item in known and known[item][1] == tuple(values) for item, values in items.items()
        )

    def _first_page(self) -> tuple[float | None, float | None, int, int | None, int | None]:
        found = self._ledger.execute(
            "SELECT fetched_at, begun_at, restarts, claimed, unseen FROM pages "
            "WHERE kind = ? AND subject = ? AND variant = ? AND start = ?",
            self._first,
        ).fetchone()
        return found or (None, None, 0, None, None)

    def _known(self, items: list[str]) -> dict[str, tuple[float, tuple[Any, ...]]]:
        rows = self._rows
        if rows is None:
            return {}
        found = self._ledger.execute(
            f"SELECT {', '.join((rows.item, 'seen_at', *rows.values))} FROM {rows.table} "
            f"WHERE {rows.where} AND {rows.item} IN ({', '.join('?' * len(items))})",
            (*rows.parameters, *items),
        )
        return {row[0]: (row[1], row[2:]) for row in found}

    def follow(
        self, site: Site, next_url: str | None, seen: int, claimed: int | None = None, last: LastItem | None = None
    ) -> Key | None:
        """Return the page to read next, None if the list is settled; call it when rows and mark are stored.

        Args:
            site: where the page is.
            next_url: the page's link to the next one.
            seen: how many items the page showed, whatever became of them.
            claimed: how many items the page claims the whole list to have.
            last: for a list without totals, what its pages say at their seams.

        Raises:
            NotUnderstood: the link leads out of the list.
        """
        following = next_key(site, self._page.key, next_url, seen, claimed)
        if self._has_changed(claimed, last):
            self._restarts += 1
            self._note("restarts", self._restarts)
            if self._restarts <= MAX_RESTARTS:
                return self._restart()
        if following is None:
            self._end(claimed)
            return None
        if self._nothing_new_follows(claimed):
            return None
        return self._open(following._replace(start=following.start - 1) if last and last.shown else following)

    def _has_changed(self, claimed: int | None, last: LastItem | None) -> bool:
        if self._is_first:
            return False
        claims_differ = None not in (claimed, self._claimed_first) and claimed != self._claimed_first
        return claims_differ or bool(self._repeats) or bool(last and last.has_moved)

    def _restart(self) -> Key:
        self._note("state", "pending")
        self._note("attempts", 0)
        return self._first

    def _nothing_new_follows(self, claimed: int | None) -> bool:
        if self._rows is None or not self._rows.is_newest_first or not self._all_known or self._unseen is None:
            return False
        return claimed is None or claimed - self._n_found(self._rows) == self._unseen

    def _end(self, claimed: int | None) -> None:
        rows = self._rows
        if rows is not None:
            if rows.can_vanish and self._restarts <= MAX_RESTARTS:
                self._ledger.execute(
                    f"DELETE FROM {rows.table} WHERE {rows.where} AND seen_at < ?", (*rows.parameters, self._begun_at)
                )
            claimed = self._claimed_first if claimed is None else claimed
            self._note("unseen", None if claimed is None else claimed - self._n_found(rows))
        self._note("is_unsteady", int(self._restarts > MAX_RESTARTS))
        self._note("restarts", 0)

    def _n_found(self, rows: Rows) -> int:
        """Return how many items of the list are stored, or were counted on a page of this pass."""
        stored: int = self._ledger.value(f"SELECT count(*) FROM {rows.table} WHERE {rows.where}", rows.parameters)
        left_out: int = self._ledger.value(
            "SELECT coalesce(sum(left_out), 0) FROM pages "
            "WHERE kind = ? AND subject = ? AND variant = ? AND fetched_at >= ?",
            (*self._first[:3], self._pass_at),
        )
        return stored + left_out

    def _note(self, column: str, value: object) -> None:
        self._ledger.execute(
            f"UPDATE pages SET {column} = ? WHERE kind = ? AND subject = ? AND variant = ? AND start = ?",
            (value, *self._first),
        )

    def _open(self, key: Key) -> Key:
        """Have a page of the list read, also if an earlier pass has read it."""
        if not self._ledger.add_pages([key]):
            self._ledger.execute(
                "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0 WHERE state <> 'pending' "
                "AND kind = ? AND subject = ? AND variant = ? AND start = ? AND fetched_at < ?",
                (*key, self._pass_at),
            )
        return key
