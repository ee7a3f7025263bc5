"""The types that the whole crawler shares: a page's key, an answer, a person, and the reasons why a page gives no rows.

Pages are named by what they show, not by their address: `Key(kind, subject, variant, start)`. Ids come from the site's
pages and become parts of addresses, so they have a grammar: `is_number` and `is_uid`.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

_NUMBER = re.compile("[0-9]{1,20}")
_UID = re.compile("[._-]*[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_UID = 64


def is_number(text: str) -> bool:
    """Return whether a text has the form of a movie's, photo's or person's number."""
    return bool(_NUMBER.fullmatch(text))


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a uid: a number, or a name of ASCII letters, digits, `.`, `_` and `-`."""
    return len(text) <= _LONGEST_UID and bool(_UID.fullmatch(text))


class Key(NamedTuple):
    """Identifies a page: its kind, its subject, its variant, and its offset in a list."""

    kind: str
    subject: str
    variant: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the ledger."""

    page_id: int
    key: Key
    attempts: int = 0
    next_try_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A host's answer to a request.

    Attributes:
        status: the HTTP status.
        url: the address that answered, absolute.
        body: the bytes, decompressed; empty if they are stored as a picture file.
        location: the header of that name (redirects are not followed).
        content_type: the header of that name.
        at: when it was answered, in Unix time.
        stored_as: the picture file with the bytes, relative to the crawl folder.
        retry_after: the header of that name.
        robots_tags: the headers `X-Robots-Tag`.
    """

    status: int
    url: str
    body: bytes
    location: str | None = None
    content_type: str | None = None
    at: float = 0.0
    stored_as: str | None = None
    retry_after: str | None = None
    robots_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Person:
    """A person. No name is ever kept.

    Attributes:
        user_id: the person's number if the page shows it (in the avatar or the link), otherwise the uid.
        uid: the number or slug in the link to the profile.
    """

    user_id: str
    uid: str


class PageGone(Exception):  # noqa: N818 - an outcome, not an error
    """The site says that the movie, photo or person does not exist (any more). The message names the sign."""


class Unavailable(Exception):  # noqa: N818 - an outcome, not an error
    """The site shows us no such page, but does not say that its subject does not exist. The message says why."""


class OptedOut(Unavailable):
    """The site asks that nothing of this answer is kept. The message names the directive."""


class Merged(Exception):  # noqa: N818 - an outcome, not an error
    """The site has merged the page's movie into another one.

    Attributes:
        into_id: the other movie.
    """

    def __init__(self, into_id: str) -> None:
        super().__init__("merged into another movie")
        self.into_id = into_id


class Refused(Exception):  # noqa: N818 - an outcome, not an error
    """The site refuses us: blocked, banned, a login wall or a rate limit. The message names the sign."""


class NotUnderstood(Exception):  # noqa: N818 - an outcome, not an error
    """The parser cannot read the answer. The message names the page kind and the field."""

    def __init__(self, page_kind: str, field: str, detail: str = "not found") -> None:
        super().__init__(f"{page_kind} page: field '{field}' {detail}")
        self.page_kind = page_kind
        self.field = field


class TooMuch(Exception):  # noqa: N818 - an outcome, not an error
    """The answer, or the list that it belongs to, is beyond a bound. The message names it, and quotes nothing."""


class EndsEarly(Exception):  # noqa: N818 - an outcome, not an error
    """A page of a list is empty, or leads nowhere, although the list claims more: often a throttle, to be tried again.

    It is raised after the rows of the page are stored, and they are kept.
    """


class BadPicture(Exception):  # noqa: N818 - an outcome, not an error
    """The bytes are not a usable picture. The message says why."""
