"""The table `pages`: the known pages, the state of each, and how the states change."""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from crawler.ledger.database import Database, marks
from crawler.ledger.forgotten import Forgotten
from crawler.page import Key, Page

STATES = ("done", "pending", "gone", "unavailable", "refused", "failed")
MOST_REFUSALS = 2  # in runs in which its host answers others; then a page is set aside
MOST_OF_KIND = 3  # pages, each in a run of its own
_MOST_REFUSALS_AT_LAST = 4  # of a page that is the only one left, so that no other can be answered
_JUST_BEFORE = 3  # pages; if the host has answered more in a run, their number can be the reason for the refusal

_IS_SET_ASIDE = (
    f"((refused_alone >= {MOST_REFUSALS} AND refusals >= {MOST_REFUSALS}) "
    f"OR (refused_alone AND refusals >= {_MOST_REFUSALS_AT_LAST}))"
)
# Of JSON: pages to which another one leads (`Place` in kinds/mobile/paging.py), and the name of a list without that.
_IS_DETOUR = "('-' || {0}.variant || '-' LIKE '%-tv-%' OR '-' || {0}.variant || '-' LIKE '%-one-%')"
_NAME = "ltrim(replace(replace('-' || {0}.variant, '-tv', ''), '-one', ''), '-')"


class PageTable(Database):
    """The pages of a ledger.

    Attributes:
        forgotten: the people whose pages are never planned.
        personal_kinds: the kinds of page whose subject is a person.
        pages_added: how many pages were added since the ledger was opened.
    """

    forgotten: Forgotten
    personal_kinds: Collection[str] = ()
    pages_added: int = 0

    def add_pages(self, keys: Iterable[Key], found_through: str | None = None) -> int:
        """Plan pages and return how many are new. Known pages keep their state; forgotten people's are not added.

        Args:
            keys: the pages.
            found_through: the kind of page that leads to them; `given` for those that the user has named.
        """
        rows = ((*key, found_through) for key in keys if not self.is_of_forgotten(key))
        before = self._connection.total_changes
        self.executemany(
            "INSERT OR IGNORE INTO pages (kind, subject, variant, start, found_through) VALUES (?, ?, ?, ?, ?)", rows
        )
        added = self._connection.total_changes - before
        self.pages_added += added
        return added

    def is_of_forgotten(self, key: Key) -> bool:
        """Return whether a page is about a forgotten person."""
        return key.kind in self.personal_kinds and self.forgotten.has(key.subject)

    def has_pages(self) -> bool:
        """Return whether any page is known."""
        return bool(self.value("SELECT 1 FROM pages"))

    def pending(self, kinds: Sequence[str], after: int, limit: int) -> list[Page]:
        """Return up to `limit` pending pages of the kinds that were not refused, in order, with an id above `after`."""
        return self._pending(kinds, "refusals = 0 AND page_id > ?", after, limit)

    def pending_after_refusals(self, kinds: Sequence[str]) -> list[Page]:
        """Return the pending pages of the kinds that were refused before, the least often refused ones first."""
        return self._pending(kinds, "refusals > ?", 0, -1)

    def _pending(self, kinds: Sequence[str], condition: str, bound: int, limit: int) -> list[Page]:
        rows = self.execute(
            "SELECT page_id, kind, subject, variant, start, attempts, next_try_at FROM pages "
            f"WHERE state = 'pending' AND {condition} AND kind IN ({marks(kinds)}) ORDER BY refusals, page_id LIMIT ?",
            (bound, *kinds, limit),
        )
        return [Page(row[0], Key(*row[1:5]), row[5], row[6]) for row in rows]

    def page(self, key: Key, of_any_state: bool = False) -> Page | None:
        """Return a page if it is pending (or, with `of_any_state`, if it is known)."""
        row = self.execute(
            "SELECT page_id, attempts, next_try_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? "
            "AND start = ? AND (state = 'pending' OR ?)",
            (*key, of_any_state),
        ).fetchone()
        return Page(row[0], key, row[1], row[2]) if row else None

    # --- states ----------------------------------------------------------------------------

    def mark_done(
        self,
        page: Page,
        at: float,
        seen: int = 0,
        claimed: int | None = None,
        left_out: Mapping[str, int] = MappingProxyType({}),
        last_item: str | None = None,
    ) -> None:
        """Mark a page, answered at `at`, as read. Call it in the transaction that stores the page's rows.

        Args:
            page: the page.
            at: when it was answered.
            seen: how many items it showed, including those left out.
            claimed: how many items it says that the whole list has.
            left_out: how many items were counted but not stored, by reason.
            last_item: the last item, of a list without a total.
        """
        reasons = json.dumps(left_out, ensure_ascii=False, sort_keys=True) if left_out else None
        self.execute(
            "UPDATE pages SET state = 'done', cause = NULL, fetched_at = ?, seen = ?, claimed = ?, left_out = ?, "
            "left_out_reasons = ?, last_item = ?, early_end = NULL, early_since = NULL, early_n = 0, refusals = 0, "
            "refused_alone = 0 WHERE page_id = ?",
            (at, seen, claimed, sum(left_out.values()), reasons, last_item, page.page_id),
        )

    def set_fills(self, page: Page, n_rows: int, fills: Mapping[str, int]) -> None:
        """Store how many rows a page gave, and how many of them have a value in each field."""
        self.execute("UPDATE pages SET fills = ? WHERE page_id = ?", (json.dumps([n_rows, fills]), page.page_id))

    def mark(self, page: Page, state: str, cause: str, at: float | None = None) -> None:
        """Mark a page as `gone`, `unavailable`, `refused`, `failed` or still `pending`, with the cause."""
        self.execute(
            "UPDATE pages SET state = ?, cause = ?, fetched_at = ? WHERE page_id = ?",
            (state, cause, at or time.time(), page.page_id),
        )

    def count_refusal(self, page: Page, n_answered: int) -> None:
        """Count a run in which this page was the refused one.

        A page that was refused before, and is refused again right after the host has answered another one, is what the
        site refuses: that counts as two such runs.

        Args:
            page: the page.
            n_answered: how many pages its host has answered in this run.
        """
        self.execute(
            "UPDATE pages SET refusals = refusals + 1, refused_alone = refused_alone + "
            "CASE WHEN ? = 0 THEN 0 WHEN refusals > 0 AND ? <= ? THEN 2 ELSE 1 END WHERE page_id = ?",
            (n_answered, n_answered, _JUST_BEFORE, page.page_id),
        )
        self.execute(
            f"UPDATE pages SET state = 'failed' WHERE page_id = ? AND state = 'pending' AND {_IS_SET_ASIDE}",
            (page.page_id,),
        )

    def n_set_aside(self, kinds: Sequence[str]) -> int:
        """Return how many pages of the kinds are set aside."""
        n: int = self.value(
            f"SELECT count(*) FROM pages WHERE state IN ('refused', 'failed') AND kind IN ({marks(kinds)}) "
            f"AND {_IS_SET_ASIDE}",
            kinds,
        )
        return n

    def n_disallowed(self, kinds: Sequence[str]) -> int:
        """Return how many pages of the kinds were not requested because of robots.txt."""
        n: int = self.value(
            f"SELECT count(*) FROM pages WHERE state = 'refused' AND refusals = 0 AND kind IN ({marks(kinds)})", kinds
        )
        return n

    def set_opt_outs(self, page: Page, directives: Collection[str]) -> None:
        """Replace what the last answer of a page asks of crawlers."""
        if not directives and not self._has_opt_outs:
            return
        self._has_opt_outs = True
        self.execute("DELETE FROM opt_outs WHERE page_id = ?", (page.page_id,))
        if directives:
            self.executemany("INSERT INTO opt_outs VALUES (?, ?)", [(page.page_id, one) for one in directives])

    @cached_property
    def _has_opt_outs(self) -> bool:
        """Whether any page has opted out of anything; most sites' pages have not, and are not searched for it."""
        return bool(self.value("SELECT EXISTS (SELECT 1 FROM opt_outs)"))

    def postpone(self, page: Page, cause: str, next_try_at: float) -> Page:
        """Record a failed attempt and keep the page pending; return the page as it is now."""
        self.execute(
            "UPDATE pages SET state = 'pending', attempts = attempts + 1, cause = ?, next_try_at = ?, fetched_at = ? "
            "WHERE page_id = ?",
            (cause, next_try_at, time.time(), page.page_id),
        )
        return Page(page.page_id, page.key, page.attempts + 1, next_try_at)

    def reset(self, page: Page) -> None:
        """Set a page back to the state of a page that was never requested."""
        self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0, cause = NULL, fetched_at = NULL "
            "WHERE page_id = ?",
            (page.page_id,),
        )

    def forget_page(self, page: Page) -> None:
        """Delete all pages of this kind about this person, and add their uid to `forgotten`."""
        self.forgotten.add([page.key.subject])
        self.execute("DELETE FROM pages WHERE kind = ? AND subject = ?", page.key[:2])

    def revive(self, kinds: Sequence[str]) -> int:
        """Make refused and failed pages of the kinds pending, and reset attempts; return how many pages changed.

        Pages that are set aside stay so.
        """
        return self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0 "
            f"WHERE ((state IN ('refused', 'failed') AND NOT {_IS_SET_ASIDE}) OR (state = 'pending' AND attempts > 0)) "
            f"AND kind IN ({marks(kinds)})",
            kinds,
        ).rowcount

    def set_kind_aside(self, kind: str, others: Sequence[str]) -> int:
        """Set all pages of a kind aside if the site shows none of this kind to us; return how many these are.

        That is so if it refused `MOST_OF_KIND` of them, and answered none, but did answer pages of other kinds.

        Args:
            kind: the kind of page.
            others: the other kinds that its host serves.
        """
        is_refused = self.value(
            "SELECT count(*) = 0 FROM pages WHERE kind = ? AND state IN ('done', 'gone', 'unavailable')", (kind,)
        ) and self.value("SELECT count(*) >= ? FROM pages WHERE kind = ? AND refusals > 0", (MOST_OF_KIND, kind))
        if not is_refused or not self.count(others, "done"):
            return 0
        return self.execute(
            "UPDATE pages SET state = 'refused', cause = 'the site refuses every page of this kind', "
            "refusals = max(refusals, ?), refused_alone = max(refused_alone, ?) "
            "WHERE kind = ? AND state IN ('pending', 'refused', 'failed')",
            (MOST_REFUSALS, MOST_REFUSALS, kind),
        ).rowcount

    def take_back(self, kinds: Sequence[str]) -> int:
        """Let `revive` revive the pages of the kinds that are set aside; return how many these are."""
        n = self.n_set_aside(kinds)
        self.execute(
            "UPDATE pages SET refusals = 0, refused_alone = 0 "
            f"WHERE state IN ('refused', 'failed') AND kind IN ({marks(kinds)}) AND {_IS_SET_ASIDE}",
            kinds,
        )
        return n

    def reopen(self, kind: str, read_before: float) -> int:
        """Make pages read before a time (of lists: the first page) pending again; return how many.

        A list is read again from its start, and only from there: its later pages that are still to be read, and those
        to which another page leads, come when that reading reaches them.
        """
        of_lists = (
            f"kind = ? AND state IN ('pending', 'failed', 'refused') AND (start > 0 OR {_IS_DETOUR.format('pages')}) "
            "AND EXISTS (SELECT 1 FROM pages AS first WHERE first.kind = pages.kind AND first.subject = pages.subject "
            f"AND {_NAME.format('first')} = {_NAME.format('pages')} AND first.start = 0 "
            f"AND NOT {_IS_DETOUR.format('first')} AND first.state = 'done' AND first.fetched_at < ?)"
        )
        self.execute(f"DELETE FROM pages WHERE {of_lists} AND early_end IS NULL", (kind, read_before))
        self.execute(  # `endings.py` compares their next answers with what they have answered before
            "UPDATE pages SET state = 'done', cause = NULL, refusals = 0, refused_alone = 0, fetched_at = (SELECT "
            "min(fetched_at) FROM pages AS one WHERE one.kind = pages.kind AND one.subject = pages.subject) "
            f"WHERE {of_lists}",
            (kind, read_before),
        )
        return self.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0, restarts = 0 "
            "WHERE state IN ('done', 'unavailable') "
            f"AND kind = ? AND start = 0 AND fetched_at < ? AND NOT {_IS_DETOUR.format('pages')}",
            (kind, read_before),
        ).rowcount

    # --- counts ----------------------------------------------------------------------------

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of pages by kind and state."""
        rows = self.execute("SELECT kind, state, count(*) FROM pages GROUP BY kind, state ORDER BY kind, state")
        return {(kind, state): n for kind, state, n in rows}

    def count(self, kinds: Collection[str], *states: str) -> int:
        """Return the number of pages of some kinds in some states."""
        return sum(n for (kind, state), n in self.counts().items() if kind in kinds and state in states)

    def n_lists(self, kind: str) -> int:
        """Return the number of lists (or single pages) of a kind that are known."""
        n: int = self.value("SELECT count(*) FROM pages WHERE kind = ? AND start = 0", (kind,))
        return n

    def progress(self, kinds: Sequence[str]) -> list[tuple[str, str, int, float]]:
        """Return kind, state, number of pages and time of the last answer, for each kind and state of some kinds."""
        return self.execute(
            "SELECT kind, state, count(*), max(fetched_at) FROM pages "
            f"WHERE kind IN ({marks(kinds)}) GROUP BY kind, state ORDER BY kind, state",
            kinds,
        ).fetchall()

    def commonest_cause(self, state: str) -> str | None:
        """Return the most frequent cause of a state."""
        cause: str | None = self.value(
            "SELECT cause FROM pages WHERE state = ? GROUP BY cause ORDER BY count(*) DESC", (state,)
        )
        return cause
