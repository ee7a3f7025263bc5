"""The queries that lead through a list: the next page, and what to do if a page fails as a whole."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from crawler.ledger.database import marks
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Page


def n_new_in(
    ledger: Ledger,
    first: Key,
    table: str,
    item: str,
    ids: Collection[str],
    of: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Return how many items the current reading of a list has not stored yet.

    Args:
        ledger: the ledger, before the items are stored.
        first: the list's first page.
        table: where the items are stored.
        item: the column with their ids.
        ids: the items.
        of: the columns and values that select this list's rows.
    """
    where = "".join(f" AND {column} = ?" for column in of)
    known: int = ledger.value(
        f"SELECT count(*) FROM {table} WHERE {item} IN ({marks(tuple(ids))}){where} AND seen_at >= "
        "(SELECT fetched_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start = ?)",
        (*ids, *of.values(), *first),
    )
    return len(ids) - known


def largest_claim(ledger: Ledger, first: Key, variants: Collection[str]) -> int | None:
    """Return the largest total that a page of the current reading of a list has claimed.

    Args:
        ledger: the ledger.
        first: the list's first page.
        variants: the variants of the list's pages.
    """
    claimed: int | None = ledger.value(
        f"SELECT max(claimed) FROM pages WHERE kind = ? AND subject = ? AND variant IN ({marks(tuple(variants))}) "
        "AND fetched_at >= "
        "(SELECT fetched_at FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start = ?)",
        (*first[:2], *variants, *first),
    )
    return claimed


def left_out_between(ledger: Ledger, key: Key, start: int) -> int:
    """Return how many items were left out on the pages of a variant from `start` to before the page of `key`."""
    n: int | None = ledger.value(
        "SELECT sum(left_out) FROM pages WHERE kind = ? AND subject = ? AND variant = ? AND start >= ? AND start < ?",
        (*key[:3], start, key.start),
    )
    return n or 0


def cause_of(ledger: Ledger, page: Page) -> str:
    """Return why a page's last reading failed; empty if it did not."""
    cause: str | None = ledger.value("SELECT cause FROM pages WHERE page_id = ?", (page.page_id,))
    return cause or ""


def open_page(ledger: Ledger, key: Key, at: float) -> Key:
    """Make a page of a list pending, even if a reading before `at` has read it."""
    if not ledger.add_pages([key]):
        ledger.execute(
            "UPDATE pages SET state = 'pending', attempts = 0, next_try_at = 0 WHERE state <> 'pending' "
            "AND kind = ? AND subject = ? AND variant = ? AND start = ? AND fetched_at < ?",
            (*key, at),
        )
    return key
