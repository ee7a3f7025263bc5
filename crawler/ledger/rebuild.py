"""The queries of a replay: copying the plan of the old ledger to the new one, and reopening pages."""

from collections.abc import Iterable

from crawler.ledger.ledger import Ledger
from crawler.page import Key


def copy_plan(old: Ledger, new: Ledger) -> dict[int, str]:
    """Copy the table `meta` and all pages except those of forgotten people; return each page's state by its id."""
    states: dict[int, str] = {}
    with new.transaction():
        for key, value in old.execute("SELECT key, value FROM meta"):
            new.set_meta(key, value)
        for row in old.execute(
            "SELECT page_id, kind, subject, variant, start, state, attempts, next_try_at, cause, "
            "CASE WHEN state = 'done' THEN NULL ELSE fetched_at END, refusals, refused_alone, "
            "found_through FROM pages"
        ):
            if old.is_of_forgotten(Key(*row[1:5])):
                continue
            states[row[0]] = row[5]
            new.execute(
                "INSERT INTO pages (page_id, kind, subject, variant, start, state, attempts, next_try_at, cause, "
                "fetched_at, refusals, refused_alone, found_through) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        for page_id, directive in old.execute("SELECT page_id, directive FROM opt_outs"):
            if page_id in states:
                new.execute("INSERT INTO opt_outs VALUES (?, ?)", (page_id, directive))
    return states


def reopen(ledger: Ledger, page_ids: Iterable[int]) -> None:
    """Make pages pending again."""
    ledger.executemany("UPDATE pages SET state = 'pending' WHERE page_id = ?", [(page_id,) for page_id in page_ids])
