"""Parses a page to a tree of lxml elements, and queries it by CSS selectors that are compiled once.

Broken markup is repaired. Selectors are parsel's CSS, with `::text` and `::attr(name)`.
"""

import re
from functools import cache
from typing import Any

from lxml import etree
from parsel.csstranslator import HTMLTranslator

# Not the joiners (200c, 200d): scripts and emoji need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_PARSER = etree.HTMLParser(recover=True, encoding="utf-8", huge_tree=True)
_TRANSLATOR = HTMLTranslator()
_STRING = etree.XPath("string()", smart_strings=False)
_TITLE = etree.XPath("(//title[not(ancestor::*[local-name()='svg'])])[1]")


def tree_of(html: str) -> etree._Element:
    """Return the root of a page."""
    root = etree.fromstring(html.strip().replace("\x00", "").encode() or b"<html/>", _PARSER)
    return etree.fromstring(b"<html/>", _PARSER) if root is None else root


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
