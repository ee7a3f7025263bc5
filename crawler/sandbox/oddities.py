"""The oddities of a real site's contents, added to a world: marks without a date, merged and censored movies.

An oddity is a permanent property of the world, chosen by the world's seed and a rate. `with_oddities` returns another
world; the truth of that world (`truth`) says what a guest can know of it. What goes wrong now and then is a fault.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta

from crawler.sandbox.chances import chance
from crawler.sandbox.records import Contents, Movie, MovieState, Rating, comment_id
from crawler.sandbox.world import World
from dataset.errors import UsageError

_BOTH_SHARE, _OLD_SHARE = 0.15, 0.5  # of the people who marked a merged movie: under both ids, under the old id only


@dataclass(frozen=True)
class Oddities:
    """The rate of each oddity, from 0 to 1. With a rate above 0, at least one thing is odd.

    Attributes:
        dateless: marks without a date.
        deleted: movies that are deleted besides the world's own; no mark of a deleted movie has a date or stars.
        autolinks: marks whose text links to a second movie.
        login_only: movies that answer a guest with a bare 404, although people's lists show them.
        censored: movies that answer 204, without a body.
        merged: movies into which another movie was merged; people's lists have either id, or both.
        wrong_data: movies with another year or number of votes in the HTML than in the JSON.
        bad_items: marks, comments and frames that break every JSON page that contains them.
        login_walls: people whose collection always redirects to the login page.

    Raises:
        UsageError: a rate is not between 0 and 1.
    """

    dateless: float = 0.0
    deleted: float = 0.0
    autolinks: float = 0.0
    login_only: float = 0.0
    censored: float = 0.0
    merged: float = 0.0
    wrong_data: float = 0.0
    bad_items: float = 0.0
    login_walls: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise UsageError(f"sandbox oddities: {field.name} is {getattr(self, field.name)}; choose from 0 to 1")


def with_oddities(world: World, oddities: Oddities) -> World:
    """Return a world with oddities; the given world does not change."""
    contents = replace(world.contents)
    draw = _Draw(world.config.seed)
    _close_movies(contents, oddities, draw, world.seed_movie_ids)
    _merge_movies(contents, oddities, draw)
    _spoil_marks(contents, oddities, draw)
    marks = [rating.comment_id for ratings in contents.ratings_of.values() for rating in ratings]
    comments = (comment.comment_id for comments in contents.comments_of.values() for comment in comments)
    listed = [movie.movie_id for movie in contents.movies.values() if movie.state == "open"]
    contents.links_of = {mark: listed[int(mark) % len(listed)] for mark in draw("autolinks", marks, oddities.autolinks)}
    wrong = draw("wrong data", listed, oddities.wrong_data)
    contents.misreported = {movie_id: _misreported(contents.movies[movie_id]) for movie_id in wrong}
    items = dict.fromkeys((*marks, *comments, *contents.frames))
    contents.bad_items = frozenset(draw("bad items", items, oddities.bad_items))
    people = [user.user_id for user in contents.users.values() if user.closing is None]
    contents.walled = frozenset(draw("login walls", people, oddities.login_walls))
    return replace(world, contents=contents)


class _Draw:
    """Draws ids by a rate: `draw(name, ids, rate)` returns at least one if the rate is above 0."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, name: str, ids: Iterable[str], rate: float) -> list[str]:
        ordered = sorted(ids, key=lambda id_: self.chance(name, id_))
        return ordered[: max(1, round(rate * len(ordered)))] if rate else []

    def chance(self, *parts: str) -> float:
        return chance(self.seed, *parts)


def _close_movies(contents: Contents, oddities: Oddities, draw: _Draw, seeds: Collection[str]) -> None:
    """Close movies to guests, with their photos; the movies where a crawl starts stay open."""
    open_ids = [movie.movie_id for movie in contents.movies.values() if movie.state == "open"]
    free = [movie_id for movie_id in open_ids if movie_id not in seeds]
    ways: tuple[tuple[MovieState, float], ...] = (
        ("login_only", oddities.login_only), ("censored", oddities.censored), ("removed", oddities.deleted),
    )  # fmt: skip
    states: dict[str, MovieState] = {}
    for state, rate in ways:
        n = max(1, round(rate * len(open_ids))) if rate else 0
        left = (movie_id for movie_id in free if movie_id not in states)
        states |= dict.fromkeys(sorted(left, key=lambda movie_id: draw.chance(state, movie_id))[:n], state)
    contents.movies = {
        movie_id: replace(movie, state=states.get(movie_id, movie.state)) for movie_id, movie in contents.movies.items()
    }
    contents.frames_of = {movie_id: frames for movie_id, frames in contents.frames_of.items() if movie_id not in states}
    contents.frames = {frame_id: frame for frame_id, frame in contents.frames.items() if frame.movie_id not in states}
    contents.likers_of = {
        frame_id: likes for frame_id, likes in contents.likers_of.items() if frame_id in contents.frames
    }
    contents.likes_of = {
        user_id: [like for like in likes if like.frame_id in contents.frames]
        for user_id, likes in contents.likes_of.items()
    }


def _merge_movies(contents: Contents, oddities: Oddities, draw: _Draw) -> None:
    """Give some movies a second, older id, under which some people have marked them, and some under both."""
    watched = {rating.movie_id for ratings in contents.ratings_of.values() for rating in ratings}
    candidates = [id_ for id_, movie in contents.movies.items() if movie.state == "open" and id_ in watched]
    old_ids: dict[str, str] = {}
    movies = dict(contents.movies)
    for movie_id in draw("merged", candidates, oddities.merged):
        old = next(str(number) for number in range(int(movie_id) + 1, 10**10) if str(number) not in movies)
        movies[old] = replace(movies[movie_id], movie_id=old, state="merged")
        old_ids[movie_id] = old
    contents.movies = movies
    contents.merged = {old: movie_id for movie_id, old in old_ids.items()}

    def marked_twice(rating: Rating) -> list[Rating]:
        if rating.movie_id not in old_ids or rating.rated_on is None:
            return [rating]
        old = replace(
            rating, movie_id=old_ids[rating.movie_id], comment_id=comment_id(rating.user_id, old_ids[rating.movie_id])
        )
        place = draw.chance("old id", rating.comment_id)
        if place < _BOTH_SHARE:
            earlier = rating.rated_on - timedelta(days=1 + int(place * 1000))
            return [rating, replace(old, rated_on=earlier, stars=rating.stars and 6 - rating.stars)]
        return [old] if place < _BOTH_SHARE + _OLD_SHARE else [rating]

    if old_ids:
        _replace_ratings(contents, marked_twice)
        for ratings in contents.ratings_of.values():
            ratings.sort(key=lambda rating: rating.rated_on or date.min, reverse=True)


def _spoil_marks(contents: Contents, oddities: Oddities, draw: _Draw) -> None:
    marks = [rating.comment_id for ratings in contents.ratings_of.values() for rating in ratings]
    dateless = set(draw("dateless", marks, oddities.dateless))

    def spoilt(rating: Rating) -> list[Rating]:
        if oddities.deleted and not contents.movies[rating.movie_id].is_listed:
            return [replace(rating, stars=None, rated_on=None)]
        return [replace(rating, rated_on=None) if rating.comment_id in dateless else rating]

    _replace_ratings(contents, spoilt)


def _replace_ratings(contents: Contents, by: Callable[[Rating], list[Rating]]) -> None:
    contents.ratings_of = {
        user_id: [new for rating in ratings for new in by(rating)] for user_id, ratings in contents.ratings_of.items()
    }


def _misreported(movie: Movie) -> Movie:
    """Return what the HTML says of a movie: another year, or far fewer votes."""
    if movie.rating != "shown" or int(movie.movie_id) % 2:
        return replace(movie, year=movie.year + 3)
    return replace(movie, rating_count=movie.rating_count // 10)
