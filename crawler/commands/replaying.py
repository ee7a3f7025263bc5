"""The commands that read the archive again: reparse and forget."""

from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from crawler.forget import Forgot, forget
from crawler.replay import reparse
from dataset.cli import say
from dataset.snapshots import DEFAULT_ROOT


def reparse_archive(*, crawl: Path = DEFAULT_CRAWL) -> None:
    """Rebuild all tables from the archived pages; send no request.

    Args:
        crawl: the crawl's private folder
    """
    result = reparse(crawl)
    states = ", ".join(f"{n:,} {state}" for state, n in result.states.most_common())
    say(f"Read {result.answers:,} archived answers again, without sending a request; pages: {states or 'none'}.")
    if result.unarchived:
        say(f"{result.unarchived:,} done pages are not in the archive; the next crawl reads them again.")
    say("Next: python -m crawler export")


def forget_person(uid: str, /, *, crawl: Path = DEFAULT_CRAWL, snapshots: Path = DEFAULT_ROOT) -> None:
    """Remove a person from the crawl, permanently; `python -m flows forget` also clears the history of Prefect's runs.

    Args:
        uid: the number or name in the address of their profile
        crawl: the crawl's private folder
        snapshots: folder of published snapshots, searched for this person
    """
    report_forgotten(forget(crawl, uid, (crawl.parent, snapshots)))
    say(
        "Not removed: copies that others have downloaded, backups, and what Prefect has recorded of runs (for that: "
        "python -m flows forget)."
    )


def report_forgotten(result: Forgot) -> None:
    """Print what was forgotten in a crawl, and where else the person is."""
    say(
        f"Forgotten: {result.answers:,} archived answers were deleted or redacted, the ledger was rebuilt without "
        "this person, and this person will not be crawled again."
    )
    if result.same_words:
        say(f"On {result.same_words:,} archived pages the same words stay, since they are something else (a title, …).")
    if result.pseudonym:
        say(f"Earlier exports contain this person as {result.pseudonym}; delete those exports and export again.")
    for folder in result.holders:
        say(f"{folder}: its tables hold this person; publish or export again, then delete this folder.")
