"""The invented world behind the sandbox: who watched, rated, commented on and liked what.

`generate_world(config)` is a pure function of its configuration. Each part draws from its own random stream, so
that a change in one part does not affect the others.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np

from crawler.sandbox.drawn import dressed
from crawler.sandbox.inventory import invent_frames, invent_movies, invent_users
from crawler.sandbox.records import Comment, Contents, Like, Movie, Rating, User, comment_id
from crawler.sandbox.tastes import (
    FloatArray,
    Tastes,
    choose_movies,
    draw_tastes,
    give_stars,
    like_probability,
    utilities,
)
from crawler.worlds.names import invent_remark
from crawler.worlds.presets import PRESETS, PresetName
from crawler.worlds.world import draw_world
from dataset.errors import UsageError

COMMENTS_REACH = 200  # number of a movie's comments that a logged-out reader sees
INTERESTS_REACH = 500  # number of a movie's comments that the mobile JSON lists
_N_SEED_MOVIES = 20
_FIRST_DAY, _LAST_DAY = date(2019, 9, 1), date(2026, 6, 30)

Generator = np.random.Generator


@dataclass(frozen=True)
class WorldConfig:
    """The size and seed of a world; equal configurations give equal worlds on any machine.

    With a `preset`, it is that world of `crawler.worlds.presets`, and the preset decides its size.

    Raises:
        UsageError: a number is out of range.
    """

    seed: int = 0
    n_users: int = 300
    n_movies: int = 120
    mean_ratings: float = 18.0
    preset: PresetName | None = None

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("seed", self.seed, 0, 2**63 - 1),
            ("n_users", self.n_users, 10, 20_000),
            ("n_movies", self.n_movies, 10, 5_000),
            ("mean_ratings", self.mean_ratings, 1, 500),
        ):
            if not least <= value <= most:
                raise UsageError(f"sandbox world: {name} is {value}; choose a number from {least} to {most}")


@dataclass(frozen=True)
class World:
    """An invented world: its contents, the tastes behind them, and the movies where a crawl starts.

    The rows of `tastes` are in the order of `contents.users` and `contents.movies`.
    """

    config: WorldConfig
    tastes: Tastes
    contents: Contents
    seed_movie_ids: tuple[str, ...]

    def user(self, uid: str) -> User | None:
        """Return the user with this number or slug."""
        return self.contents.users.get(uid) or self.contents.by_slug.get(uid)


def generate_world(config: WorldConfig) -> World:
    """Invent a world."""
    return _of_preset(config, config.preset) if config.preset else _classic(config)


def _classic(config: WorldConfig) -> World:
    """Return a world of the given size; its people have only a few latent tastes."""
    streams = np.random.SeedSequence(config.seed).spawn(7)
    for_tastes, for_users, for_movies, for_frames, for_ratings, for_likes, for_comments = map(
        np.random.default_rng, streams
    )
    tastes = draw_tastes(config.n_users, config.n_movies, for_tastes)
    contents = Contents(users=invent_users(config.n_users, for_users))
    contents.by_slug = {user.slug: user for user in contents.users.values() if user.slug}
    movies = invent_movies(config.n_movies, tastes, for_movies)
    contents.ratings_of = _draw_ratings(config, list(contents.users.values()), movies, tastes, for_ratings)
    contents.movies = {movie.movie_id: movie for movie in _count_votes(movies, contents.ratings_of)}
    contents.frames_of = invent_frames(movies, tastes, for_frames)
    contents.frames = {frame.frame_id: frame for frames in contents.frames_of.values() for frame in frames}
    _draw_likes(contents, tastes, for_likes)
    seeds = _choose_seeds(contents, config)
    _draw_comments(contents, seeds, for_comments)
    return World(config, tastes, contents, seeds)


def _of_preset(config: WorldConfig, preset: PresetName) -> World:
    """Return the world of a preset: everything that its tables have, and comments through which people are found."""
    for_pages, for_comments = map(np.random.default_rng, np.random.SeedSequence([config.seed, 1]).spawn(2))
    drawn = draw_world(PRESETS[preset], config.seed)
    tastes, contents = dressed(drawn, for_pages)
    movies = _count_votes(list(contents.movies.values()), contents.ratings_of)
    contents.movies = {movie.movie_id: movie for movie in movies}
    seeds = _choose_seeds(contents, replace(config, n_users=PRESETS[preset].n_users))
    _draw_comments(contents, seeds, for_comments)
    return World(config, tastes, contents, seeds)


def discoverable_users(world: World, movie_ids: tuple[str, ...], source: str = "html") -> set[str]:
    """Return the ids of the active users whom a logged-out reader finds in these movies' comments.

    Args:
        world: the world.
        movie_ids: the movies whose comments are read.
        source: `html`, or `json`, which does not show the comments among the bad items.
    """
    contents, reach = world.contents, INTERESTS_REACH if source == "json" else COMMENTS_REACH
    lost = contents.bad_items if source == "json" else frozenset()
    reached = (comment for movie_id in movie_ids for comment in contents.comments_of[movie_id][:reach])
    found = {comment.user_id for comment in reached if comment.comment_id not in lost}
    return {user_id for user_id in found if contents.users[user_id].closing is None}


def _draw_ratings(
    config: WorldConfig, users: list[User], movies: list[Movie], tastes: Tastes, generator: Generator
) -> dict[str, list[Rating]]:
    """Return every user's collection, newest first; some are empty, and some have hidden items."""
    utility = utilities(tastes)
    spread = 0.75
    sizes = np.exp(generator.normal(np.log(config.mean_ratings) - spread**2 / 2, spread, size=len(users)))
    sizes = np.clip(np.rint(sizes), 1, config.n_movies // 2).astype(int)
    sizes[generator.random(len(users)) < 0.05] = 0
    ratings_of = {}
    for index, user in enumerate(users):
        n = 0 if user.closing else int(sizes[index])
        ratings_of[user.user_id] = _rate(user, movies, utility[index], n, generator)
    return ratings_of


def _rate(user: User, movies: list[Movie], utility: FloatArray, n: int, generator: Generator) -> list[Rating]:
    chosen = generator.permutation(choose_movies(utility, n, generator))
    stars = give_stars(utility[chosen], generator) if n else chosen
    n_days = (_LAST_DAY - _FIRST_DAY).days
    days = np.sort(generator.integers(int(generator.integers(0, n_days - 60)), n_days, size=n))[::-1]
    is_unrated, is_hidden = generator.random(n) < 0.08, generator.random(n) < 0.06
    hides = generator.random() < 0.12
    return [
        Rating(
            user_id=user.user_id,
            movie_id=movies[movie].movie_id,
            stars=None if is_unrated[i] else int(stars[i]),
            rated_on=_FIRST_DAY + timedelta(days=int(days[i])),
            comment_id=comment_id(user.user_id, movies[movie].movie_id),
            is_hidden=bool(hides and is_hidden[i]),
        )
        for i, movie in enumerate(chosen)
    ]


def _count_votes(movies: list[Movie], ratings_of: dict[str, list[Rating]]) -> list[Movie]:
    """Return the movies with the averages and totals on their pages; each user represents many people."""
    stars_of: dict[str, list[int | None]] = {movie.movie_id: [] for movie in movies}
    for ratings in ratings_of.values():
        for rating in ratings:
            stars_of[rating.movie_id].append(rating.stars)
    counted = []
    for movie in movies:
        seen, stars = stars_of[movie.movie_id], [star for star in stars_of[movie.movie_id] if star]
        mean = round(2 * sum(stars) / len(stars), 1) if stars else 0.0
        crowd = 31 + int(movie.movie_id) % 977
        state = movie.rating if stars or movie.rating == "off" else "too_few"
        votes, total = len(stars) * crowd, len(seen) * crowd + crowd // 3
        counted.append(replace(movie, rating=state, rating_mean=mean, rating_count=votes, seen_total=total))
    return counted


def _draw_likes(contents: Contents, tastes: Tastes, generator: Generator) -> None:
    """Draw the likes of frames of the movies that users visibly watched; every list is newest first."""
    contents.likers_of = {frame_id: [] for frame_id in contents.frames}
    contents.likes_of = {user_id: [] for user_id in contents.users}
    for themes, (user_id, ratings) in zip(tastes.user_themes, contents.ratings_of.items(), strict=True):
        has_slug = contents.users[user_id].slug is not None
        for rating in ratings:
            frames = [] if rating.is_hidden else contents.frames_of.get(rating.movie_id, [])
            chances = generator.random((len(frames), 3))
            for frame, (chance, when, way) in zip(frames, chances.tolist(), strict=True):
                if chance < like_probability(themes, frame.theme):
                    liked_at = _moment(rating.rated_on or _FIRST_DAY, int(when * 86_400 * 3))
                    like = Like(user_id, frame.frame_id, liked_at, by_number=has_slug and way < 0.2)
                    contents.likers_of[frame.frame_id].append(like)
                    contents.likes_of[user_id].append(like)
    for likes in (*contents.likers_of.values(), *contents.likes_of.values()):
        likes.sort(key=lambda like: (like.liked_at, like.user_id, like.frame_id), reverse=True)


def _choose_seeds(contents: Contents, config: WorldConfig) -> tuple[str, ...]:
    """Return the most watched open movies: about 20, more in a world with many users."""
    watched = dict.fromkeys(contents.movies, 0)
    for ratings in contents.ratings_of.values():
        for rating in ratings:
            watched[rating.movie_id] += 1
    still_open = [movie_id for movie_id, movie in contents.movies.items() if movie.state == "open"]
    n = min(max(_N_SEED_MOVIES, config.n_users // 60), max(2, len(still_open) // 3))
    return tuple(sorted(still_open, key=lambda movie_id: (-watched[movie_id], movie_id))[:n])


def _draw_comments(contents: Contents, seeds: tuple[str, ...], generator: Generator) -> None:
    """Draw comments on watched movies, such that nearly all users have one on a seed movie."""
    comments_of: dict[str, list[Comment]] = {movie_id: [] for movie_id in contents.movies}
    room = dict.fromkeys(seeds, COMMENTS_REACH)
    for user in contents.users.values():
        visible = [rating for rating in contents.ratings_of[user.user_id] if not rating.is_hidden]
        commented = [rating for rating in visible if generator.random() < 0.25]
        commented = [rating for rating in commented if room.get(rating.movie_id, 1) > 0]
        if not any(rating.movie_id in room for rating in commented):
            commented.extend(_comment_on_seed(user, visible, room, generator))
        for rating in commented:
            comments_of[rating.movie_id].append(_comment(user, rating, generator))
            if rating.movie_id in room:
                room[rating.movie_id] -= 1
    for comments in comments_of.values():
        comments.sort(key=lambda comment: (comment.written_at, comment.comment_id), reverse=True)
    contents.comments_of = comments_of


def _comment_on_seed(user: User, visible: list[Rating], room: dict[str, int], generator: Generator) -> list[Rating]:
    """Return a rating to comment on, as a list, for a user without a comment on a seed movie; 2% of users get none."""
    if generator.random() < 0.02:
        return []
    watched = [rating for rating in visible if room.get(rating.movie_id, 0) > 0]
    if watched:
        return [watched[generator.integers(len(watched))]]
    emptiest = max(room, key=lambda movie_id: room[movie_id])
    if room[emptiest] <= 0:
        return []
    # The user has since removed the movie from their collection; the comment remains.
    day = _FIRST_DAY + timedelta(days=int(generator.integers(2000)))
    number = comment_id(user.user_id, emptiest)
    return [Rating(user.user_id, emptiest, int(generator.integers(1, 6)), day, number, is_hidden=True)]


def _comment(user: User, rating: Rating, generator: Generator) -> Comment:
    return Comment(
        comment_id=rating.comment_id,
        movie_id=rating.movie_id,
        user_id=user.user_id,
        stars=rating.stars,
        written_at=_moment(rating.rated_on or _FIRST_DAY, int(generator.integers(86_400))),
        votes=int(generator.geometric(0.08)) - 1,
        text=invent_remark(generator),
        by_number=bool(user.slug and generator.random() < 0.25),
    )


def _moment(day: date, seconds: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(seconds=seconds)
