"""A movie's page: `/subject/<id>/` (markup known from saved real pages)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from crawler.kinds.document import Document
from crawler.kinds.estimates import surviving, unread_movies
from crawler.kinds.html import HtmlKind
from crawler.kinds.kind import CrawlContext, Fills, one_page
from crawler.kinds.movie_row import YEARS, MovieRow, folded, store_movie
from crawler.kinds.tree import compiled, one_line, select, text_of, title_of
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Page
from crawler.scope import Scope
from crawler.sites import Site

_LONGEST_TITLE = 1000  # characters
_TITLE_SUFFIX = re.compile(r"\s*[(（]豆瓣[)）]$")
_KIND_OF_TYPE = {"Movie": "movie", "TVSeries": "tv"}
_AFTER = etree.XPath(
    "following-sibling::node()/descendant-or-self::node()"
    "[self::a[not(starts-with(@href, 'javascript:'))] or self::br or self::text()[not(ancestor::a)]]",
    smart_strings=False,
)
_FIELDS = {"v:genre", "v:initialReleaseDate", "v:runtime", "video:director", "#db-nav-movie"}
_FIELD_LABELS = ("导演", "编剧", "主演", "类型", "制片国家", "上映日期", "首播", "集数", "片长", "IMDb")
_LABELS_OF_OTHER_KINDS = ("作者", "出版社", "出版者", "ISBN", "表演者", "专辑类型", "介质", "唱片数")
_OF_OTHER_KINDS = (".mainphoto", ".poster-col3", ".poster-col4", "#db-usr-profile", ".fav-list", ".topic-fav-list")
_JSON_LD_TYPE = re.compile(r'"@type"\s*:\s*"(Movie|TVSeries)"')


@dataclass(frozen=True)
class MoviePage:
    """A movie's page. Totals are what the page claims, None if it does not say."""

    movie: MovieRow
    photo_total: int | None
    seen_total: int | None


def address(site: Site, key: Key) -> str:
    """Return the address of a movie's page."""
    return f"{site.movie}/subject/{key.subject}/"


def parse_movie(html: str, url: str) -> MoviePage:
    """Return the movie of a page, with the numbers of photos and viewers that the page claims.

    Always present: the title (both in `<title>` and as `v:itemreviewed`) and `#info`, with something that only films
    have, for the pages of books and music have the same title and rating. May be absent: the year (not released),
    genres and directors (no such label in `#info`), the rating (an empty mean: too few votes; no `#interest_sectl`:
    switched off) and both totals.

    Raises:
        NotUnderstood: a field that this page must have is missing, or a field has an impossible value.
    """
    page = Document.read("movie", html, url)
    movie_id = page.id_in_url("movie_id", r"/subject/([0-9]+)/?$")
    title, original_title = _titles(page)
    info = page.css("#info")
    if not info:
        raise page.not_understood("info")
    page.require_kind(_is_film(page, info), _OF_OTHER_KINDS)
    mean, count = _rating(page)
    movie = MovieRow(
        movie_id=movie_id,
        title=title,
        original_title=original_title,
        year=_year(page, is_rated=mean is not None),
        kind=_kind(page, info),
        genres=_genres(page, info),
        directors=_directors(page, info),
        rating_mean=mean,
        rating_count=count,
    )
    return MoviePage(movie, _photo_total(page), _seen_total(page))


def _is_film(page: Document, info: list[etree._Element]) -> bool:
    """Return whether the page's facts are those of a film or series."""
    labels = [text_of(label) for label in select(info, "span.pl")]
    if any(label.startswith(_LABELS_OF_OTHER_KINDS) for label in labels):
        return False
    return (
        any(label.startswith(_FIELD_LABELS) for label in labels)
        or not page.marks.isdisjoint(_FIELDS)
        or any(map(_JSON_LD_TYPE.search, page.css('script[type="application/ld+json"]::text')))
    )


def _titles(page: Document) -> tuple[str, str | None]:
    """Return the Chinese title and, if it differs, the original title."""
    title = _TITLE_SUFFIX.sub("", title_of(page.root))
    if not title:
        raise page.not_understood("title", "not found in <title>")
    reviewed = text_of(page.css('h1 [property="v:itemreviewed"]'))
    if not reviewed:
        raise page.not_understood("title", "not found as v:itemreviewed")
    if max(len(title), len(reviewed)) > _LONGEST_TITLE:
        raise page.not_understood("title", "is as long as no title")
    picture = one_line(next(iter(page.css("#mainpic img::attr(alt)")), ""))
    original = _original_title(page, title, reviewed, picture)
    _require_readable(page, "title", title)
    _require_readable(page, "original_title", original or "")
    return title, original


def _original_title(page: Document, title: str, reviewed: str, picture: str) -> str | None:
    """Return the original title, from the heading after the Chinese title or from the poster's name.

    A poster's name is the original title, the Chinese title, or both. If heading and poster agree, the poster's
    spelling is returned; if they differ, the heading's. If the heading only repeats the Chinese title,
    the poster's name is returned unless it is the Chinese title too.
    """
    in_heading, of_poster = _after(title, reviewed), _after(title, picture)
    if of_poster is None:
        of_poster = picture
    if in_heading is None and not picture:
        raise page.not_understood("original_title", f"cannot be read: {reviewed[:60]!r} does not start as <title> does")
    is_same = folded(in_heading or "") == folded(of_poster)
    original = of_poster if is_same or not in_heading else in_heading
    return original if original and folded(original) != folded(title) else None


def _after(title: str, text: str) -> str | None:
    """Return the rest of `text` after `title`, None if it does not start with it.

    The comparison ignores white space, invisible characters, case, and the width of a colon.
    """
    wanted, read = folded(title), ""
    for end, character in enumerate(text, 1):
        read += folded(character)
        if read == wanted and not text[end : end + 1].strip():
            return text[end:].strip()
        if not wanted.startswith(read):
            break
    return None


def _year(page: Document, is_rated: bool) -> int | None:
    digits = text_of(page.css("h1 span.year")).strip(" ()（）")
    if digits:
        year = page.count("year", digits)
        if year not in YEARS:
            raise page.not_understood("year", f"is {year}")
        return year
    if is_rated and page.css('#info [property="v:initialReleaseDate"]'):
        raise page.not_understood("year", "not found, though the movie is out and rated")
    return None


def _kind(page: Document, info: list[etree._Element]) -> str:
    """Return the kind from the JSON-LD (read by pattern, because it is often invalid JSON) or the episodes label."""
    for script in page.css('script[type="application/ld+json"]::text'):
        if found := _JSON_LD_TYPE.search(script):
            return _KIND_OF_TYPE[found[1]]
    return "tv" if _label(info, "集数") else "movie"


def _genres(page: Document, info: list[etree._Element]) -> tuple[str, ...]:
    genres = _distinct(text_of(genre) for genre in select(info, '[property="v:genre"]'))
    if not genres and _label(info, "类型"):
        raise page.not_understood("genres", "not found beside the label 类型")
    return _readable(page, "genres", genres)


def _directors(page: Document, info: list[etree._Element]) -> tuple[str, ...]:
    """Return the directors, linked or not: all names after the label, up to the end of its line."""
    label = _label(info, "导演")
    names = (
        _distinct(_names_after(label[0])) if label else _distinct(map(text_of, select(info, 'a[rel~="v:directedBy"]')))
    )
    if label and not names:
        raise page.not_understood("directors", "not found beside the label 导演")
    return _readable(page, "directors", names)


def _label(info: list[etree._Element], text: str) -> list[etree._Element]:
    find = compiled("span.pl", "[starts-with(normalize-space(), $text)]")
    return [label for one in info for label in find(one, text=text)]


def _names_after(label: etree._Element) -> Iterator[str]:
    """Yield the names in links, and between them those separated by `/` (a link to expand the list is not a name)."""
    for node in _AFTER(label):
        if isinstance(node, str):
            yield from (one_line(name).strip(" :：") for name in node.split("/"))
        elif node.tag == "br":
            return
        else:
            yield text_of(node)


def _rating(page: Document) -> tuple[float | None, int | None]:
    section = page.css("#interest_sectl")
    if not section:
        if page.css('[property="v:average"], [property="v:votes"]'):
            raise page.not_understood("rating_mean", "is outside #interest_sectl")
        return None, None
    strong = select(section, 'strong[property="v:average"]')
    if not strong:
        if select(section, '.rating_wrap, .rating_self, [rel="v:rating"], [property="v:votes"]'):
            raise page.not_understood("rating_mean")
        return None, None
    text = text_of(strong)
    if not text:
        return None, None
    if not re.fullmatch(r"10(\.0)?|[0-9](\.[0-9])?", text):
        raise page.not_understood("rating_mean", f"is {text[:20]!r}, not a mean out of 10")
    votes = select(section, '[property="v:votes"]')
    if not votes:
        raise page.not_understood("rating_count")
    return float(text), page.count("rating_count", text_of(votes))


def _photo_total(page: Document) -> int | None:
    link = page.css('#related-pic h2 a[href*="/all_photos"]')
    if link:
        return page.count_after("photo_total", "图片 ?([0-9]+)", text_of(link))
    if page.css('.related-pic-bd li:not(.label-trailer) a[href*="/photos/photo/"]'):
        raise page.not_understood("photo_total", "not found, though there are photos")
    return None


def _seen_total(page: Document) -> int | None:
    links = page.css('.subject-others-interests-ft a[href*="status=P"]')
    return page.count_after("seen_total", "^([0-9]+) ?人看过", text_of(links)) if links else None


def _distinct(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _readable(page: Document, field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        _require_readable(page, field, text)
    return texts


def _require_readable(page: Document, field: str, text: str) -> None:
    if "\ufffd" in text:
        raise page.not_understood(field, f"holds broken characters: {text[:60]!r}")


def record(context: CrawlContext, page: Page, parsed: MoviePage, at: float) -> None:
    """Store the movie."""
    totals = {"photo_total": parsed.photo_total, "seen_total": parsed.seen_total}
    store_movie(context, parsed.movie, "html", at, totals)
    context.ledger.mark_done(page, at, seen=1)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("movie", movie_id) for movie_id in surviving(ledger, scope).movie_ids)


MOVIE = HtmlKind(
    name="movie",
    host="movie",
    topic="movie",
    stage="ratings",
    phase=1,  # when the ratings are complete
    table="movies",
    subject="movie_id",
    address=address,
    parser=parse_movie,
    record=record,
    first_pages=_first_pages,
    unplanned=unread_movies,
    pages_per_list=one_page,
    fills=Fills(
        MoviePage, lambda parsed: (parsed.movie,), {"year": 0.8, "genres": 0.8, "directors": 0.7, "rating_mean": 0.5}
    ),
    refresh_days=90.0,
)
