"""Reads the archive again: rebuilds the ledger from it.

A new ledger is built, and replaces the old one at the end, so an interrupted run changes nothing. Pages that were never
answered keep their state. Answers are processed in the order of the archive, each with the scope that it was
requested with, so the same parsers give the same tables.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from crawler.archive.pictures import read_picture
from crawler.archive.records import Entry
from crawler.archive.warc import FOLDER, close_left_open, read_archive
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.kind import CrawlContext
from crawler.ledger import rebuild
from crawler.ledger.ledger import Ledger, recover
from crawler.page import Page
from crawler.plan import GIVEN, drop_settled
from crawler.process import process
from crawler.scope import Source
from dataset.errors import MissingInputError
from dataset.progress import progress


@dataclass(frozen=True)
class Replayed:
    """The result of a replay: answers read, pages by state, and done pages that are missing from the archive."""

    answers: int
    states: Counter[str]
    unarchived: int


def reparse(crawl_dir: Path) -> Replayed:
    """Rebuild all tables of a crawl's ledger from its archive, without sending a request.

    Raises:
        MissingInputError: there is no archive.
        PipelineError: another command is crawling into the folder, or the archive is damaged.
    """
    with Ledger.open(crawl_dir, source_of(crawl_dir), PERSONAL_KINDS) as ledger:
        close_left_open(crawl_dir)
        new, result = rebuild_ledger(crawl_dir, ledger)
        ledger.replace_by(new)
        return result


def source_of(crawl_dir: Path) -> Source:
    """Return what is crawled in a folder, from its ledger or, if that is lost, from its archive."""
    recover(crawl_dir)
    if (crawl_dir / "ledger.sqlite").is_file():
        with Ledger.read(crawl_dir) as ledger:
            return ledger.source()
    for entry in read_archive(crawl_dir):
        return entry.origin.source
    raise MissingInputError(
        f"{crawl_dir}: neither a ledger nor an archive; start a crawl with: python -m crawler ratings"
    )


def rebuild_ledger(crawl_dir: Path, old: Ledger, folder: str = FOLDER) -> tuple[Ledger, Replayed]:
    """Return a new ledger with everything that the archive in a folder gives, open; and what was read."""
    new = Ledger.build(crawl_dir, old.source(), PERSONAL_KINDS)
    new.forgotten = old.forgotten
    states_before = rebuild.copy_plan(old, new)
    states: dict[int, str] = {}
    n_answers, like_scope, scope = 0, None, None
    with progress("answers") as bar:
        task = bar.add_task("reading the archive", total=len(states_before) or None)
        for entry in read_archive(crawl_dir, folder):
            n_answers, scope = n_answers + 1, entry.origin.scope
            bar.advance(task)
            if KINDS[entry.key.kind].stage == "likes":
                like_scope = entry.origin.scope
            new.add_pages([entry.key], found_through=GIVEN if entry.key.subject in entry.origin.scope.uids else None)
            page = new.page(entry.key, of_any_state=True)
            if page is None:  # a forgotten person's
                continue
            if page.page_id not in states:
                new.reset(page)
            states[page.page_id] = _replay(new, entry, page, states_before.get(page.page_id))
    if like_scope and new.meta("k") is None:  # the ledger was lost
        new.set_meta("k", str(like_scope.k))
    if scope is not None:
        drop_settled(new, scope)
    lost = [page_id for page_id, state in states_before.items() if state == "done" and page_id not in states]
    rebuild.reopen(new, lost)
    return new, Replayed(n_answers, Counter(states.values()), len(lost))


def _replay(ledger: Ledger, entry: Entry, page: Page, state_before: str | None) -> str:
    """Process an archived answer as the crawl does; return the page's state after it."""
    answer = entry.answer
    if answer.stored_as is not None:
        answer = replace(answer, body=read_picture(ledger.crawl_dir, answer.stored_as))
    outcome = process(page, answer, CrawlContext(ledger, entry.origin.site, entry.origin.scope))
    if outcome.may_recover and state_before == "pending":  # the crawl has attempts left
        ledger.mark(page, "pending", outcome.cause, answer.at)
        return "pending"
    return outcome.state
