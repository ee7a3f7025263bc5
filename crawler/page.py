"""The terms that all rooms share: a page's key, a host's answer, a person, and why an answer may not be the page.

Pages are named by what they show, not by their address: `Key(kind, subject, variant, start)`.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """Identifies a page: its kind, its subject, the variant of it, and the offset in a list."""

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
    """What a host answered.

    Attributes:
        status: the HTTP status.
        url: the address that answered, absolute.
        body: the bytes, decompressed; empty if they are stored as a picture file.
        location: the header of that name (redirects are not followed).
        content_type: the header of that name.
        at: when it was answered, in Unix time.
        stored_as: the picture file with the bytes, relative to the crawl folder.
    """

    status: int
    url: str
    body: bytes
    location: str | None = None
    content_type: str | None = None
    at: float = 0.0
    stored_as: str | None = None


@dataclass(frozen=True)
class Person:
    """A person: `user_id` is the number where the page shows it (avatar or link), otherwise the uid itself.

    `uid` is the number or slug in the link; no name is ever kept.
    """

    user_id: str
    uid: str


class PageGone(Exception):  # noqa: N818 - an outcome, not an error
    """The site says that the movie, photo or person does not exist (any more). The message says how."""


class Refused(Exception):  # noqa: N818 - an outcome, not an error
    """The site refuses us: blocked, banned, a login wall or a rate limit. The message names the sign."""


class NotUnderstood(Exception):  # noqa: N818 - an outcome, not an error
    """The answer is not what the parser knows. The message names the page kind and the field."""

    def __init__(self, page_kind: str, field: str, detail: str = "not found") -> None:
        super().__init__(f"{page_kind} page: field '{field}' {detail}")
        self.page_kind = page_kind
        self.field = field


class BadPicture(Exception):  # noqa: N818 - an outcome, not an error
    """The bytes are not a usable picture. The message says why."""
