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
from crawler.opt_outs import keeps_body, keeps_rows, opt_outs_of
from crawler.page import (
    Answer,
    BadPicture,
    EndsEarly,
    Key,
    Merged,
    NotUnderstood,
    OptedOut,
    Page,
    PageGone,
    Refused,
    TooMuch,
    Unavailable,
)


@dataclass(frozen=True)
class Outcome:
    """What an answer means for its page.

    Attributes:
        state: the page's state in the ledger: `done`, `gone`, `unavailable`, `refused` or `failed`.
        cause: why it is not `done`.
        following: the page of the same list to read next.
        may_recover: whether another request may give a better answer.
        is_odd: whether the host gave a page that no parser understands; several in a row may be a refusal.
    """

    state: str
    cause: str = ""
    following: Key | None = None
    may_recover: bool = False
    is_odd: bool = False


@dataclass(frozen=True)
class ParsedAnswer:
    """A redacted answer with its parsed content, or with the exception that says why there is none."""

    answer: Answer
    content: Any = None
    problem: Exception | None = None
    opt_outs: frozenset[str] = frozenset()


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
    opt_outs = opt_outs_of(answer)
    try:
        content = kind.parse(answer)
        if not keeps_rows(opt_outs, isinstance(content, Picture)):
            raise _opted_out(opt_outs)
        if isinstance(content, Picture):
            write_picture(ledger.crawl_dir, content, answer.body)
            answer = replace(answer, stored_as=content.path)
    except NotUnderstood as problem:
        is_kept_away = answer.status == 200 and not keeps_rows(opt_outs, has_picture=False)
        return ParsedAnswer(answer, None, _opted_out(opt_outs) if is_kept_away else problem, opt_outs)
    except Exception as problem:  # `settle` raises it again if it is a bug
        return ParsedAnswer(answer, None, problem, opt_outs)
    return ParsedAnswer(answer, content, None, opt_outs)


def settle(page: Page, parsed: ParsedAnswer, context: CrawlContext, archive: Archive | None = None) -> Outcome:
    """Archive a parsed answer, store its rows, and mark its page.

    Raises:
        PipelineError: the archive or a picture file cannot be written.
    """
    ledger, at = context.ledger, parsed.answer.at
    if isinstance(parsed.problem, _ForgottenPerson):
        ledger.forget_page(page)
        return Outcome("gone")
    if archive is not None and keeps_body(parsed.opt_outs) and not isinstance(parsed.problem, OptedOut):
        archive.write(page.key, parsed.answer)
    ledger.set_opt_outs(page, parsed.opt_outs)
    try:
        if parsed.problem is not None:
            raise parsed.problem
        with ledger.transaction():
            try:
                following = KINDS[page.key.kind].record(context, page, parsed.content, at)
            except EndsEarly as problem:  # what the page shows is kept
                outcome = _outcome_of(problem, page, parsed.answer)
                ledger.mark(page, outcome.state, outcome.cause, at)
                return outcome
            fills = KINDS[page.key.kind].fills
            if fills is not None:
                n_rows, filled = fills.values_in(parsed.content)
                if n_rows:
                    ledger.set_fills(page, n_rows, filled)
            if "noimageai" in parsed.opt_outs:
                _give_up_pictures(context, parsed.content, at)
    except (PageGone, Unavailable, Merged, Refused, NotUnderstood, TooMuch, BadPicture) as problem:
        outcome = _outcome_of(problem, page, parsed.answer)
        if isinstance(problem, Merged):
            outcome = _merge(context, page, problem.into_id)
        ledger.mark(page, outcome.state, outcome.cause, at)
        return outcome
    return Outcome("done", following=following)


def _opted_out(opt_outs: frozenset[str]) -> OptedOut:
    return OptedOut(f"opted out ({'noai' if 'noai' in opt_outs else 'noimageai'})")


def _give_up_pictures(context: CrawlContext, content: Any, at: float) -> None:
    """Settle the pictures of a list's photos without requesting them, because the list opts out."""
    keys = [Key("picture", row.frame_id, context.scope.picture_size) for row in getattr(content, "frames", ())]
    context.ledger.add_pages(keys)
    for page in filter(None, map(context.ledger.page, keys)):
        context.ledger.mark(page, "unavailable", "opted out (noimageai)", at)


def _merge(context: CrawlContext, page: Page, into_id: str) -> Outcome:
    """Record that a page's movie was merged into another one, and plan the other one's page of the same kind."""
    if not context.ledger.add_alias(page.key.subject, into_id):
        return Outcome("unavailable", "its redirects lead in a circle")
    following = Key(page.key.kind, into_id, page.key.variant)
    context.ledger.add_pages([following])
    return Outcome("gone", "merged into another movie", following)


def _outcome_of(problem: Exception, page: Page, answer: Answer) -> Outcome:
    """Return the outcome of a problem. Its cause quotes nothing from the page, because pages contain people's names."""
    match problem:
        case PageGone():
            return Outcome("gone", next((words for words in GONE_WORDS if words in str(problem)), str(problem)))
        case Unavailable() if page.key.start and not isinstance(problem, OptedOut):
            return Outcome("failed", f"{problem}, though the list began", may_recover=True)
        case Unavailable():
            return Outcome("unavailable", str(problem))
        case NotUnderstood():
            cause = f"{problem.page_kind} page: field '{problem.field}' not understood"
            return Outcome("failed", cause, may_recover=True, is_odd=_says_something(answer))
        case TooMuch() | EndsEarly():
            return Outcome("failed", str(problem), may_recover=True)
        case BadPicture():
            return Outcome("gone", f"bad picture: {problem}", may_recover=True)
    return Outcome("refused", str(problem))


def _says_something(answer: Answer) -> bool:
    """Return whether an answer is neither a server error nor an empty page."""
    return answer.status < 500 and not (answer.status == 200 and not answer.body.strip())
