"""A movie's comments, which lead to users: `/subject/<id>/comments`.

The markup is known from public spider code and from saved real pages.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from lxml import etree

from crawler.kinds.document import DELETED_NAME, Document
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext
from crawler.kinds.next_page import next_key
from crawler.kinds.sources import COMMENTS_PER_PAGE, COMMENTS_REACH, MOST_PAGES, plan_marks, unread_lists_of_people
from crawler.kinds.tree import select, text_of, title_of
from crawler.ledger.ledger import Ledger
from crawler.ledger.lists import ListPass, Seam, last_item_before
from crawler.page import Key, Page, Person
from crawler.scope import Scope
from crawler.sites import Site

_HEADING = re.compile(r"短评(?: ?[(（][0-9]+[)）])?$")
_TABS = {".CommentTabs", ".Comments-hd"}
_OF_OTHER_KINDS = (
    "v:itemreviewed", ".mainphoto", "#db-usr-profile", ".fav-list", ".topic-fav-list", ".poster-col3", ".poster-col4",
    ".review-item", ".topic-content",
)  # fmt: skip


@dataclass(frozen=True)
class CommentsPage:
    """A page of a movie's comments: the people who wrote them, in order, without deleted accounts.

    `left_out` counts the comments whose author could not be read, by reason.
    """

    people: tuple[Person, ...]
    next_url: str | None
    left_out: dict[str, int] = field(default_factory=dict)


def address(site: Site, key: Key) -> str:
    """Return the address of a page of 20 comments by people who have seen the movie, newest first."""
    query = urlencode({"start": key.start, "limit": COMMENTS_PER_PAGE, "sort": "time", "status": "P"})
    return f"{site.movie}/subject/{key.subject}/comments?{query}"


def parse_comments(html: str, url: str) -> CommentsPage:
    """Return the people who wrote a page of comments, in order, without deleted accounts.

    Always present: the container `#comments` with comments or, without any, a heading or title that ends in 短评, or
    the tabs above the comments; an author's profile link in each comment. May be absent: all comments, avatars,
    the next page's link.

    Raises:
        NotUnderstood: the page has no such list, or most comments have no author.
    """
    page = Document.read("comments", html, url)
    page.id_in_url("movie_id", r"/subject/([0-9]+)/comments")
    comments = page.css("div.comment-item")
    page.require_kind(_is_list(page), _OF_OTHER_KINDS)
    container = page.css("#comments")
    if not comments and (not container or select(container, 'a[href*="/people/"]')):
        raise page.not_understood("comments")
    authors, left_out = page.read_items(comments, lambda comment: _author(page, comment))
    people = tuple(author for author in authors if author)
    return CommentsPage(people, page.next_url(page.css("#paginator a.next::attr(href)")), left_out)


def _is_list(page: Document) -> bool:
    headings = (title_of(page.root), *map(text_of, page.css("h1")))
    return (
        any(map(_HEADING.search, headings))
        or not page.marks.isdisjoint(_TABS)
        or bool(page.css("#comments div.comment-item .comment-info, #comments div.comment-item .avatar"))
    )


def _author(page: Document, comment: etree._Element) -> Person | None:
    """Return who wrote a comment; None if the account is deleted."""
    links = select(comment, ".avatar a, .comment-info a")
    person = page.person(links, select(comment, ".avatar img"))
    if person is None:
        raise page.not_understood("person", "has no profile link in a comment")
    is_deleted = DELETED_NAME in {*(link.get("title") for link in links), *map(text_of, links)}
    return None if is_deleted else person


def record(context: CrawlContext, page: Page, parsed: CommentsPage, at: float) -> Key | None:
    """Plan the collections of new people; the comments themselves are not stored."""
    ledger = context.ledger
    for person in parsed.people:
        plan_marks(ledger, context.scope, person, "comments")
    uids = [person.uid for person in parsed.people]
    is_full = len(uids) == COMMENTS_PER_PAGE  # otherwise a deleted author is left out, perhaps the last one
    seam = Seam(uids[-1] if is_full else None, uids[0] if uids else None, last_item_before(ledger, page.key))
    list_pass = ListPass(ledger, page, at)
    ledger.mark_done(page, list_pass.at, seen=len(uids), left_out=parsed.left_out, last_item=seam.shown)
    is_at_reach = page.key.start + COMMENTS_PER_PAGE >= COMMENTS_REACH
    next_url = None if is_at_reach else parsed.next_url
    # A page without people (all deleted) does not end the list, so one item counts as seen.
    following = next_key(address(context.site, page.key), page.key, next_url, seen=max(1, len(uids)))
    return list_pass.follow(following, seam=seam)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("comments", movie_id) for movie_id in scope.movie_ids)


def _most_pages_per_list(ledger: Ledger, scope: Scope) -> float | None:
    return MOST_PAGES["comments"]


COMMENTS = HtmlKind(
    name="comments",
    host="movie",
    topic="people",
    stage="ratings",
    table="ratings",
    subject="movie_id",
    address=address,
    parser=parse_comments,
    is_list_of_people=True,
    record=record,
    first_pages=_first_pages,
    unplanned=unread_lists_of_people,
    pages_per_list=_most_pages_per_list,
)
