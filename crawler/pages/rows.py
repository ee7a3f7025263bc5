"""What the parsers return, and the ways in which a page can be none of that.

A parser either returns its page or raises one of `PageGone`, `Refused` and `NotUnderstood`;
it never returns an empty page for markup it does not know.
"""

from dataclasses import dataclass
from datetime import date


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


@dataclass(frozen=True)
class MoviePage:
    """A movie's page. Totals are what the page claims, None where it does not say."""

    movie: MovieRow
    photo_total: int | None
    seen_total: int | None


@dataclass(frozen=True)
class Person:
    """A person: `user_id` is the number where the page shows it (avatar or link), else the uid itself.

    `uid` is the number or slug in the link; no name is ever kept.
    """

    user_id: str
    uid: str


@dataclass(frozen=True)
class RatingRow:
    """A watched movie in a collection; `stars` 1–5, None where it was not rated."""

    movie_id: str
    stars: int | None
    rated_on: date | None


@dataclass(frozen=True)
class CollectionPage:
    """A page of a user's collection. An empty `ratings` means past the end (or an empty collection)."""

    person: Person
    ratings: tuple[RatingRow, ...]
    claimed_total: int | None
    next_url: str | None


@dataclass(frozen=True)
class CommentsPage:
    """A page of a movie's comments: the people who wrote them, in order, deleted ones left out."""

    people: tuple[Person, ...]
    next_url: str | None


@dataclass(frozen=True)
class FrameRow:
    """A photo in a list. Sizes are of the original, None where the list does not say."""

    frame_id: str
    width_px: int | None
    height_px: int | None
    image_url: str


@dataclass(frozen=True)
class PhotoListPage:
    """A page of a movie's photos of one kind."""

    movie_id: str
    frames: tuple[FrameRow, ...]
    claimed_total: int | None
    next_url: str | None


@dataclass(frozen=True)
class LikerRow:
    """Someone who likes a photo."""

    person: Person
    liked_on: date | None


@dataclass(frozen=True)
class PhotoLikersPage:
    """A photo's page with the people who like it (100 a page).

    `like_count` is what the like widget claims (anonymous likers included), None where there is
    no widget; `n_anonymous` counts the listed likers without a profile.
    """

    frame_id: str
    like_count: int | None
    likers: tuple[LikerRow, ...]
    n_anonymous: int
    next_url: str | None


@dataclass(frozen=True)
class UserLikeRow:
    """A photo someone likes."""

    frame_id: str
    liked_on: date | None


@dataclass(frozen=True)
class UserLikesPage:
    """A page of the photos a user likes (15 a page)."""

    uid: str
    likes: tuple[UserLikeRow, ...]
    next_url: str | None


class PageGone(Exception):  # noqa: N818 - an outcome, not an error
    """The page says that the movie, photo or person does not exist (any more). The message says how."""


class Refused(Exception):  # noqa: N818 - an outcome, not an error
    """The site refuses us: blocked, banned, a login wall or a rate limit. The message names the sign."""


class NotUnderstood(Exception):  # noqa: N818 - an outcome, not an error
    """The markup is not what the parser knows. The message names the page kind and the field."""

    def __init__(self, page_kind: str, field: str, detail: str = "not found") -> None:
        super().__init__(f"{page_kind} page: field '{field}' {detail}")
        self.page_kind = page_kind
        self.field = field
