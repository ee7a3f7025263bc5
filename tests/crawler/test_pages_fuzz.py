"""Whatever is done to a page, its parser gives rows that satisfy the schema, or says why not.

Valid pages are cut, doubled, swapped and broken, in their bytes and in their elements.
`DOUBAN_FUZZ_EXAMPLES` sets the number of cases (a few hundred by default; 10,000 in the bench).
"""

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.kinds import KINDS
from crawler.kinds.collection import CollectionPage, RatingRow
from crawler.kinds.comments import CommentsPage
from crawler.kinds.html import HtmlKind
from crawler.kinds.movie import MoviePage
from crawler.kinds.photo import LikerRow, PhotoLikersPage
from crawler.kinds.photos import PhotoListPage
from crawler.kinds.user_likes import UserLikeRow, UserLikesPage
from crawler.page import Answer, Merged, NotUnderstood, PageGone, Person, Refused, Unavailable

HTML_KINDS = sorted(kind.name for kind in KINDS.values() if isinstance(kind, HtmlKind))
PAGES = Path(__file__).parent / "pages"
SOURCES = [
    (folder.name.split("-")[0], json.loads((folder / "output.json").read_text("utf-8"))["url"], html.read_bytes())
    for folder in sorted(PAGES.iterdir())
    for html in [folder / "input.html"]
]
EXAMPLES = int(os.environ.get("DOUBAN_FUZZ_EXAMPLES", "400"))
PIECES = re.compile(rb"<[^<>]*>|[^<>]+")
BREAKERS = [
    b"<", b">", b"&", b"&#0;", b"&#xD800;", b"&amp", b"&nbsp", b'"', b"'", b"\x00", b"\xff", b"\xe7\x9c", b"<!--",
    b"-->", b"<script>", b"</script>", b"<svg><title>", b"</ul>", b"<li>", b"<div class='item'>", b"<br>", b"]]>",
    b"<a href='//['>", b"<span class='rating9-t'>", b"0", b"-1", b"999999999999999999999", "٣".encode(),
    "页面不存在".encode(),
]  # fmt: skip


@st.composite
def damaged_pages(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A page after one to four damages, and at times asked for as another kind."""
    kind, url, body = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 4))):
        by_element = draw(st.booleans())
        parts = PIECES.findall(body) if by_element else [body[i : i + 1] for i in range(len(body))]
        if not parts:
            break
        a, b, c = sorted(draw(st.integers(0, len(parts))) for _ in range(3))
        match draw(st.sampled_from(("cut", "double", "swap", "break", "end"))):
            case "cut":
                parts[a : min(b, a + 40)] = []
            case "double":
                parts[a:a] = parts[b:c]
            case "swap":
                parts[a:c] = parts[b:c] + parts[a:b]
            case "break":
                parts[a:b] = [draw(st.sampled_from(BREAKERS)) + b"".join(parts[a:b])]
            case "end":
                parts[c:] = [b"</body></html>"]
        body = b"".join(parts)
    return draw(st.sampled_from([kind] * 9 + HTML_KINDS)), url, body


@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(damaged_pages())
def test_damaged_page_gives_valid_rows_or_says_why_not(page: tuple[str, str, bytes]) -> None:
    kind, url, body = page
    outcome = outcome_of(kind, status=200, url=url, body=body)
    if isinstance(outcome, NotUnderstood):
        assert outcome.page_kind == kind
        assert outcome.field
    elif not isinstance(outcome, Exception):
        require_valid(outcome, url)


@settings(max_examples=EXAMPLES // 2, derandomize=True, database=None, deadline=None)
@given(st.sampled_from(HTML_KINDS), st.sampled_from([url for _, url, _ in SOURCES]), st.binary() | st.text())
def test_no_random_text_is_read_as_a_page(kind: str, url: str, noise: bytes | str) -> None:
    body = noise if isinstance(noise, bytes) else noise.encode() + b"</html>"
    assert isinstance(outcome_of(kind, status=200, url=url, body=body), Exception)


@settings(max_examples=EXAMPLES // 2, derandomize=True, database=None, deadline=None)
@given(st.sampled_from(HTML_KINDS), st.integers(100, 599), st.text(max_size=30), st.none() | st.text(max_size=30))
def test_answer_without_a_body_ends_in_an_outcome(
    kind: str, status: int, location: str, content_type: str | None
) -> None:
    url = "https://movie.douban.com/subject/1/"
    answer = {"status": status, "url": url, "body": b"", "location": location, "content_type": content_type}
    assert isinstance(outcome_of(kind, **answer), Exception)


def outcome_of(kind: str, **answer: Any) -> Any:
    """Return the page or the outcome; any other exception is what this file looks for."""
    try:
        return KINDS[kind].parse(Answer(**answer))
    except (PageGone, Unavailable, Merged, Refused, NotUnderstood) as outcome:
        return outcome


def require_valid(page: Any, url: str) -> None:
    """Check what the tables' schemas and the crawl ask of a page."""
    match page:
        case MoviePage():
            require_valid_movie(page)
        case CommentsPage():
            assert all(is_person(person) for person in page.people)
        case PhotoListPage():
            for frame in page.frames:
                assert is_id(frame.frame_id)
                assert all(size is None or 1 <= size < 2**32 for size in (frame.width_px, frame.height_px))
                assert frame.image_url.startswith(("https://", "http://"))
                assert f"/p{frame.frame_id}." in frame.image_url
            assert is_count(page.claimed_total)
        case PhotoLikersPage():
            assert is_id(page.frame_id)
            assert all(isinstance(row, LikerRow) and is_person(row.person) for row in page.likers)
            assert all(row.liked_on is None or type(row.liked_on) is date for row in page.likers)
            assert is_count(page.like_count)
            assert page.n_anonymous >= 0
        case CollectionPage():
            assert is_person(page.person)
            assert all(isinstance(row, RatingRow) and is_id(row.movie_id) for row in page.ratings)
            assert all(row.stars in (None, 1, 2, 3, 4, 5) for row in page.ratings)
            assert all(row.rated_on is None or type(row.rated_on) is date for row in page.ratings)
            assert is_count(page.claimed_total)
        case UserLikesPage():
            assert page.uid
            assert all(isinstance(row, UserLikeRow) and is_id(row.frame_id) for row in page.likes)
        case _:
            raise AssertionError(f"{page!r} is no page")
    next_url = getattr(page, "next_url", None)
    if next_url is not None:
        ours, theirs = urlsplit(url), urlsplit(next_url)
        assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)


def require_valid_movie(page: MoviePage) -> None:
    movie = page.movie
    assert is_id(movie.movie_id)
    assert movie.title == " ".join(movie.title.split()) != ""
    assert movie.original_title is None or movie.original_title not in ("", movie.title)
    assert movie.year is None or 1850 <= movie.year <= 2200
    assert movie.kind in ("movie", "tv")
    assert all(movie.genres)
    assert all(movie.directors)
    assert len(set(movie.directors)) == len(movie.directors)
    assert movie.rating_mean is None or 0 <= movie.rating_mean <= 10
    assert (movie.rating_mean is None) == (movie.rating_count is None)
    assert all(is_count(n) for n in (movie.rating_count, page.photo_total, page.seen_total))


def is_id(text: str) -> bool:
    return re.fullmatch("[0-9]+", text) is not None


def is_count(number: int | None) -> bool:
    return number is None or 0 <= number < 2**32


def is_person(person: Person) -> bool:
    return bool(person.user_id.strip() and person.uid.strip())
