"""`MovieRow`: a movie as both sources show it, and what their parsers share."""

import unicodedata
from dataclasses import dataclass

YEARS = range(1850, 2201)


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


def folded(text: str) -> str:
    """Return a text for comparison: without white space, case, and the width of signs."""
    return "".join(unicodedata.normalize("NFKC", character).casefold().strip() for character in text)
