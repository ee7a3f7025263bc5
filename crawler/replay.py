"""Reads the archive again: `reparse` rebuilds the ledger from it; `forget` first removes a person from it.

Both build a new ledger beside the old one and replace the old one at the end, so an interrupted run changes nothing
in the ledger (what `forget` has already removed from the archive stays removed; run it again). Pages that were never
answered keep their state. Answers are processed in the order of the archive, each in the scope of its crawl, so the
same parsers give the same tables.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from crawler.archive.pictures import read_picture
from crawler.archive.records import Entry
from crawler.archive.warc import close_left_open, read_archive, rewrite_archive, with_body
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.kind import CrawlContext
from crawler.ledger import rebuild
from crawler.ledger.ledger import Ledger
from crawler.page import Page
from crawler.process import process
from crawler.pseudonyms import Pseudonyms
from crawler.scope import Source
from dataset.cli import progress
from dataset.errors import MissingInputError


@dataclass(frozen=True)
class Replayed:
    """The result of a replay: answers read, pages by state, and done pages that are missing from the archive."""

    answers: int
    states: Counter[str]
    unarchived: int


@dataclass(frozen=True)
class Forgot:
    """What was forgotten: the number of answers deleted or redacted, and the pseudonym in earlier exports."""

    answers: int
    pseudonym: str | None


def reparse(crawl_dir: Path) -> Replayed:
    """Rebuild all tables of a crawl's ledger from its archive, without sending a request.

    Raises:
        MissingInputError: there is no archive.
        PipelineError: another command is crawling into the folder, or the archive is damaged.
    """
    with Ledger.open(crawl_dir, _source(crawl_dir), PERSONAL_KINDS) as ledger:
        close_left_open(crawl_dir)
        return _rebuild(crawl_dir, ledger)


def forget(crawl_dir: Path, uid: str) -> Forgot:
    """Remove a person, under all their uids, from the archive and the ledger, permanently.

    Raises:
        MissingInputError: there is no crawl.
        PipelineError: another command is crawling into the folder, or the archive is damaged.
    """
    with Ledger.open(crawl_dir, _source(crawl_dir), PERSONAL_KINDS) as ledger:
        close_left_open(crawl_dir)
        user_id = ledger.user_id_of(uid)
        ledger.forgotten.add({uid, *ledger.uids_of(user_id)})
        n_answers = rewrite_archive(crawl_dir, partial(_without_forgotten, ledger))
        (crawl_dir / "crawl.log").unlink(missing_ok=True)  # it may contain addresses
        _rebuild(crawl_dir, ledger)
    key = crawl_dir / "pseudonym.key"
    return Forgot(n_answers, Pseudonyms.open(key).of(user_id) if user_id and key.exists() else None)


def _source(crawl_dir: Path) -> Source:
    """Return what is crawled in a folder, from its ledger or, if that is lost, from its archive."""
    if (crawl_dir / "ledger.sqlite").is_file():
        with Ledger.read(crawl_dir) as ledger:
            return ledger.source()
    for entry in read_archive(crawl_dir):
        return entry.origin.source
    raise MissingInputError(
        f"{crawl_dir}: neither a ledger nor an archive; start a crawl with: python -m crawler ratings"
    )


def _without_forgotten(ledger: Ledger, entry: Entry) -> Entry | None:
    """Return an entry without forgotten people; None if the entry is about one."""
    if ledger.is_of_forgotten(entry.key):
        return None
    body = KINDS[entry.key.kind].redact(entry.answer.body, ledger.forgotten)
    return entry if body is entry.answer.body else with_body(entry, body)


def _rebuild(crawl_dir: Path, old: Ledger) -> Replayed:
    new = Ledger.build(crawl_dir, old.source(), PERSONAL_KINDS)
    states_before = rebuild.copy_plan(old, new)
    states: dict[int, str] = {}
    n_answers, like_scope = 0, None
    with progress("answers") as bar:
        task = bar.add_task("reading the archive", total=len(states_before) or None, note="")
        for entry in read_archive(crawl_dir):
            n_answers += 1
            bar.advance(task)
            if KINDS[entry.key.kind].stage == "likes":
                like_scope = entry.origin.scope
            new.add_pages([entry.key])
            page = new.page(entry.key, of_any_state=True)
            if page is None:  # a forgotten person's
                continue
            if page.page_id not in states:
                new.reset(page)
            states[page.page_id] = _replay(new, entry, page, states_before.get(page.page_id))
    if like_scope and new.meta("k") is None:  # the ledger was lost
        new.set_meta("k", str(like_scope.k))
    lost = [page_id for page_id, state in states_before.items() if state == "done" and page_id not in states]
    rebuild.reopen(new, lost)
    old.replace_by(new)
    return Replayed(n_answers, Counter(states.values()), len(lost))


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
