"""Kinds of page that are HTML: how a body becomes text, and how forgotten people are redacted from it.

A mention of a person is their uid in the address of a profile or of an avatar, because that is how the site identifies
people. Redaction removes a forgotten person's comment, makes their like anonymous, and removes any other mention
together with the list item that contains it. Only the redacted page is parsed and archived.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from lxml import html

from crawler.kinds.kind import PageKind
from crawler.kinds.tree import require_bounded
from crawler.ledger.forgotten import Forgotten
from crawler.page import Answer, NotUnderstood

_LONGEST_TAIL = 4096  # characters; a server may write comments and scripts below the page

_MENTION = re.compile(rb"/people/([^/\"'?#<>\s\\]+)|/icon/u[lp]?([0-9]+)-")
_OWNER = re.compile(rb"id=[\"']db-usr-profile[\"']")
_ANONYMOUS_LIKER = '<li><div class="content"><a href="/anonymous"></a></div></li>'
_NOBODY = b"/people/-"


@dataclass(frozen=True, kw_only=True)
class HtmlKind(PageKind):
    """A kind of page that is HTML; `parser` gets the page's text and its address."""

    parser: Callable[[str, str], Any]

    def content(self, answer: Answer) -> Any:
        """Return the parser's result for a complete page."""
        text = answer.body.decode("utf-8", "replace")
        if not text or text.isspace():
            raise NotUnderstood(self.name, "body", "is empty")
        if "</html>" not in text[-_LONGEST_TAIL:].lower():
            raise NotUnderstood(self.name, "end", "not found (no </html>): the page is cut off")
        return self.parser(text, answer.url)

    def redact(self, body: bytes, forgotten: Forgotten) -> bytes:
        """Return a page without forgotten people; exactly the same bytes if it mentions none."""
        return redact_html(body, forgotten)

    def is_of_forgotten(self, body: bytes, forgotten: Forgotten) -> bool:
        """Return whether the link or avatar in a profile's heading is a forgotten person's."""
        found = _OWNER.search(body) if self.is_personal and forgotten else None
        end = body.find(b"</h1>", found.end()) if found else -1
        return bool(found and end >= 0 and _mentioned(body[found.end() : end], forgotten))


def redact_html(body: bytes, forgotten: Forgotten) -> bytes:
    """Return a page without forgotten people; exactly the same bytes if it mentions none."""
    gone = _mentioned(body, forgotten)
    if not gone:
        return body
    require_bounded(body)
    page = html.document_fromstring(body.decode("utf-8", "replace"))
    for node in page.xpath("//*[@*[contains(., '/people/') or contains(., '/icon/u')]]"):
        values = " ".join(node.attrib.values()).encode()
        if page in (node, *node.iterancestors()) and any(uid in gone for uid in _uids(values)):
            _remove(node)
    text: bytes = html.tostring(page, encoding="utf-8", doctype=page.getroottree().docinfo.doctype or None)
    return _MENTION.sub(lambda found: _NOBODY if _uid(found) in gone else found[0], text)


def _mentioned(body: bytes, forgotten: Forgotten) -> set[str]:
    return {uid for uid in set(_uids(body)) if forgotten.has(uid)} if forgotten else set()


def _uids(text: bytes) -> list[str]:
    return [_uid(found) for found in _MENTION.finditer(text)]


def _uid(found: re.Match[bytes]) -> str:
    return unquote((found[1] or found[2]).decode("utf-8", "replace"))


def _remove(node: html.HtmlElement) -> None:
    """Remove a mention with its comment or list item; in a list of likers, an anonymous liker replaces it."""
    for block in (node, *node.iterancestors()):
        if block.tag == "li" and any("topic-fav-list" in above.get("class", "") for above in block.iterancestors()):
            liker = html.fragment_fromstring(_ANONYMOUS_LIKER)
            liker.tail = block.tail
            block.getparent().replace(block, liker)
            return
        if block.tag == "li" or "comment-item" in block.get("class", "").split():
            block.drop_tree()
            return
    node.drop_tree()
