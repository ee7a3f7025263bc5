"""What people leave behind: stars, days, and likes of frames."""

from dataclasses import dataclass

import numpy as np

from crawler.worlds.catalogue import FramesOfMovies
from crawler.worlds.draws import Generator, Groups, Ints, whole
from crawler.worlds.people import People
from crawler.worlds.presets import Preset
from crawler.worlds.watching import Watched

N_DAYS = 2_400
UNRATED = 0

_STAR_ENDS = np.array([[40, 120, 380, 780], [20, 60, 240, 640], [8, 30, 150, 480]], np.int64)
"""Of 1,000 ratings of a bad, a fair and a good movie: where 1, 2, 3 and 4 stars end."""
_UNRATED = 80  # of 1,000
_LIKING_PEOPLE, _MORE_OF_THEM = 0.4, 2.5
_BY_LOOKS = 0.9  # of the likes in movies that show a look which the person loves
_SECOND_LIKE = 0.25


@dataclass(frozen=True)
class Likes:
    """The likes, each once, sorted by the watched movie and the frame.

    Attributes:
        watched: (n,) places in `Watched`.
        frames: (n,) places in `FramesOfMovies`.
    """

    watched: Ints
    frames: Ints


def draw_stars(watched: Watched, n_movies: int, generator: Generator) -> Ints:
    """Return 1 to 5 stars for each watched movie, `UNRATED` for some; movies differ in how good they are."""
    quality = whole(3, generator, n_movies)
    chances = whole(1000, generator, len(watched.movies))
    stars = 1 + (chances[:, None] >= _STAR_ENDS[quality[watched.movies]]).sum(1)
    return np.where(whole(1000, generator, len(stars)) < _UNRATED, UNRATED, stars).astype(np.int64)


def draw_days(watched: Watched, people: People, generator: Generator) -> Ints:
    """Return the day of each watched movie, below `N_DAYS`: people start on some day and watch in their order."""
    start = whole(N_DAYS // 2, generator, len(people.n_watched))
    room = N_DAYS - start
    gaps = 1 + whole(1000, generator, len(watched.users))
    ends = np.cumsum(gaps)
    before = np.concatenate([np.zeros(1, np.int64), ends])[np.searchsorted(watched.users, watched.users)]
    within = ends - before
    last = within[np.searchsorted(watched.users, watched.users, side="right") - 1]
    days = start[watched.users] + within * (room[watched.users] - 1) // np.maximum(last, 1)
    return np.asarray(days, np.int64)


def draw_likes(preset: Preset, frames: FramesOfMovies, people: People, watched: Watched, generator: Generator) -> Likes:
    """Draw the likes of frames of watched movies.

    Some people like frames and others never do. Most likes are of frames with a look that the person loves, if the
    movie shows one; if `likes` is `random`, any frame of the movie is as likely as another.
    """
    most = _MORE_OF_THEM * preset.likes_per_pair / (1 + _SECOND_LIKE)
    likes_frames = generator.random(len(people.n_watched)) < _LIKING_PEOPLE
    chances = generator.random(len(watched.users))
    pairs = np.flatnonzero(likes_frames[watched.users] & (chances < most))
    pairs = np.sort(np.concatenate([pairs, pairs[generator.random(len(pairs)) < _SECOND_LIKE]]))
    n_movies = len(frames.looks)
    ones = np.ones(len(frames.movies), np.int64)
    of_movies = Groups.of(frames.movies, np.arange(len(ones)), ones, n_movies)
    pairs = pairs[of_movies.has_members(watched.movies[pairs])]
    chosen = of_movies.draw(watched.movies[pairs], generator)
    if preset.likes == "by_looks":
        chosen = _by_looks(chosen, pairs, frames, people, watched, generator)
    unique = np.unique(np.stack([pairs, chosen], axis=1), axis=0)
    return Likes(unique[:, 0], unique[:, 1])


def _by_looks(
    chosen: Ints, pairs: Ints, frames: FramesOfMovies, people: People, watched: Watched, generator: Generator
) -> Ints:
    """Return the chosen frames, most of them replaced by frames of the same movie with a look that the person loves."""
    n_movies, n_looks = frames.looks.shape
    places = np.where(frames.shown >= 0, frames.movies * n_looks + frames.shown, -1)
    ones = np.ones(len(places), np.int64)
    showing = Groups.of(places, np.arange(len(places)), ones, n_movies * n_looks)
    loved = people.loved[watched.users[pairs]]
    first = watched.movies[pairs] * n_looks + loved[:, 0]
    other = watched.movies[pairs] * n_looks + loved[:, 1]
    wanted = np.where(showing.has_members(first), first, other)
    replaced = showing.has_members(wanted) & (generator.random(len(pairs)) < _BY_LOOKS)
    result = chosen.copy()
    result[replaced] = showing.draw(wanted[replaced], generator)
    return result
