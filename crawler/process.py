"""Processes an answer: redacts, parses and archives it, stores its rows, and marks its page in the ledger.

The crawl, a replay of the archive and the tests all call `process`. The crawl parses slow kinds (pictures) in a
thread: it calls `parse_answer` there, then `settle` on the event loop. `process` calls one after the other.
An answer is in the archive before the ledger uses it, even if its parser fails because of a bug.
"""

from dataclasses import dataclass, replace
from typing import Any

from crawler.archive.pictures import Picture, write_picture
from crawler.archive.warc import Archive
from crawler.kinds import KINDS
from crawler.kinds.kind import CrawlContext
from crawler.kinds.refusal import GONE_WORDS
from crawler.page import Answer, BadPicture, EndsEarly, Key, NotUnderstood, Page, PageGone, Refused, TooMuch


@dataclass(frozen=True)
class Outcome:
    """What an answer means for its page.

    Attributes:
        state: the page's state in the ledger: `done`, `gone`, `refused` or `failed`.
        cause: why it is not `done`.
        following: the page of the same list to read next.
        may_recover: whether another request may give a better answer.
    """

    state: str
    cause: str = ""
    following: Key | None = None
    may_recover: bool = False


@dataclass(frozen=True)
class ParsedAnswer:
    """A redacted answer with its parsed content, or with the exception that says why there is none."""

    answer: Answer
    content: Any = None
    problem: Exception | None = None


class _ForgottenPerson(Exception):  # noqa: N818 - an outcome, not an error
    """The page is about someone who asked to be forgotten."""


def process(page: Page, answer: Answer, context: CrawlContext, archive: Archive | None = None) -> Outcome:
    """Archive an answer, store its rows, and mark its page in the ledger.

    Args:
        page: the page that was requested.
        answer: what the host answered.
        context: the ledger, the site and the scope of the crawl.
        archive: where the answer is written; None for a replay.

    Raises:
        PipelineError: the archive or a picture file cannot be written.
    """
    return settle(page, parse_answer(page, answer, context), context, archive)


def parse_answer(page: Page, answer: Answer, context: CrawlContext) -> ParsedAnswer:
    """Redact and parse an answer, and store a picture's file. Safe to call in a thread: it uses no SQL."""
    kind, ledger = KINDS[page.key.kind], context.ledger
    if kind.is_of_forgotten(answer.body, ledger.forgotten):
        return ParsedAnswer(answer, problem=_ForgottenPerson())
    try:
        answer = replace(answer, body=kind.redact(answer, ledger.forgotten))
    except TooMuch as problem:  # what cannot be redacted is not kept
        return ParsedAnswer(replace(answer, body=b""), problem=problem)
    try:
        content = kind.parse(answer)
        if isinstance(content, Picture):
            write_picture(ledger.crawl_dir, content, answer.body)
            answer = replace(answer, stored_as=content.path)
    except Exception as problem:  # `settle` raises it again if it is a bug
        return ParsedAnswer(answer, problem=problem)
    return ParsedAnswer(answer, content)


def settle(page: Page, parsed: ParsedAnswer, context: CrawlContext, archive: Archive | None = None) -> Outcome:
    """Archive a parsed answer, store its rows, and mark its page.

    Raises:
        PipelineError: the archive or a picture file cannot be written.
    """
    ledger, at = context.ledger, parsed.answer.at
    if isinstance(parsed.problem, _ForgottenPerson):
        ledger.forget_page(page)
        return Outcome("gone")
    if archive is not None:
        archive.write(page.key, parsed.answer)
    try:
        if parsed.problem is not None:
            raise parsed.problem
        with ledger.transaction():
            try:
                following = KINDS[page.key.kind].record(context, page, parsed.content, at)
            except EndsEarly as problem:  # what the page shows is kept
                outcome = _outcome_of(problem)
                ledger.mark(page, outcome.state, outcome.cause, at)
                return outcome
    except (PageGone, Refused, NotUnderstood, TooMuch, BadPicture) as problem:
        outcome = _outcome_of(problem)
        ledger.mark(page, outcome.state, outcome.cause, at)
        return outcome
    return Outcome("done", following=following)


def _outcome_of(problem: Exception) -> Outcome:
    """Return the outcome of a problem. Its cause quotes nothing from the page, because pages contain people's names."""
    match problem:
        case PageGone():
            return Outcome("gone", next((words for words in GONE_WORDS if words in str(problem)), str(problem)))
        case NotUnderstood():
            cause = f"{problem.page_kind} page: field '{problem.field}' not understood"
            return Outcome("failed", cause, may_recover=True)
        case TooMuch() | EndsEarly():
            return Outcome("failed", str(problem), may_recover=True)
        case BadPicture():
            return Outcome("gone", f"bad picture: {problem}", may_recover=True)
    return Outcome("refused", str(problem))
