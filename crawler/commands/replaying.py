"""The commands that read the archive again: reparse and forget."""

from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from crawler.replay import forget, reparse


def reparse_archive(*, crawl: Path = DEFAULT_CRAWL) -> None:
    """Rebuild all tables from the archived pages; send no request.

    Args:
        crawl: the crawl's private folder
    """
    result = reparse(crawl)
    states = ", ".join(f"{n:,} {state}" for state, n in result.states.most_common())
    print(f"Read {result.answers:,} archived answers again, without sending a request; pages: {states or 'none'}.")
    if result.unarchived:
        print(f"{result.unarchived:,} done pages are not in the archive; the next crawl reads them again.")
    print("Next: python -m crawler export")


def forget_person(uid: str, /, *, crawl: Path = DEFAULT_CRAWL) -> None:
    """Remove a person from the crawl, permanently.

    Args:
        uid: the number or name in the address of their profile
        crawl: the crawl's private folder
    """
    result = forget(crawl, uid)
    print(
        f"Forgotten: {result.answers:,} archived answers were deleted or redacted, the ledger was rebuilt without "
        "this person, and this person will not be crawled again."
    )
    if result.pseudonym:
        print(f"Earlier exports contain this person as {result.pseudonym}; delete those exports and export again.")
