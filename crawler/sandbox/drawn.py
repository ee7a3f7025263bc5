"""Dresses a drawn world in what only pages have: nicknames, addresses, sizes of pictures.

Everything that the tables of `crawler.worlds.tables` have stays as it is there: all people and movies can be read.
"""

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np

from crawler.sandbox.inventory import invent_users
from crawler.sandbox.pictures import FILLERS, SHAPES_PX, THEMES, Picture
from crawler.sandbox.records import Contents, Director, Frame, Like, Movie, Rating, User, comment_id
from crawler.sandbox.tastes import Tastes
from crawler.worlds import words
from crawler.worlds.catalogue import KINDS, N_GENRES
from crawler.worlds.tables import FIRST_DAY
from crawler.worlds.world import DrawnWorld

SCENES = (*THEMES, *FILLERS)
"""The painters, by the number of the scene."""

_PICTURES = 1_000_000  # more than a scene has in a bank


def dressed(drawn: DrawnWorld, generator: np.random.Generator) -> tuple[Tastes, Contents]:
    """Return the tastes and the contents of a drawn world, without votes and comments."""
    contents = Contents(users=_users(drawn, generator))
    contents.by_slug = {user.slug: user for user in contents.users.values() if user.slug}
    contents.movies = {movie.movie_id: movie for movie in _movies(drawn)}
    contents.frames_of = _frames(drawn, list(contents.movies))
    contents.frames = {frame.frame_id: frame for frames in contents.frames_of.values() for frame in frames}
    ratings = _ratings(drawn, list(contents.users), list(contents.movies))
    contents.ratings_of = {user_id: [] for user_id in contents.users}
    for rating in reversed(ratings):  # newest first
        contents.ratings_of[rating.user_id].append(rating)
    _add_likes(drawn, contents, ratings)
    return _tastes(drawn), contents


def _users(drawn: DrawnWorld, generator: np.random.Generator) -> dict[str, User]:
    invented = invent_users(drawn.preset.n_users, generator).values()
    ids = words.user_ids(drawn.preset.n_users)
    users = {}
    for number, (user_id, user) in enumerate(zip(ids, invented, strict=True)):
        if user.closing:
            user = replace(user, slug=None, name=f"友邻{number}", closing=None)
        users[user_id] = replace(user, user_id=user_id)
    return users


def _movies(drawn: DrawnWorld) -> list[Movie]:
    catalogue = drawn.catalogue
    facts = zip(
        words.movie_ids(drawn.preset.n_movies),
        words.titles(catalogue),
        catalogue.years.tolist(),
        words.genres(catalogue),
        words.directors(catalogue),
        catalogue.directors.tolist(),
        strict=True,
    )
    return [
        Movie(
            movie_id=movie_id,
            chinese=chinese,
            english=english,
            gap=" ",
            year=year,
            kind="movie",
            genres=genres,
            directors=(Director(name, "celebrity", 1_000_000 + number),),
            runtime_min=None,
            state="open",
            rating="shown",
            rating_mean=0.0,
            rating_count=0,
            seen_total=0,
        )
        for movie_id, (chinese, english), year, genres, name, number in facts
    ]


def _frames(drawn: DrawnWorld, movie_ids: list[str]) -> dict[str, list[Frame]]:
    frames_of: dict[str, list[Frame]] = {movie_id: [] for movie_id in movie_ids}
    frames = drawn.frames
    numbers = np.stack([frames.movies, frames.shown, frames.scenes, frames.pictures, frames.kinds], axis=1)
    for frame_id, (movie, shown, scene, picture, kind) in zip(words.frame_ids(frames), numbers.tolist(), strict=True):
        width_px, height_px = SHAPES_PX[KINDS[kind]]
        frames_of[movie_ids[movie]].insert(  # newest first
            0,
            Frame(
                frame_id=frame_id,
                movie_id=movie_ids[movie],
                kind=KINDS[kind],
                theme=None if shown < 0 else shown,
                picture=Picture(SCENES[scene], KINDS[kind], scene * _PICTURES + picture),
                width_px=width_px * 3,
                height_px=height_px * 3,
                uploaded_on=date(2019, 1, 5),
                n_anonymous=0,
                has_data_id=True,
                widget="fav",
            ),
        )
    return frames_of


def _ratings(drawn: DrawnWorld, user_ids: list[str], movie_ids: list[str]) -> list[Rating]:
    """Return the ratings in the order of `drawn.watched`."""
    watched = drawn.watched
    numbers = np.stack([watched.users, watched.movies, drawn.stars, drawn.days], axis=1)
    return [
        Rating(
            user_id=user_ids[user],
            movie_id=movie_ids[movie],
            stars=stars or None,
            rated_on=FIRST_DAY + timedelta(days=day),
            comment_id=comment_id(user_ids[user], movie_ids[movie]),
            is_hidden=False,
        )
        for user, movie, stars, day in numbers.tolist()
    ]


def _add_likes(drawn: DrawnWorld, contents: Contents, ratings: list[Rating]) -> None:
    contents.likers_of = {frame_id: [] for frame_id in contents.frames}
    contents.likes_of = {user_id: [] for user_id in contents.users}
    frame_ids = words.frame_ids(drawn.frames)
    for place, frame in zip(drawn.likes.watched.tolist(), drawn.likes.frames.tolist(), strict=True):
        rating = ratings[place]
        moment = datetime.combine(rating.rated_on or FIRST_DAY, time(20))
        like = Like(rating.user_id, frame_ids[frame], moment, by_number=False)
        contents.likers_of[like.frame_id].append(like)
        contents.likes_of[like.user_id].append(like)
    for likes in (*contents.likers_of.values(), *contents.likes_of.values()):
        likes.sort(key=lambda like: (like.liked_at, like.user_id, like.frame_id), reverse=True)


def _tastes(drawn: DrawnWorld) -> Tastes:
    """Return the tastes in the terms of `Tastes`: a clique is a genre."""
    n_users, n_movies = drawn.preset.n_users, drawn.preset.n_movies
    user_habits, movie_habits = np.zeros((n_users, N_GENRES)), np.zeros((n_movies, N_GENRES))
    np.put_along_axis(user_habits, drawn.people.niches % N_GENRES, 1.0, axis=1)
    np.put_along_axis(movie_habits, drawn.catalogue.genres, 1.0, axis=1)
    return Tastes(
        user_habits=user_habits,
        movie_habits=movie_habits,
        user_themes=drawn.people.loves().astype(np.float64),
        movie_themes=drawn.frames.looks.astype(np.float64),
        looks_weights=drawn.people.looks_share / 1000,
        popularity=drawn.catalogue.weights / 1000,
    )
