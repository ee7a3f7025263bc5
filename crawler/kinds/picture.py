"""A photo's picture file, on the image host: `/view/photo/<size>/public/p<pid>.jpg`.

It is a kind of page like the others, but not HTML.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from crawler.archive.pictures import Picture, verify_picture
from crawler.kinds.estimates import frames_without_page
from crawler.kinds.kind import CrawlContext, PageKind, one_page
from crawler.kinds.writings import NOBODY, Traces
from crawler.ledger.forgotten import Forgotten
from crawler.ledger.ledger import Ledger
from crawler.page import Answer, Key, NotUnderstood, Page
from crawler.scope import Scope
from crawler.sites import PICTURE_SIZES, Site

_TEXTS = ("text/", "application/json", "application/xhtml", "application/xml")


@dataclass(frozen=True, kw_only=True)
class PictureKind(PageKind):
    """A kind of page that is a picture file."""

    def content(self, answer: Answer) -> Picture:
        """Return the picture in the bytes, after decoding it completely.

        Raises:
            NotUnderstood: the host says that it is a page.
        """
        if (answer.content_type or "").strip().lower().startswith(_TEXTS):
            raise NotUnderstood(self.name, "content type", "is not of a picture")
        return verify_picture(answer.body)

    def redact(self, answer: Answer, forgotten: Forgotten, traces: Traces = NOBODY) -> bytes:
        """Return the bytes: a picture is never changed, and what is not one gives no rows."""
        return b"" if traces.found_in(answer.body) else answer.body


def _address(site: Site, key: Key) -> str:
    """Return the address of a photo's file in a size (`sqxs`, `s`, `m`, `l`)."""
    return f"{site.images}/view/photo/{key.variant}/public/p{key.subject}.jpg"


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("picture", frame_id, scope.picture_size) for frame_id in ledger.frames_without_picture())


def _record(context: CrawlContext, page: Page, picture: Picture, at: float) -> None:
    row: dict[str, Any] = {"frame_id": page.key.subject, **asdict(picture)}
    context.ledger.upsert("pictures", [row])
    context.ledger.mark_done(page, at, seen=1)


def _unplanned(ledger: Ledger, scope: Scope) -> float | None:
    return frames_without_page(ledger, scope, "picture")


PICTURE = PictureKind(
    name="picture",
    host="images",
    stage="frames",
    table="images",
    subject="frame_id",
    variants=PICTURE_SIZES,
    address=_address,
    record=_record,
    first_pages=_first_pages,
    unplanned=_unplanned,
    pages_per_list=one_page,
    headers={"Accept": "image/*", "Referer": "https://www.douban.com/"},  # without a Referer the host answers 418
    max_bytes=16 << 20,  # the largest size that is read has less than a tenth
    is_slow=True,
    has_words=False,
)
