"""`MovieRow`: a movie as either source shows it, how it is stored, and what both say of it if they differ.

Guests are given wrong data at times. So what each source says of a movie's year, kind and votes is kept, and where
both say it and differ, both values go to the table `contradictions`. The table `movies` has the movie as the preferred
source shows it.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from crawler.kinds.kind import CrawlContext
from crawler.ledger.claims import Claim, claims_of, set_claim, set_contradictions, set_totals

YEARS = range(1850, 2201)
VOTES_SHARE = 0.2  # of the larger number: votes grow between two readings
VOTES_SLACK = 20


@dataclass(frozen=True)
class MovieRow:
    """A movie, as in `dataset.schema.Movie` without `crawled_at`."""

    movie_id: str
    title: str
    original_title: str | None
    year: int | None
    kind: str | None
    genres: tuple[str, ...]
    directors: tuple[str, ...]
    rating_mean: float | None
    rating_count: int | None


def store_movie(
    context: CrawlContext,
    movie: MovieRow,
    source: str,
    at: float,
    totals: Mapping[str, int | None] = MappingProxyType({}),
) -> None:
    """Store a movie, if no preferred source has shown it, and what it contradicts.

    Args:
        context: the ledger and the scope, which names the preferred source.
        movie: the movie.
        source: `html` or `json`.
        at: when it was shown.
        totals: columns of the table `movies` that only this source has.
    """
    ledger = context.ledger
    set_claim(ledger, movie.movie_id, source, Claim(movie.year, movie.kind, movie.rating_count), at)
    claims = claims_of(ledger, movie.movie_id)
    set_contradictions(ledger, movie.movie_id, contradictions(claims), at)
    row: dict[str, Any] = asdict(movie) | {
        "genres": json.dumps(movie.genres, ensure_ascii=False),
        "directors": json.dumps(movie.directors, ensure_ascii=False),
        "crawled_at": at,
    }
    preferred = next((one for one in context.scope.sources("movie") if one in claims), source)
    if source == preferred or len(claims) == 1:
        ledger.upsert("movies", [row | dict(totals)])
    elif totals:
        set_totals(ledger, movie.movie_id, totals)


def contradictions(claims: Mapping[str, Claim]) -> dict[str, tuple[str, str]]:
    """Return the fields in which two sources differ, each with what the HTML and what the JSON says.

    What only one of them says is no contradiction.
    """
    if len(claims) < 2:
        return {}
    pairs = zip(Claim._fields, claims["html"], claims["json"], strict=True)
    return {
        field: (str(one), str(other))
        for field, one, other in pairs
        if one is not None and other is not None and not _agree(field, one, other)
    }


def _agree(field: str, one: Any, other: Any) -> bool:
    if field == "rating_count":
        return bool(abs(one - other) <= max(VOTES_SLACK, VOTES_SHARE * max(one, other)))
    return bool(one == other)


def folded(text: str) -> str:
    """Return a text for comparison: without white space, case, and the width of signs."""
    return "".join(unicodedata.normalize("NFKC", character).casefold().strip() for character in text)
