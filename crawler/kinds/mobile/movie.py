"""A movie in the mobile JSON: `/movie/<id>`, for a series also `/tv/<id>` (known from recorded answers)."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator

from crawler.kinds.estimates import surviving, unread_movies
from crawler.kinds.kind import CrawlContext, Fills, one_page
from crawler.kinds.mobile import API
from crawler.kinds.mobile.json_kind import JsonKind
from crawler.kinds.mobile.paging import Place, with_detours
from crawler.kinds.mobile.values import CountOrNone, Fields, Id, Line, NumberOrNone, absent, read
from crawler.kinds.movie_row import YEARS, MovieRow, folded, store_movie
from crawler.ledger.ledger import Ledger
from crawler.page import Key, Merged, NotUnderstood, Page
from crawler.scope import Scope
from crawler.sites import Site

_TYPES = ("movie", "tv")


def _names(value: Any) -> Any:
    """Return the names in a list of texts, or of objects with a name."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("is not a list")
    return tuple(one.get("name") if isinstance(one, dict) else one for one in value)


Names = Annotated[tuple[Line, ...], BeforeValidator(_names)]


class _Rating(Fields):
    value: NumberOrNone = None
    count: CountOrNone = None
    max: NumberOrNone = None


class _Movie(Fields):
    id: Id
    title: Line
    type: Line = ""
    subtype: Line = ""
    is_tv: bool | None = None
    original_title: Line = ""
    year: Line | int = ""
    genres: Names = ()
    directors: Names = ()
    rating: Annotated[_Rating | None, BeforeValidator(absent)] = None


def address(site: Site, key: Key) -> str:
    """Return the address of a movie; `tv` is the variant of a series that does not answer as a movie."""
    return f"{site.mobile}{API}/{Place.of(key).path}/{key.subject}"


def parse_movie_json(value: Any, movie_id: str) -> MovieRow:
    """Return the movie in an answer.

    Always present: the id, the title and the type. May be absent or empty: the original title (it equals the title),
    the year, genres, directors, and the rating (a mean or a count of 0: too few votes, or not out yet).

    Raises:
        Merged: the answer is about another movie, into which this one was merged.
        NotUnderstood: a field is missing or has an impossible value.
    """
    movie: _Movie = read("movie_json", _Movie, value)
    if movie.id != movie_id:
        raise Merged(movie.id)
    if not movie.title:
        raise NotUnderstood("movie_json", "title")
    mean, count = _rating(movie.rating)
    return MovieRow(
        movie_id=movie_id,
        title=movie.title,
        original_title=movie.original_title if folded(movie.original_title) not in ("", folded(movie.title)) else None,
        year=_year(movie.year),
        kind=_kind(movie),
        genres=tuple(dict.fromkeys(filter(None, movie.genres))),
        directors=tuple(dict.fromkeys(filter(None, movie.directors))),
        rating_mean=mean,
        rating_count=count,
    )


def _kind(movie: _Movie) -> str:
    """Return what the body says, not the path that was asked for."""
    said = movie.type or movie.subtype or ("" if movie.is_tv is None else _TYPES[movie.is_tv])
    if said not in _TYPES:
        raise NotUnderstood("movie_json", "type", "is not that of a film or series")
    return said


def _year(given: str | int) -> int | None:
    text = str(given).strip()
    if text in ("", "0"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) == 4 and int(text) in YEARS):
        raise NotUnderstood("movie_json", "year", "is not a year")
    return int(text)


def _rating(rating: _Rating | None) -> tuple[float | None, int | None]:
    if rating is None or not rating.value or not rating.count:
        return None, None
    if rating.max not in (None, 10.0) or not 0 <= rating.value <= 10:
        raise NotUnderstood("movie_json", "rating.value", "is not a mean out of 10")
    return rating.value, rating.count


def _store(context: CrawlContext, page: Page, parsed: MovieRow, at: float) -> None:
    store_movie(context, parsed, "json", at)
    context.ledger.mark_done(page, at, seen=1)


def _first_pages(ledger: Ledger, scope: Scope) -> Iterator[Key]:
    return (Key("movie_json", movie_id) for movie_id in surviving(ledger, scope).movie_ids)


MOVIE_JSON = JsonKind(
    name="movie_json",
    topic="movie",
    stage="ratings",
    phase=1,  # when the ratings are complete
    table="movies",
    subject="movie_id",
    variants=("", "tv"),
    address=address,
    parser=parse_movie_json,
    wanted="title",
    record=with_detours(_store, page_size=0),
    first_pages=_first_pages,
    unplanned=unread_movies,
    pages_per_list=one_page,
    fills=Fills(MovieRow, lambda parsed: (parsed,), {"year": 0.8, "genres": 0.8, "directors": 0.7, "rating_mean": 0.5}),
    refresh_days=90.0,
)
