"""Kinds of page that are HTML: how a body becomes text, and how forgotten people are redacted from it.

Only the redacted page (see `redaction.py`) is parsed and archived.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from crawler.kinds import redaction
from crawler.kinds.kind import PageKind
from crawler.kinds.redaction import ids_in, redact_html
from crawler.kinds.writings import NOBODY, Traces, unpacked
from crawler.ledger.forgotten import Forgotten
from crawler.page import Answer, NotUnderstood

HEADERS = {"Accept": "text/html", "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
_LONGEST_TAIL = 4096  # characters; a server may write comments and scripts below the page


@dataclass(frozen=True, kw_only=True)
class HtmlKind(PageKind):
    """A kind of page that is HTML.

    Attributes:
        parser: gets the page's text and its address.
        is_list_of_people: whether a person who is redacted leaves the rows of the page.
    """

    parser: Callable[[str, str], Any]
    is_list_of_people: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))

    def content(self, answer: Answer) -> Any:
        """Return the parser's result for a complete page."""
        text = answer.body.decode("utf-8", "replace")
        if not text or text.isspace():
            raise NotUnderstood(self.name, "body", "is empty")
        if "</html>" not in text[-_LONGEST_TAIL:].lower():
            raise NotUnderstood(self.name, "end", "not found (no </html>): the page is cut off")
        return self.parser(text, answer.url)

    def redact(self, answer: Answer, forgotten: Forgotten, traces: Traces = NOBODY) -> bytes:
        """Return a page without forgotten people and a person's traces; exactly the same bytes if it has none."""
        body = answer.body
        text = body.decode("utf-8", "replace").replace("\0", "") if forgotten else ""
        gone = {id_ for id_ in ids_in(text) if forgotten.has(id_)} if forgotten else set()
        if not gone and not traces.found_in(body) and not traces.found_in(unpacked(body)):
            return body
        traces |= redaction.traces_in(body, gone | traces.ids)
        is_same = partial(self._gives_the_same, answer)
        without = redact_html(body, traces, is_same, keeps_blocks=self.is_personal)
        if not self.is_list_of_people and not is_same(without, body):
            without = redact_html(body, traces, is_same, keeps_blocks=True)
        is_left = traces.found_in(without) or traces.found_in(unpacked(without))
        return b"" if is_left and isinstance(self.reads(replace(answer, body=without)), type) else without

    def owner_ids(self, body: bytes) -> set[str]:
        """Return the ids in the heading of a page about one person."""
        return redaction.owner_ids(body)

    def traces_in(self, body: bytes, ids: frozenset[str], is_own: bool = False) -> Traces:
        """Return the ids, names and texts of a person on a page that mentions them."""
        return redaction.traces_in(body, ids, is_own)

    def _gives_the_same(self, answer: Answer, body: bytes, other: bytes) -> bool:
        return bool(self.reads(replace(answer, body=body)) == self.reads(replace(answer, body=other)))
