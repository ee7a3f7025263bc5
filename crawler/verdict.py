"""What an answer means for its page: the one place where outcomes become states of the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crawler.archive import Answer
from crawler.images import BadPicture, Picture, store_picture
from crawler.pages.parse import parse_page
from crawler.pages.refusal import GONE_WORDS, classify
from crawler.pages.rows import NotUnderstood, PageGone, Refused
from crawler.recording import Parsed


@dataclass(frozen=True)
class Verdict:
    """The state an answer leads to, and why; `try_again` if another answer may be better."""

    state: str
    cause: str = ""
    try_again: bool = False


def parse_answer(kind: str, answer: Answer) -> Parsed:
    """Return the page that an answer holds (see `crawler.pages.parse.parse_page`)."""
    return parse_page(
        kind,
        status=answer.status,
        url=answer.url,
        body=answer.body,
        location=answer.location,
        content_type=answer.content_type,
    )


def picture_in(crawl_dir: Path, answer: Answer) -> Picture:
    """Store the picture that an answer holds.

    Raises:
        Refused: the site refuses us.
        PageGone: there is no such picture.
        NotUnderstood: any other answer than a 200.
        BadPicture: it is not a picture that can be used.
        PipelineError: the file cannot be written.
    """
    classify(answer.status, answer.url, answer.body, answer.content_type, answer.location)
    if answer.status != 200:
        raise NotUnderstood("picture", "status", f"is {answer.status}")
    return store_picture(crawl_dir, answer.body)


def judge(read: Callable[[], object]) -> Verdict:
    """Return what comes of reading an answer. Causes quote nothing of a page: people's names stand there."""
    try:
        read()
    except PageGone as gone:
        return Verdict("gone", next((words for words in GONE_WORDS if words in str(gone)), str(gone)))
    except Refused as refused:
        return Verdict("refused", str(refused))
    except NotUnderstood as error:
        return Verdict("failed", f"{error.page_kind} page: field '{error.field}' not understood", try_again=True)
    except BadPicture as error:
        return Verdict("gone", f"bad picture: {error}", try_again=True)
    return Verdict("done")
