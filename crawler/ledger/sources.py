"""The queries about lists that two sources have: which of them one has given, and what is left of the other.

A list is named by its subject and, for photos, by their kind: the first part of `Key.variant`.
"""

from crawler.ledger.ledger import Ledger
from crawler.page import Key

_LIST = "substr(variant, 1, instr(variant || '-', '-') - 1)"
_OPEN = "state IN ('pending', 'refused', 'failed')"


def settled_lists(ledger: Ledger, kind: str, has_names: bool) -> set[tuple[str, str]]:
    """Return the lists (or single pages) of a kind that have no page left to read: subject, and name.

    Args:
        ledger: the ledger.
        kind: the kind of page.
        has_names: whether a subject has several lists, by the first part of the variant.
    """
    name = _LIST if has_names else "''"
    rows = ledger.execute(
        f"SELECT subject, {name} FROM pages WHERE kind = ? GROUP BY 1, 2 HAVING sum({_OPEN}) = 0", (kind,)
    )
    return {(subject, name) for subject, name in rows}


def drop_open_pages(ledger: Ledger, kind: str, lists: set[tuple[str, str]], has_names: bool) -> int:
    """Forget the pages of a kind that are still to be read, of lists that another source has given; return how many."""
    name = _LIST if has_names else "''"
    pages = [
        (page_id,)
        for page_id, *which in ledger.execute(
            f"SELECT page_id, subject, {name} FROM pages WHERE kind = ? AND {_OPEN}", (kind,)
        ).fetchall()
        if tuple(which) in lists
    ]
    ledger.executemany("DELETE FROM pages WHERE page_id = ?", pages)
    return len(pages)


def plan_open_lists(ledger: Ledger, kind: str, other: str) -> None:
    """Plan the first page of another kind for each list of a kind that is still to be read, with what led to it."""
    ledger.execute(
        "INSERT OR IGNORE INTO pages (kind, subject, variant, start, found_through) "
        "SELECT ?, subject, '', 0, max(found_through) FROM pages WHERE kind = ? "
        f"GROUP BY subject HAVING sum({_OPEN}) > 0",
        (other, kind),
    )


def list_of(key: Key, has_names: bool) -> tuple[str, str]:
    """Return the list of a page: its subject, and name."""
    return key.subject, key.variant.partition("-")[0] if has_names else ""
