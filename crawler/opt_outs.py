"""Opt-outs: what a host asks of crawlers in the header `X-Robots-Tag` and in a page's `<meta name="robots">`.

| directive | what follows |
|---|---|
| `noindex` (`none`) | it is recorded, nothing else |
| `noarchive` (`nocache`) | the page's rows are kept; its body is not archived |
| `noai` | the page gives no rows and is not archived |
| `noimageai` | of a list of photos, no picture is read; a picture is not kept |

A directive counts if it is addressed to all, or to us by the name in our User-Agent.
"""

import re
from collections.abc import Iterator

from crawler.kinds.tree import select, tree_of
from crawler.page import Answer, TooMuch

NAME = "douban-keyframes"
DIRECTIVES = ("noindex", "noarchive", "noai", "noimageai")

_SAME = {"none": "noindex", "nocache": "noarchive"}
_WITH_VALUE = frozenset(("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"))
_ANY_NAME = (b"obots", b"OBOTS", b"keyframes", b"KEYFRAMES")  # most pages have none, and need not be searched further
_ANY_META = re.compile(rb"""name\s{0,9}=\s{0,9}["']?\s{0,9}(?:robots|douban-keyframes)""", re.IGNORECASE)


def opt_outs_of(answer: Answer) -> frozenset[str]:
    """Return which of `DIRECTIVES` an answer has for us."""
    found = {directive for tag in answer.robots_tags for directive in _of_header(tag)}
    if any(name in answer.body for name in _ANY_NAME) and _ANY_META.search(answer.body):
        found |= set(_of_page(answer.body))
    return frozenset(_SAME.get(directive, directive) for directive in found) & frozenset(DIRECTIVES)


def keeps_rows(opt_outs: frozenset[str], has_picture: bool) -> bool:
    """Return whether the rows of an answer may be kept; `has_picture`: whether it is a picture."""
    return "noai" not in opt_outs and not (has_picture and "noimageai" in opt_outs)


def keeps_body(opt_outs: frozenset[str]) -> bool:
    """Return whether the body of an answer may be archived."""
    return not opt_outs & {"noarchive", "noai"}


def _of_header(tag: str) -> Iterator[str]:
    """Yield the directives for us in one header: `noai, noarchive`, or `name: noai, other: noarchive`."""
    is_ours = True
    for part in tag.lower().split(","):
        name, colon, rest = (piece.strip() for piece in part.partition(":"))
        if colon and name in _WITH_VALUE:
            continue
        if colon:
            is_ours = name in ("*", "robots", NAME)
        if is_ours:
            yield from (rest if colon else name).split()


def _of_page(body: bytes) -> Iterator[str]:
    try:
        page = tree_of(body.decode("utf-8", "replace"))
    except TooMuch:  # its parser says so
        return
    for meta in select(page, "meta[name]"):
        if meta.get("name", "").strip().lower() in ("robots", NAME):
            yield from re.split(r"[\s,;]+", meta.get("content", "").lower())
