"""Reading the archive again: `reparse` builds the ledger anew from it, `forget` does so without a person.

Both make a new ledger beside the old one and put it in its place at the end, so a run that is cut off
changes nothing (but what `forget` has taken out already; run it again). What is planned stays planned:
pages that were never answered keep the state they had. Answers are replayed in their order, each in
the scope in which it was read, so that the same parsers give the same tables.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from crawler.archive import Entry, close_left_open, read_archive, rewrite_archive, with_body
from crawler.forgotten import PERSONAL_KINDS, Forgotten
from crawler.images import verify_picture
from crawler.people import Pseudonyms
from crawler.recording import Parsed, record
from crawler.settings import Source
from crawler.store import Ledger, Page
from crawler.verdict import judge, parse_answer, picture_in
from dataset.cli import progress
from dataset.errors import MissingInputError


@dataclass(frozen=True)
class Replayed:
    """What came of an archive: answers read, pages by their state, and done pages that it does not hold."""

    answers: int
    states: Counter[str]
    unarchived: int


@dataclass(frozen=True)
class Forgot:
    """What was forgotten: answers dropped or redacted, and the pseudonym of the person in earlier exports."""

    answers: int
    pseudonym: str | None


def reparse(crawl_dir: Path) -> Replayed:
    """Rebuild all tables of a crawl's ledger from its archive, without a request.

    Raises:
        MissingInputError: there is no archive.
        PipelineError: another command is crawling into the folder, or the archive is damaged.
    """
    with Ledger.open(crawl_dir, _source(crawl_dir)) as ledger:
        close_left_open(crawl_dir)
        return _rebuild(crawl_dir, ledger)


def forget(crawl_dir: Path, uid: str) -> Forgot:
    """Remove a person, under all their uids, from the archive and the ledger, for good.

    Raises:
        MissingInputError: there is no crawl.
        PipelineError: another command is crawling into the folder, or the archive is damaged.
    """
    with Ledger.open(crawl_dir, _source(crawl_dir)) as ledger:
        close_left_open(crawl_dir)
        user_id = ledger.value("SELECT user_id FROM people WHERE uid = ?", (uid,))
        uids = {row[0] for row in ledger.execute("SELECT uid FROM people WHERE user_id = ?", (user_id,))}
        ledger.forgotten.add({uid, *uids})
        n_answers = rewrite_archive(crawl_dir, lambda entry: _without(ledger.forgotten, entry))
        (crawl_dir / "crawl.log").unlink(missing_ok=True)  # addresses may stand there
        _rebuild(crawl_dir, ledger)
    key = crawl_dir / "pseudonym.key"
    return Forgot(n_answers, Pseudonyms.open(key).of(user_id) if user_id and key.exists() else None)


def _source(crawl_dir: Path) -> Source:
    """Return what is crawled in a folder, by its ledger or, if that is lost, by its archive."""
    if (crawl_dir / "ledger.sqlite").is_file():
        with Ledger.read(crawl_dir) as ledger:
            return ledger.source()
    for entry in read_archive(crawl_dir):
        return entry.under.source
    raise MissingInputError(
        f"{crawl_dir}: neither a ledger nor an archive; start a crawl with: python -m crawler ratings"
    )


def _without(forgotten: Forgotten, entry: Entry) -> Entry | None:
    """Return an answer without the forgotten, None if it is about one."""
    if entry.key.kind in PERSONAL_KINDS and forgotten.has(entry.key.subject):
        return None
    body = forgotten.redacted(entry.answer.body) if entry.key.kind != "picture" else entry.answer.body
    return entry if body is entry.answer.body else with_body(entry, body)


def _rebuild(crawl_dir: Path, old: Ledger) -> Replayed:
    new = Ledger.build(crawl_dir, old.source())
    states_before = _copy_plan(old, new)
    states: dict[int, str] = {}
    n_answers, like_scope = 0, None
    with progress("answers") as bar:
        task = bar.add_task("reading the archive", total=len(states_before) or None, note="")
        for entry in read_archive(crawl_dir):
            n_answers += 1
            bar.advance(task)
            if entry.key.kind in ("photo", "user_likes"):
                like_scope = entry.under.scope
            new.add_pages([entry.key])
            page = new.page(entry.key, of_any_state=True)
            if page is None:  # a forgotten person's
                continue
            if page.page_id not in states:
                new.reset(page)
            states[page.page_id] = _replay(crawl_dir, new, entry, page, states_before.get(page.page_id))
    if like_scope and new.meta("k") is None:  # the ledger was lost
        new.set_meta("k", str(like_scope.k))
    lost = [(page_id,) for page_id, state in states_before.items() if state == "done" and page_id not in states]
    new.executemany("UPDATE pages SET state = 'pending' WHERE page_id = ?", lost)
    old.replace_by(new)
    return Replayed(n_answers, Counter(states.values()), len(lost))


def _copy_plan(old: Ledger, new: Ledger) -> dict[int, str]:
    """Copy which pages there are; return the state of each. Forgotten people's are left behind."""
    states: dict[int, str] = {}
    with new.transaction():
        for key, value in old.execute("SELECT key, value FROM meta"):
            new.set_meta(key, value)
        for row in old.execute(
            "SELECT page_id, kind, subject, variant, start, state, attempts, next_try_at, cause, "
            "CASE WHEN state = 'done' THEN NULL ELSE fetched_at END FROM pages"
        ):
            page_id, kind, subject, state = row[0], row[1], row[2], row[5]
            if kind in PERSONAL_KINDS and old.forgotten.has(subject):
                continue
            states[page_id] = state
            new.execute(
                "INSERT INTO pages (page_id, kind, subject, variant, start, state, attempts, next_try_at, cause, "
                "fetched_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
    return states


def _replay(crawl_dir: Path, ledger: Ledger, entry: Entry, page: Page, state_before: str | None) -> str:
    """Record an answer as the crawl would; return the page's state after it."""
    under, at = entry.under, entry.answer.at
    verdict = judge(lambda: record(ledger, under.site, under.scope, page, _parse(crawl_dir, entry), at))
    if verdict.state == "done":
        return "done"
    is_waiting = verdict.try_again and state_before == "pending"
    state = "pending" if is_waiting else verdict.state
    ledger.mark(page, state, verdict.cause, at)
    return state


def _parse(crawl_dir: Path, entry: Entry) -> Parsed:
    if entry.key.kind != "picture":
        return parse_answer(entry.key.kind, entry.answer)
    if entry.stored_as is None:
        return picture_in(crawl_dir, entry.answer)
    path = crawl_dir / entry.stored_as
    if not path.is_file():
        raise MissingInputError(f"{path}: the archive names this picture, its file is missing; put it back")
    return verify_picture(path.read_bytes())
