"""Parses a page to a tree of lxml elements, and queries it by CSS selectors that are compiled once.

Broken markup is repaired. Selectors are parsel's CSS, with `::text` and `::attr(name)`. A page beyond the bounds below
is not parsed: libxml2 compares each attribute of a tag with every other, and a query visits nested elements again and
again. The site's largest pages have a tenth of these bounds.
"""

import re
from functools import cache
from typing import Any

from lxml import etree
from parsel.csstranslator import HTMLTranslator

from crawler.page import TooMuch

MAX_PAGE_BYTES = 2 << 20
MAX_TAGS = 20_000  # start and end tags
MAX_DEPTH = 64  # of a page that is longer than the next bound
LONGEST_TAG_BYTES = 32 << 10  # or comment

# Not the joiners (200c, 200d): scripts and emoji need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_PIECE_BYTES = 8192
_PARSER = etree.HTMLParser(recover=True, encoding="utf-8", huge_tree=False)
_TRANSLATOR = HTMLTranslator()
_STRING = etree.XPath("string()", smart_strings=False)
_TITLE = etree.XPath("(//title[not(ancestor::*[local-name()='svg'])])[1]")


def tree_of(html: str) -> etree._Element:
    """Return the root of a page.

    Raises:
        TooMuch: the page is larger, or nested deeper, than any page of the site.
    """
    source = html.strip().replace("\x00", "").encode()
    require_bounded(source)
    root = etree.fromstring(source or b"<html/>", _PARSER)
    error = _PARSER.error_log.last_error
    if error is not None and error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT:  # libxml2 has stopped there
        raise TooMuch("the page is nested too deeply")
    return etree.fromstring(b"<html/>", _PARSER) if root is None else root


def require_bounded(source: bytes) -> None:
    """Check that a page can be parsed and queried in a moment.

    Raises:
        TooMuch: it cannot.
    """
    if len(source) > MAX_PAGE_BYTES:
        raise TooMuch(f"the page is larger than {MAX_PAGE_BYTES:,} bytes")
    if source.count(b"<") > MAX_TAGS:
        raise TooMuch(f"the page has more than {MAX_TAGS:,} tags")
    if len(source) > LONGEST_TAG_BYTES:
        _require_short_tags(source)


def _require_short_tags(source: bytes) -> None:
    """Check a large page by feeding it to the parser piece by piece: after each few pieces, something must be read."""
    read = _Counter()
    parser = etree.HTMLParser(target=read, encoding="utf-8")
    n_before, read_before = 0, 0
    for begin in range(0, len(source), _PIECE_BYTES):
        parser.feed(source[begin : begin + _PIECE_BYTES])
        if read.n > read_before:
            n_before, read_before = begin, read.n
        elif begin - n_before > LONGEST_TAG_BYTES:
            raise TooMuch(f"the page has a tag or comment of more than {LONGEST_TAG_BYTES:,} bytes")
        if read.depth > MAX_DEPTH:
            raise TooMuch(f"the page is nested more than {MAX_DEPTH} levels deep")


class _Counter:
    """A parser's target that counts what was read, and how deep it is nested."""

    n = depth = 0

    def start(self, tag: str, attributes: object) -> None:
        self.n += 1
        self.depth += 1

    def end(self, tag: str) -> None:
        self.n += 1
        self.depth -= 1

    def data(self, text: str) -> None:
        self.n += 1

    comment = pi = data

    def close(self) -> None:
        """Do nothing; the parser calls it."""


def select(of: etree._Element | list[etree._Element], css: str) -> list[Any]:
    """Return the elements (or texts, or attributes) that a selector finds in an element, or in each of several."""
    find = compiled(css)
    return [found for node in (of if isinstance(of, list) else [of]) for found in find(node)]


@cache
def compiled(css: str, condition: str = "") -> etree.XPath:
    """Return a selector as XPath; `condition`, in XPath, is added to its last element."""
    return etree.XPath(_TRANSLATOR.css_to_xpath(css) + condition, smart_strings=False)


def text_of(of: etree._Element | list[etree._Element]) -> str:
    """Return all text below an element (below the first of several), as `one_line` does."""
    if isinstance(of, list):
        return one_line(_STRING(of[0])) if of else ""
    return one_line(_STRING(of))


def title_of(root: etree._Element) -> str:
    """Return the page's title (and not that of an SVG drawing)."""
    return text_of(_TITLE(root))


def one_line(text: str) -> str:
    """Return a text on one line, with single spaces and without invisible characters (such as direction marks)."""
    return " ".join(_INVISIBLE.sub("", text).split())
