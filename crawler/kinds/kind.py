"""`PageKind`: everything the crawler has to know about a kind of page."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crawler.kinds.refusal import classify, classify_page
from crawler.kinds.tree import MAX_PAGE_BYTES
from crawler.kinds.writings import NOBODY, Traces
from crawler.ledger.forgotten import Forgotten
from crawler.ledger.ledger import Ledger
from crawler.page import (
    Answer,
    Key,
    Merged,
    NotUnderstood,
    Page,
    PageGone,
    Refused,
    TooMuch,
    Unavailable,
    is_number,
    is_uid,
)
from crawler.scope import Scope
from crawler.sites import Site


class CrawlContext(NamedTuple):
    """What processing an answer needs: the ledger, the addresses of the site, and the scope of the crawl."""

    ledger: Ledger
    site: Site
    scope: Scope


class Fills(NamedTuple):
    """How often the fields of a page's rows have a value.

    Attributes:
        of: the type of a page's content; an answer that says where else to read (JSON) has no rows.
        rows: gives the rows of a page's content.
        at_least: for each field, the share of rows, below 1, that have a value as long as the page is what its parser
            expects.
    """

    of: type
    rows: Callable[[Any], Sequence[Any]]
    at_least: Mapping[str, float]

    def values_in(self, content: Any) -> tuple[int, dict[str, int]]:
        """Return the number of rows, and how many of them have a value in each field."""
        rows = self.rows(content) if isinstance(content, self.of) else ()
        return len(rows), {name: sum(getattr(row, name) not in (None, ()) for row in rows) for name in self.at_least}


def not_yet_known(ledger: Ledger, scope: Scope) -> float | None:
    """Return None: nothing can be estimated."""
    return None


def one_page(ledger: Ledger, scope: Scope) -> float | None:
    """Return 1: pages of this kind are not lists."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class PageKind(ABC):
    """A kind of page.

    Attributes:
        name: as in `Key.kind`.
        host: the role of the host that serves it, a key of `Site.hosts`.
        source: the form in which its host gives the data: `html` or `json`; another source may have the same data.
        topic: what it tells, if both sources tell it: `movie`, `photos`, `collection` or `people`.
        stage: the stage that reads it: `ratings`, `frames` or `likes`.
        phase: kinds of a stage with a higher number are read after those with a lower one.
        table: the raw table that its rows belong to; the quarantine uses this name for what is left out.
        subject: what `Key.subject` is: `movie_id`, `frame_id` or `user_id`.
        variants: what `Key.variant` can be.
        address: gives the address of a page.
        address_in: gives the address that a crawl requests; None if it does not depend on the scope.
        record: in a transaction, stores what a page holds; returns the page of its list to read next.
        first_pages: gives the pages to plan when the phase begins; the ledger ignores known ones.
        unplanned: estimates how many lists (or single pages) will be planned beyond the known ones, None if unknown.
        pages_per_list: estimates how many pages a list has, for use before any list was read to its end.
        fills: how often the fields of its rows have a value; None: always.
        places: gives how many items fit on a page; None if the number of pages does not follow from a list's total.
        like_source: the kind is read only if `Scope.liker_sources` has this name; None: always.
        refresh_days: the default age from which `--refresh` reads pages again; None: never.
        max_bytes: a larger answer, compressed or not, is not read to its end.
        headers: HTTP headers that its host needs.
        is_slow: whether parsing takes so long that it must not block the event loop.
        has_words: whether its host says in words that something does not exist; otherwise a 404 says so.
    """

    name: str
    host: str
    source: str = "html"
    topic: str | None = None
    stage: str
    phase: int = 0
    table: str
    subject: str
    variants: Collection[str] = ("",)
    address: Callable[[Site, Key], str]
    address_in: Callable[[Site, Key, Scope], str] | None = None
    record: Callable[[CrawlContext, Page, Any, float], Key | None]
    first_pages: Callable[[Ledger, Scope], Iterable[Key]]
    unplanned: Callable[[Ledger, Scope], float | None] = not_yet_known
    pages_per_list: Callable[[Ledger, Scope], float | None] = not_yet_known
    fills: Fills | None = None
    places: Callable[[Scope], int] | None = None
    like_source: str | None = None
    refresh_days: float | None = None
    max_bytes: int = MAX_PAGE_BYTES
    headers: Mapping[str, str] = field(default_factory=dict)
    is_slow: bool = False
    has_words: bool = True

    @property
    def is_personal(self) -> bool:
        """Whether a page is about one person."""
        return self.subject == "user_id"

    @property
    def has_names(self) -> bool:
        """Whether a subject has several lists, by the first part of `Key.variant`."""
        return self.topic == "photos"

    def is_id(self, subject: str) -> bool:
        """Return whether a subject has the form of this kind's ids."""
        return is_uid(subject) if self.is_personal else is_number(subject)

    def is_wanted(self, scope: Scope) -> bool:
        """Return whether a crawl of this scope reads this kind."""
        if self.topic is not None and self.source not in scope.sources(self.topic):
            return False
        return self.like_source is None or self.like_source in scope.liker_sources

    def rank(self, scope: Scope) -> int:
        """Return 0 if this kind is the preferred source of its topic (or the only one), 1 if it is the next one."""
        return 0 if self.topic is None else scope.sources(self.topic).index(self.source)

    def people_ids(self, body: bytes) -> set[str]:
        """Return the ids of people that stand in a body where `Traces.found_in` does not look for them."""
        return set()

    def owner_ids(self, body: bytes) -> set[str]:
        """Return the ids of the person whom a page about one person names as its owner."""
        return set()

    def traces_in(self, body: bytes, ids: frozenset[str], is_own: bool = False) -> Traces:
        """Return the ids, names and texts of a person on a page; `is_own` if the whole page is about this person."""
        return Traces(ids)

    def parse(self, answer: Answer) -> Any:
        """Return the parsed content of an answer. No I/O.

        Raises:
            Refused: the site refuses us.
            PageGone: the page's subject does not exist (any more).
            Unavailable: the site shows no such page, and does not say why.
            Merged: the page's movie was merged into another one.
            NotUnderstood: anything else that is not a complete page of this kind.
            BadPicture: the bytes are not a usable picture.
        """
        classify(answer, self.has_words)
        try:
            if answer.status != 200:
                target = f", to {answer.location}" if answer.location else ""
                raise NotUnderstood(self.name, "status", f"is {answer.status}{target}")
            return self.content(answer)
        except NotUnderstood:
            classify_page(answer)  # a page without any form of the site's may be a refusal in a new form
            raise

    @abstractmethod
    def content(self, answer: Answer) -> Any:
        """Return the parsed body of an answer with status 200; raises the same exceptions as `parse`."""

    @abstractmethod
    def redact(self, answer: Answer, forgotten: Forgotten, traces: Traces = NOBODY) -> bytes:
        """Return a body without forgotten people and without a person's traces; the same bytes if it has none.

        Raises:
            TooMuch: it is too large to be redacted.
        """

    def is_of_forgotten(self, body: bytes, forgotten: Forgotten) -> bool:
        """Return whether the owner that a page shows is a forgotten person."""
        return self.is_personal and bool(forgotten) and any(map(forgotten.has, self.owner_ids(body)))

    def reads(self, answer: Answer) -> Any:
        """Return the parsed content of an answer, or the type of the exception that says why there is none."""
        try:
            return self.parse(answer)
        except (PageGone, Unavailable, Merged, Refused, NotUnderstood, TooMuch) as outcome:
            return type(outcome)
