"""Kinds of page that are JSON: how an answer is read, and how forgotten people are redacted from it.

Only the redacted answer (see `redaction.py`) is parsed and archived.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from crawler.kinds.kind import PageKind
from crawler.kinds.mobile import API, redaction
from crawler.kinds.mobile.body import NotJson, read_json
from crawler.kinds.mobile.errors import raise_for_error
from crawler.kinds.refusal import classify, classify_page
from crawler.kinds.writings import NOBODY, Traces
from crawler.ledger.forgotten import Forgotten
from crawler.page import Answer, Merged, NotUnderstood

# The Referer is the only thing that the API asks for; besides it, only our User-Agent is sent.
HEADERS = {"Referer": "https://m.douban.com/"}

_REDIRECTS = (301, 302, 303, 307, 308)
_SUBJECT = re.compile(rf"{API}/(movie|tv)/([0-9]{{1,20}})(/[a-z]+)?/?")


class Elsewhere(NamedTuple):
    """An answer that leads to the same page under another path of the same host: `movie` or `tv`."""

    path: str


class ItemFailed(NamedTuple):
    """Status 500 to a page of a list: one of its items breaks the whole page."""

    status: int = 500


@dataclass(frozen=True, kw_only=True)
class JsonKind(PageKind):
    """A kind of page that is JSON.

    Attributes:
        parser: gets the answer's JSON, an object with the key `wanted`, and the id in its address.
        wanted: the key that tells an answer of this kind from an error.
        page_size: how many items of a list are asked for at once; 0: not a list.
        is_list_of_people: whether an item with a person is that person's, and leaves the answer with them.
    """

    parser: Callable[[Any, str], Any]
    wanted: str
    page_size: int = 0
    is_list_of_people: bool = False
    source: str = "json"
    host: str = "mobile"
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))

    def parse(self, answer: Answer) -> Any:
        """Return the parsed content of an answer; `Elsewhere` if it leads to another address of the same subject.

        The body is read whatever the status is: the site's own code says more.

        Raises:
            Refused: the site refuses us.
            PageGone: the site says that the page's subject does not exist (any more).
            Unavailable: the subject is not public.
            Merged: the movie was merged into another one.
            NotUnderstood: anything else that is not a complete answer of this kind.
        """
        classify(replace(answer, status=200, body=b""))  # only its addresses
        if answer.status in _REDIRECTS:
            return self._elsewhere(answer)
        if answer.status == 204:
            return self._of_status(answer)
        try:
            value = read_json(answer.body)
        except NotJson as problem:
            return self._without_json(answer, problem)
        raise_for_error(self.name, value, self.wanted, answer.status)
        if answer.status != 200:
            return self._of_status(answer)
        return self._read(value, answer.url)

    def content(self, answer: Answer) -> Any:
        """Return the parser's result."""
        try:
            return self._read(read_json(answer.body), answer.url)
        except NotJson as problem:
            raise NotUnderstood(self.name, "body", str(problem)) from None

    def redact(self, answer: Answer, forgotten: Forgotten, traces: Traces = NOBODY) -> bytes:
        """Return a body without forgotten people and a person's traces; exactly the same bytes if it has none."""
        gone = {id_ for id_ in self.people_ids(answer.body) if forgotten.has(id_)} if forgotten else set()
        if not gone and not traces:
            return answer.body

        def is_same(one: bytes, other: bytes) -> bool:
            return bool(self.reads(replace(answer, body=one)) == self.reads(replace(answer, body=other)))

        without = redaction.redact(answer.body, gone, traces, self.is_list_of_people, is_same)
        is_left = traces.found_in(without)
        return b"" if is_left and isinstance(self.reads(replace(answer, body=without)), type) else without

    def people_ids(self, body: bytes) -> set[str]:
        """Return the ids of all people in an answer."""
        return redaction.people_ids(_value(body))

    def owner_ids(self, body: bytes) -> set[str]:
        """Return the ids of the owner that an answer names."""
        return redaction.owner_ids(_value(body))

    def traces_in(self, body: bytes, ids: frozenset[str], is_own: bool = False) -> Traces:
        """Return the ids, names and texts of a person in an answer."""
        return redaction.traces_in(_value(body), ids, is_own)

    def _read(self, value: Any, url: str) -> Any:
        if not isinstance(value, dict) or self.wanted not in value:
            raise NotUnderstood(self.name, self.wanted)
        found = re.match(rf"{API}/(?:movie|tv|user)/([^/]+)", urlsplit(url).path)
        if not found:
            raise NotUnderstood(self.name, "address", "is of another kind of page")
        return self.parser(value, found[1])

    def _elsewhere(self, answer: Answer) -> Elsewhere:
        """Return where a redirect leads, if it is another address of such a page on the same host."""
        try:
            asked, given = urlsplit(answer.url), urlsplit(urljoin(answer.url, answer.location or ""))
        except ValueError:
            raise NotUnderstood(self.name, "status", f"is {answer.status}, to no address") from None
        before, after = _SUBJECT.fullmatch(asked.path), _SUBJECT.fullmatch(given.path)
        if before and after and given[:2] == asked[:2] and before[3] == after[3]:
            if before[2] != after[2]:
                raise Merged(after[2])
            return Elsewhere(after[1])
        raise NotUnderstood(self.name, "status", f"is {answer.status}, to another page")

    def _without_json(self, answer: Answer, problem: NotJson) -> Any:
        """Return or raise what an answer without JSON means: a page of refusal, or a status."""
        if answer.body.lstrip().startswith(b"<"):
            classify_page(replace(answer, content_type="text/html"))
        if answer.status == 200:
            raise NotUnderstood(self.name, "body", str(problem))
        return self._of_status(answer)

    def _of_status(self, answer: Answer) -> Any:
        classify(replace(answer, body=b""))
        if answer.status == 500 and self.page_size:
            return ItemFailed()
        raise NotUnderstood(self.name, "status", f"is {answer.status}")


def _value(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotJson:
        return None
