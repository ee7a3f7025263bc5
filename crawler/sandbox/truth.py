"""The truth of a world: the tables that a perfect crawl yields, in the raw schemas of `dataset.schema`.

User ids are the site's numbers (an export has their pseudonyms), and `crawled_at` is null. The truth does not
contain what no page shows: hidden items of collections and anonymous likers. A movie's `title` is the Chinese
one; `original_title` is null if the Chinese title is the original. If lists change while they are read
(`faults.ChangingLists`), the truth is every row that was shown before or after the change, and a photo's
`like_count` is the number that its page showed last.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import dataframely as dy
import polars as pl

from crawler.sandbox.pages import LIKERS_PAGE
from crawler.sandbox.pictures import FORMATS, THEMES, encode, resized
from crawler.sandbox.records import FRAME_KINDS, Frame, Movie, Rating
from crawler.sandbox.views import View, n_withheld
from crawler.sandbox.world import World, discoverable_users
from crawler.sites import Site
from dataset import schema
from dataset.building.kcore import k_core

Tables = dict[str, pl.DataFrame]


def truth(
    world: World,
    user_ids: Collection[str] | None = None,
    movie_ids: Collection[str] | None = None,
    *,
    site: Site | None = None,
    kinds: Collection[str] = FRAME_KINDS,
    like_source: str = "photo_page",
    picture_size: str | None = "m",
    picture_suffix: str = "jpg",
    n_vanished: int = 0,
) -> Tables:
    """Return the tables `movies`, `ratings`, `frames`, `images` and `frame_likes` of a world.

    Args:
        world: the world.
        user_ids: take only ratings and likes by these users; None: all users.
        movie_ids: take only these movies with their frames, ratings and likes; None: all movies.
        site: the site whose image host is in the frames' addresses; None: the real one.
        kinds: the kinds of frame to take.
        like_source: `photo_page` or `user_likes`; only photo pages show how many people like a frame.
        picture_size: size of the picture files; None leaves `images` empty, because drawing takes time.
        picture_suffix: `jpg` or `webp`.
        n_vanished: number of items that every list with several pages lost while it was read.
    """
    users, movies = world.contents.users if user_ids is None else set(user_ids), world.contents.movies
    chosen = list(movies.values()) if movie_ids is None else [movies[movie_id] for movie_id in sorted(set(movie_ids))]
    chosen_ids = {movie.movie_id for movie in chosen}
    ratings = [
        rating for rating in _visible_ratings(world) if rating.user_id in users and rating.movie_id in chosen_ids
    ]
    frames = [frame for frame in world.contents.frames.values() if frame.movie_id in chosen_ids and frame.kind in kinds]
    after = View(withheld=n_vanished)
    counts = {f.frame_id: _like_count(world, f, after) for f in frames} if like_source == "photo_page" else {}
    return {
        "movies": _table([_movie_row(movie) for movie in chosen if movie.state == "open"], schema.Movie),
        "ratings": _table([(r.user_id, r.movie_id, r.stars, r.rated_on, None, None) for r in ratings], schema.Rating),
        "frames": _table(
            [_frame_row(frame, site or Site(), counts.get(frame.frame_id), _place(world, frame)) for frame in frames],
            schema.Frame,
        ),
        "images": _table(
            [_image_row(frame, picture_size, picture_suffix) for frame in frames] if picture_size else [], schema.Image
        ),
        "frame_likes": _table(
            [
                (like.user_id, like.frame_id, like.liked_at.date(), like_source)
                for frame in frames
                for like in world.contents.likers_of[frame.frame_id]
                if like.user_id in users
            ],
            schema.RawFrameLike,
        ),
    }


def crawl_truth(
    world: World,
    user_ids: Collection[str] | None = None,
    k: int = 5,
    *,
    kinds: Collection[str] = ("still", "poster"),
    **options: Any,
) -> Tables:
    """Return the tables that a complete crawl exports, except for pseudonyms and `crawled_at`.

    They hold all ratings by the users that were found, but movies, frames, pictures and likes only for the movies
    and users in the k-core of those ratings.

    Args:
        world: the world.
        user_ids: the users that were found; None: the users that the seed movies' comments lead to.
        k: the k of the k-core; 0 keeps everything.
        kinds: the kinds of frame that were crawled; by default the crawler's default.
        options: as in `truth`; with `site`, the frames' addresses are the crawled ones.
    """
    if user_ids is None:
        user_ids = discoverable_users(world, world.seed_movie_ids)
    ratings = truth(world, user_ids, picture_size=None)["ratings"]
    core = k_core(ratings.unique(["user_id", "movie_id"]), k, k)
    survivors = truth(
        world, core["user_id"].unique().to_list(), core["movie_id"].unique().to_list(), kinds=kinds, **options
    )
    return {**survivors, "ratings": ratings}


def taste_tables(world: World) -> Tables:
    """Return the tastes behind a world, for experiments on what a model has learnt.

    `users(user_id, looks_weight, theme, taste)` has one row per user and visual theme,
    `movies(movie_id, popularity, theme)` one row per theme of a movie, and
    `frames(frame_id, movie_id, theme)` one row per frame, with a null theme for fillers.
    """
    names, tastes, contents = list(THEMES), world.tastes, world.contents
    return {
        "users": pl.DataFrame(
            [
                (user_id, weight, name, taste)
                for user_id, weight, row in zip(
                    contents.users, tastes.looks_weights.tolist(), tastes.user_themes.tolist(), strict=True
                )
                for name, taste in zip(names, row, strict=True)
            ],
            schema={"user_id": pl.String, "looks_weight": pl.Float64, "theme": pl.String, "taste": pl.Float64},
            orient="row",
        ),
        "movies": pl.DataFrame(
            [
                (movie_id, popularity, name)
                for movie_id, popularity, row in zip(
                    contents.movies, tastes.popularity.tolist(), tastes.movie_themes.tolist(), strict=True
                )
                for name, shown in zip(names, row, strict=True)
                if shown
            ],
            schema={"movie_id": pl.String, "popularity": pl.Float64, "theme": pl.String},
            orient="row",
        ),
        "frames": pl.DataFrame(
            [
                (frame.frame_id, frame.movie_id, None if frame.theme is None else names[frame.theme])
                for frame in contents.frames.values()
            ],
            schema={"frame_id": pl.String, "movie_id": pl.String, "theme": pl.String},
            orient="row",
        ),
    }


def _visible_ratings(world: World) -> Iterable[Rating]:
    return (rating for ratings in world.contents.ratings_of.values() for rating in ratings if not rating.is_hidden)


def _like_count(world: World, frame: Frame, view: View) -> int | None:
    """Return the number in the like widget; a photo without likes has no widget."""
    n = len(world.contents.likers_of[frame.frame_id]) + frame.n_anonymous
    return n - n_withheld(n, LIKERS_PAGE, view) or None


def _movie_row(movie: Movie) -> tuple[object, ...]:
    is_shown = movie.rating == "shown"
    return (
        movie.movie_id, movie.chinese, movie.english, movie.year, movie.kind,
        list(movie.genres), list(dict.fromkeys(director.name for director in movie.directors)),
        movie.rating_mean if is_shown else None, movie.rating_count if is_shown else None, None,
    )  # fmt: skip


def _frame_row(frame: Frame, site: Site, like_count: int | None, place: int) -> tuple[object, ...]:
    url = f"{site.images}/view/photo/m/public/p{frame.frame_id}.webp"
    return frame.frame_id, frame.movie_id, frame.kind, frame.width_px, frame.height_px, url, like_count, place


def _place(world: World, frame: Frame) -> int:
    """Return a frame's place in the list of its kind, as it is without faults."""
    return [one.frame_id for one in world.contents.frames_of[frame.movie_id] if one.kind == frame.kind].index(
        frame.frame_id
    )


def _image_row(frame: Frame, size: str, suffix: str) -> tuple[object, ...]:
    body = encode(frame.picture, size, suffix)
    width_px, height_px = resized(frame.picture, size).size
    sha256 = hashlib.sha256(body).hexdigest()
    path = f"pictures/{sha256[:2]}/{sha256}.{suffix}"
    return frame.frame_id, sha256, FORMATS[suffix].lower(), width_px, height_px, len(body), path


def _table(rows: list[tuple[Any, ...]], of: type[dy.Schema]) -> pl.DataFrame:
    types = {name: column.dtype for name, column in of.columns().items()}
    return pl.DataFrame(rows, schema=types, orient="row")
