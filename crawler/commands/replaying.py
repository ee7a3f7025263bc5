"""The commands that read the archive again: reparse and forget."""

from pathlib import Path

from crawler.commands.options import DEFAULT_CRAWL
from crawler.forget import forget
from crawler.replay import reparse
from dataset.snapshots.snapshot import DEFAULT_ROOT


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


def forget_person(uid: str, /, *, crawl: Path = DEFAULT_CRAWL, snapshots: Path = DEFAULT_ROOT) -> None:
    """Remove a person from the crawl, permanently.

    Args:
        uid: the number or name in the address of their profile
        crawl: the crawl's private folder
        snapshots: folder of published snapshots, searched for this person
    """
    result = forget(crawl, uid, (crawl.parent, snapshots))
    print(
        f"Forgotten: {result.answers:,} archived answers were deleted or redacted, the ledger was rebuilt without "
        "this person, and this person will not be crawled again."
    )
    if result.same_words:
        print(
            f"On {result.same_words:,} archived pages the same words stay, since they are something else (a title, …)."
        )
    if result.pseudonym:
        print(f"Earlier exports contain this person as {result.pseudonym}; delete those exports and export again.")
    for folder in result.holders:
        print(f"{folder}: its tables hold this person; publish or export again, then delete this folder.")
    print(
        "Not removed: copies that others have downloaded, backups, and the parameters of Prefect's runs: if this uid "
        "was given to a run of a flow, stop flows.serve and delete its folder (data/prefect) with the history of runs."
    )
