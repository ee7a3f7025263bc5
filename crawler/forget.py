"""Forgets a person: removes every trace of them from a crawl, permanently.

They are known by their ids in the ledger, and by the names, numbers and texts that stand beside these ids in the
archive. All answers are rewritten without these, however they are written, and the ledger is rebuilt from them. Old
files are replaced at once (`crawler.ledger.change`): a killed `forget` has changed nothing, or is finished by the next
command. Then everything is searched again. What others have downloaded cannot be removed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from crawler.archive.records import Entry
from crawler.archive.warc import FOLDER, close_left_open, read_archive, rewrite_archive
from crawler.kinds import KINDS, PERSONAL_KINDS
from crawler.kinds.redaction import ids_in
from crawler.kinds.writings import Traces, unpacked
from crawler.ledger import forgotten
from crawler.ledger.change import NEW, change, new_folder
from crawler.ledger.ledger import Ledger
from crawler.page import Key, TooMuch, is_uid
from crawler.pseudonyms import Pseudonyms
from crawler.replay import rebuild_ledger, source_of
from dataset.errors import MissingInputError, PipelineError, UsageError
from dataset.progress import stage

_SEARCHED_ELSEWHERE = ("ledger.sqlite", forgotten.FILE_NAME, "pseudonym.key", "lock")


@dataclass(frozen=True)
class Forgot:
    """What was forgotten.

    Attributes:
        answers: the number of answers deleted or redacted.
        same_words: the number of pages on which the same words remain, as something else (a title, a number).
        pseudonym: the person's id in exports; None if nothing was exported.
        holders: the folders with tables that hold the pseudonym.
        traces: the person's ids, names and texts, to search other places for; never print or store them.
    """

    answers: int
    same_words: int
    pseudonym: str | None
    holders: tuple[Path, ...]
    traces: Traces = field(repr=False)


@stage("Forgetting a person")
def forget(
    crawl_dir: Path, uid: str, published: Sequence[Path] = (), elsewhere: Callable[[Traces], bool] = lambda _: False
) -> Forgot:
    """Remove a person, under all their ids, names and texts, from a crawl, permanently.

    Args:
        crawl_dir: the private folder of the crawl.
        uid: the number or name in the address of their profile.
        published: folders to search for tables with the person's pseudonym.
        elsewhere: removes the person from another place, and returns whether they were there. It is called before the
            crawl is changed, so that a killed command still knows all traces when it is repeated.

    Raises:
        UsageError: `uid` has not the form of a uid.
        MissingInputError: there is no crawl, or nobody in it is known by this uid (who is then never crawled).
        PipelineError: another command is crawling into the folder, the archive is damaged, or something still mentions
            the person.
    """
    if not is_uid(uid):
        raise UsageError(f"{uid!r} is not a uid; give the number or name in the address of their profile")
    with Ledger.open(crawl_dir, source_of(crawl_dir), PERSONAL_KINDS) as ledger:
        close_left_open(crawl_dir)
        traces, is_known = _traces_of(crawl_dir, ledger, uid)
        is_known |= ledger.forgotten.has_seen(uid)
        is_elsewhere = elsewhere(traces if is_known else replace(traces, common=traces.ids))
        if not is_known and not is_elsewhere:
            ledger.forgotten.add_unseen(uid)
            raise MissingInputError(
                f"{crawl_dir}: nobody is known here as {uid!r}, so nothing was removed (check the spelling); somebody "
                "who appears under this uid later will not be crawled"
            )
        user_id = ledger.user_id_of(uid) or uid
        ledger.forgotten.path = new_folder(crawl_dir) / forgotten.FILE_NAME
        ledger.forgotten.add(traces.ids)
        rewriter = _Rewriter(ledger, traces)
        n_answers = rewrite_archive(crawl_dir, rewriter.without_person, f"{NEW}/{FOLDER}")
        new, _ = rebuild_ledger(crawl_dir, ledger, f"{NEW}/{FOLDER}")
        mentions = new.mentions_of(traces.ids)
        ledger.close_for(new)
        change(crawl_dir, (FOLDER, forgotten.FILE_NAME, "ledger.sqlite"), remove=("crawl.log",))
        _require_nothing_left([*mentions, *_left(crawl_dir, traces, rewriter.same_words)])
    key = crawl_dir / "pseudonym.key"
    pseudonyms = {id_: Pseudonyms.open(key).of(id_) for id_ in traces.ids} if key.exists() else {}
    holders = tuple(_holders(published, crawl_dir, set(pseudonyms.values())))
    return Forgot(n_answers, len(rewriter.same_words), pseudonyms.get(user_id), holders, traces)


def _traces_of(crawl_dir: Path, ledger: Ledger, uid: str) -> tuple[Traces, bool]:
    """Return what is known of a person from the ledger and the archive, and whether anything is."""
    user_id = ledger.user_id_of(uid)
    traces, before = Traces(frozenset({uid, *ledger.uids_of(user_id)})), Traces()
    is_known = user_id is not None or ledger.is_subject(uid)
    while traces.ids != before.ids:  # an id that is found on one page may stand alone on another
        before = traces
        for entry in read_archive(crawl_dir):
            body, kind = entry.answer.body, KINDS[entry.key.kind]
            is_own = kind.is_personal and bool(traces.ids & {entry.key.subject, *kind.owner_ids(body)})
            people = kind.people_ids(body)
            if is_own or traces.found_in(body) or traces.ids & people:
                is_known |= is_own or bool(traces.ids & {*people, *ids_in(body.decode("utf-8", "replace"))})
                with suppress(TooMuch):  # the page is blanked
                    traces |= _of_this_person(ledger, user_id, kind.traces_in(body, traces.ids, is_own))
    others = (other for id_ in traces.ids for other in ledger.uids_with(id_))
    return replace(traces, others=frozenset(others) - traces.ids), is_known


def _of_this_person(ledger: Ledger, user_id: str | None, found: Traces) -> Traces:
    """Return traces without the ids that belong to somebody else, according to the ledger."""
    return replace(found, ids=frozenset(id_ for id_ in found.ids if ledger.user_id_of(id_) in (None, user_id)))


@dataclass
class _Rewriter:
    """Removes a person from archived answers.

    Attributes:
        same_words: the pages on which the same words remain, because they are something else.
    """

    ledger: Ledger
    traces: Traces
    same_words: set[Key] = field(default_factory=set)

    def without_person(self, entry: Entry) -> Entry | None:
        """Return an entry without the person; None if it is about them."""
        kind, answer = KINDS[entry.key.kind], entry.answer
        if self.ledger.is_of_forgotten(entry.key) or kind.is_of_forgotten(answer.body, self.ledger.forgotten):
            return None
        try:
            body = kind.redact(answer, self.ledger.forgotten, self.traces)
        except TooMuch:
            body = b""
        if self.traces.found_in(body):
            self.same_words.add(entry.key)
        location, content_type = map(self._cleared, (answer.location, answer.content_type))
        changed = replace(answer, body=body, location=location, content_type=content_type)
        return entry if changed == answer else entry._replace(answer=changed)

    def _cleared(self, header: str | None) -> str | None:
        return header and self.traces.without(header.encode(), b"-").decode()


def _left(crawl_dir: Path, traces: Traces, same_words: Iterable[Key]) -> Iterator[str]:
    """Yield what still mentions the person: archived answers, and other files in the crawl folder."""
    expected = set(same_words)
    for entry in read_archive(crawl_dir):
        told = f"{entry.answer.url} {entry.answer.location} {entry.answer.content_type}".encode()
        if traces.found_in(told) or (entry.key not in expected and traces.found_in(entry.answer.body)):
            yield f"an archived {entry.key.kind} page"
    for path in sorted(crawl_dir.rglob("*")):
        first = path.relative_to(crawl_dir).parts[0]
        if first in (FOLDER, "pictures") or first in _SEARCHED_ELSEWHERE or not path.is_file():
            continue
        content = path.read_bytes()
        if traces.found_in(content) or traces.found_in(unpacked(content)):
            yield str(path)


def _require_nothing_left(left: Sequence[str]) -> None:
    if left:
        places = ", ".join(dict.fromkeys(left[:10]))
        raise PipelineError(
            f"the crawl was rebuilt without this person, but {len(left):,} places still mention them: {places}; remove "
            "these files, or report a page of the archive as a bug"
        )


def _holders(published: Sequence[Path], crawl_dir: Path, pseudonyms: set[str]) -> Iterator[Path]:
    """Yield the folders with tables that hold one of the pseudonyms."""
    if not pseudonyms:
        return
    wanted = pyarrow.array(sorted(pseudonyms))
    folders: set[Path] = set()
    for path in sorted({file for root in published for file in root.rglob("*.parquet")}):
        folder = path.parent
        if folder in folders or path.is_relative_to(crawl_dir):
            continue
        with suppress(OSError, pyarrow.ArrowException):
            if "user_id" in pyarrow.parquet.read_schema(path).names:
                users = pyarrow.parquet.read_table(path, columns=["user_id"])["user_id"].cast(pyarrow.string())
                if pyarrow.compute.any(pyarrow.compute.is_in(users, wanted)).as_py():
                    folders.add(folder)
                    yield folder
