"""Reads values from an HTML page: counts, dates, people and the link to the next page.

Every page is UTF-8. A value that is present but cannot be read raises `NotUnderstood`; it never becomes None.
A parser first proves that the page is of its kind (`Document.require_kind`). An item of a list that cannot be read is
left out and counted; if most items cannot be read, the markup has changed, and the page is not understood.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, parse_qs, unquote, urljoin, urlsplit

from lxml import etree

from crawler.kinds.items import read_items
from crawler.kinds.tree import select, tree_of
from crawler.page import NotUnderstood, Person, is_uid

DELETED_NAME = "[已注销]"
LARGEST_COUNT = 2**32 - 1  # the maximum of a UInt32 column

_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?: [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?")
_AVATAR_NUMBER = re.compile(r"/icon/u[lp]?([0-9]{1,20})-[0-9]+\.")
_PROFILE_PATH = re.compile(r"/people/([^/]+)")
_OTHER_PARTS = ("book", "music")  # of the site, with pages much like those of films
_PART = re.compile(rf"(?:^#db-nav-|//|/)({'|'.join(_OTHER_PARTS)})(?:$|\.douban\.com|/subject/)")
_PART_LINKS = etree.XPath(
    "//link[@rel='canonical']/@href | //meta[@property='og:url']/@content | //li[@class='on']/a/@href",
    smart_strings=False,
)
_CLASSES, _IDS, _KEYS = (etree.XPath(f"//@{name}", smart_strings=False) for name in ("class", "id", "property"))

T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """A page as a tree, with its kind and its address, which errors name."""

    kind: str
    url: SplitResult
    root: etree._Element

    @classmethod
    def read(cls, kind: str, html: str, url: str) -> Self:
        """Parse `html`, fetched from `url`."""
        return cls(kind, urlsplit(url), tree_of(html))

    def css(self, selector: str) -> list[Any]:
        """Return what a selector finds in the whole page (see `crawler.kinds.tree.select`)."""
        return select(self.root, selector)

    def not_understood(self, field: str, detail: str = "not found") -> NotUnderstood:
        """Return the exception to raise when `field` cannot be read."""
        return NotUnderstood(self.kind, field, detail)

    @cached_property
    def marks(self) -> frozenset[str]:
        """All classes (`.name`), ids (`#name`) and values of `property` of the page's elements."""
        classes = " ".join(_CLASSES(self.root)).split()
        return frozenset(
            [*(f".{name}" for name in classes), *(f"#{id_}" for id_ in _IDS(self.root)), *_KEYS(self.root)]
        )

    def require_kind(self, is_proven: bool, others: Iterable[str]) -> None:
        """Check that the page is of its kind.

        Args:
            is_proven: whether it has what pages of this kind have.
            others: marks (`marks`) that only pages of other kinds have.

        Raises:
            NotUnderstood: it is not, or it belongs to the books or the music of the site.
        """
        for sign in (*_PART_LINKS(self.root), *(mark for mark in self.marks if mark.startswith("#db-nav-"))):
            if part := _PART.search(sign):
                raise self.not_understood("kind", f"is of the site's part {part[1]!r}")
        if found := self.marks.intersection(others):
            raise self.not_understood("kind", f"is another: the page has {min(found)}")
        if not is_proven:
            raise self.not_understood("kind", "is another: the page shows nothing that such a page has")

    def read_items(
        self, items: Sequence[etree._Element], read: Callable[[etree._Element], T]
    ) -> tuple[tuple[T, ...], dict[str, int]]:
        """Return what `read` gives for each item, and how many items could not be read, by reason.

        Raises:
            NotUnderstood: more than half of the items, and at least three, cannot be read.
        """
        return read_items(items, read)

    def id_in_url(self, field: str, pattern: str) -> str:
        """Return what the first group of `pattern` matches in the page's own address, unquoted.

        Raises:
            NotUnderstood: the address is of another kind of page.
        """
        found = re.match(pattern, self.url.path)
        if not found:
            raise self.not_understood(field, f"not found in the address {self.url.geturl()}")
        return unquote(found[1])

    def count(self, field: str, digits: str) -> int:
        """Return a count of at most 2³²−1.

        Raises:
            NotUnderstood: `digits` is anything else.
        """
        if not re.fullmatch("[0-9]{1,10}", digits) or int(digits) > LARGEST_COUNT:
            raise self.not_understood(field, f"is {_shown(digits)}, not a count")
        return int(digits)

    def count_after(self, field: str, pattern: str, text: str) -> int:
        """Return the count that the first group of `pattern` finds in `text`.

        Raises:
            NotUnderstood: `text` does not match.
        """
        found = re.search(pattern, text)
        if not found:
            raise self.not_understood(field, f"is {_shown(text)}, without a count")
        return self.count(field, found[1])

    def day(self, field: str, text: str) -> date:
        """Return the date in `2017-11-20` or `2017-11-20 23:01:54`.

        Raises:
            NotUnderstood: `text` is anything else, or no such day exists.
        """
        found = _DAY.fullmatch(text)
        try:
            if found:
                return date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            pass
        raise self.not_understood(field, f"is {_shown(text)}, not a date")

    def person(self, links: Iterable[etree._Element], avatars: Iterable[etree._Element]) -> Person | None:
        """Return the person of the first profile link, with the number in the avatar, if any; None without a link.

        If nothing in the links has the form of a uid, the number is the uid.
        """
        hrefs = [href for link in links if (href := link.get("href")) is not None and "/people/" in href]
        if not hrefs:
            return None
        uid = next(filter(None, map(self.uid_of, hrefs)), None)
        numbers = (_AVATAR_NUMBER.search(avatar.get("src", "")) for avatar in avatars)
        number = next((number[1] for number in numbers if number), uid)
        return Person(number, uid or number) if number else None

    def uid_of(self, href: str) -> str | None:
        """Return the uid in a link to a person's profile (or a page below it), None for any other link.

        A link whose uid has not the form of one is any other link: it could lead to another page of the site.
        """
        target = self._target(href)
        found = _PROFILE_PATH.match(target.path) if target else None
        uid = unquote(found[1]).strip() if found else ""
        return uid if is_uid(uid) else None

    def next_url(self, hrefs: list[str], also: str | None = None) -> str | None:
        """Return the absolute address of the next page of this list, None if `hrefs` is empty.

        Args:
            hrefs: the addresses of the page's links to the next page; all must be the same.
            also: another path of the same list (a person can have two uids).

        Raises:
            NotUnderstood: the links differ, or one leads to another host or path, or does not lead forward.
        """
        found = {self._next(href, also) for href in hrefs}
        if len(found) > 1:
            raise self.not_understood("next page", f"is {len(found)} different links")
        return found.pop() if found else None

    def start(self, url: SplitResult | None = None) -> int:
        """Return how many items of the list precede a page (this one, or the one at `url`)."""
        starts = parse_qs((url or self.url).query).get("start", ["0"])
        return self.count("next page", starts[-1])

    def _next(self, href: str, also: str | None) -> str:
        target = self._target(href)
        same_list = {_path(self.url.path), _path(also or self.url.path)}
        if not target or target.netloc != self.url.netloc or _path(target.path) not in same_list:
            raise self.not_understood("next page", f"leads away from this list, to {_shown(href)}")
        if self.start(target) <= self.start():
            raise self.not_understood("next page", f"does not lead forward: {_shown(href)}")
        return self.url._replace(query=target.query, fragment="").geturl()

    def _target(self, href: str) -> SplitResult | None:
        try:
            return urlsplit(urljoin(self.url.geturl(), href.strip()))
        except ValueError:
            return None


def _path(path: str) -> str:
    return unquote(path).rstrip("/")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
