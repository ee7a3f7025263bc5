"""The records of the invented world: people, movies, frames, ratings, comments and likes.

What only an odd world has (`oddities`) has defaults here: marks without a date, merged movies, items that break a page.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from crawler.sandbox.pictures import Picture

MovieState = Literal["open", "removed", "not_listed", "in_review", "login_only", "censored", "merged"]
LISTED_STATES = ("open", "login_only", "censored", "merged")
DirectorLink = Literal["celebrity", "personage", "search"]
RatingState = Literal["shown", "too_few", "off"]
FRAME_KINDS = ("still", "poster", "wallpaper")


@dataclass(frozen=True)
class User:
    """A person. `user_id` is their number, `slug` the address that they chose, if any.

    `avatar_version` is None for the default avatar. Such people have no slug, because no page would show their
    number. `closing` is the text on a deleted user's profile, None for an active user.
    """

    user_id: str
    slug: str | None
    name: str
    avatar_version: int | None
    closing: str | None = None

    @property
    def uid(self) -> str:
        """The id in the user's address: the slug, or the number of a user without a slug."""
        return self.slug or self.user_id


@dataclass(frozen=True)
class Director:
    """A director as a movie's page credits them. The link `search` means that the director has no page."""

    name: str
    link: DirectorLink
    number: int


@dataclass(frozen=True)
class Movie:
    """A movie. `english` is None if the Chinese title is the original; `gap` separates the two titles."""

    movie_id: str
    chinese: str
    english: str | None
    gap: str
    year: int
    kind: Literal["movie", "tv"]
    genres: tuple[str, ...]
    directors: tuple[Director, ...]
    runtime_min: int | None
    state: MovieState
    rating: RatingState
    rating_mean: float
    rating_count: int
    seen_total: int

    @property
    def is_listed(self) -> bool:
        """Whether people's lists show its title (a deleted movie reads 未知电影)."""
        return self.state in LISTED_STATES

    @property
    def shown_title(self) -> str:
        """The heading of the movie's page, in which double spaces occur."""
        return f"{self.chinese}{self.gap}{self.english}" if self.english else self.chinese

    @property
    def original(self) -> str:
        """The original title."""
        return self.english or self.chinese


@dataclass(frozen=True)
class Frame:
    """A photo of a movie. `theme` is the number of its visual theme, None for a filler."""

    frame_id: str
    movie_id: str
    kind: str
    theme: int | None
    picture: Picture
    width_px: int
    height_px: int
    uploaded_on: date
    n_anonymous: int
    has_data_id: bool
    widget: Literal["fav", "react"]


@dataclass(frozen=True)
class Rating:
    """A watched movie. Hidden items count in the collection's total but are not shown."""

    user_id: str
    movie_id: str
    stars: int | None
    rated_on: date | None
    comment_id: str
    is_hidden: bool


@dataclass(frozen=True)
class Comment:
    """A short comment. With `by_number`, its links use the user's number although the user has a slug."""

    comment_id: str
    movie_id: str
    user_id: str
    stars: int | None
    written_at: datetime
    votes: int
    text: str
    by_number: bool


@dataclass(frozen=True)
class Like:
    """A user's like of a frame; `by_number` as in `Comment`."""

    user_id: str
    frame_id: str
    liked_at: datetime
    by_number: bool


@dataclass
class Contents:
    """Everything that the site shows, by the key of its page; lists are in the order of the pages.

    Attributes:
        merged: for the old id of a merged movie, the id of the movie that it leads to.
        links_of: for the id of a mark, the second movie that its text links to.
        misreported: movies with other facts in the HTML than in the JSON, by id.
        bad_items: ids of marks, comments and frames that break every JSON page that contains them.
        walled: ids of people whose collection always leads to the login page.
    """

    users: dict[str, User] = field(default_factory=dict)
    by_slug: dict[str, User] = field(default_factory=dict)
    movies: dict[str, Movie] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    frames_of: dict[str, list[Frame]] = field(default_factory=dict)
    ratings_of: dict[str, list[Rating]] = field(default_factory=dict)
    comments_of: dict[str, list[Comment]] = field(default_factory=dict)
    likers_of: dict[str, list[Like]] = field(default_factory=dict)
    likes_of: dict[str, list[Like]] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    links_of: dict[str, str] = field(default_factory=dict)
    misreported: dict[str, Movie] = field(default_factory=dict)
    bad_items: frozenset[str] = frozenset()
    walled: frozenset[str] = frozenset()


def comment_id(user_id: str, movie_id: str) -> str:
    """Return the id of a user's comment on a movie (movie ids are below 10 ** 10)."""
    return str(int(user_id) * 10**10 + int(movie_id))
