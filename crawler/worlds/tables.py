"""A drawn world as tables: the raw tables of `dataset build`, and the truth behind them."""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from crawler.worlds import words
from crawler.worlds.catalogue import KINDS
from crawler.worlds.draws import Ints
from crawler.worlds.presets import GENERATOR_VERSION
from crawler.worlds.traces import UNRATED
from crawler.worlds.watching import REASONS
from crawler.worlds.world import DrawnWorld
from dataset.files import write_json
from dataset.folders import replaced_folder
from dataset.schema import RAW_TABLES
from dataset.tables import empty, fill_columns, write_table

FIRST_DAY = date(2019, 9, 1)
_EXACT = ("movies", "ratings", "frames", "frame_likes")


def raw_tables(world: DrawnWorld) -> dict[str, pl.DataFrame]:
    """Return the raw tables `movies`, `ratings`, `frames`, `images` and `frame_likes`, as an import has them.

    `images` is empty: the pictures are not drawn. Movies, people and frames have the ids that the sandbox shows.
    """
    users, movies = pl.Series(words.user_ids(world.preset.n_users)), pl.Series(words.movie_ids(world.preset.n_movies))
    frames, watched, likes = pl.Series(words.frame_ids(world.frames)), world.watched, world.likes
    days = pl.Series(world.days, dtype=pl.Int64) + (FIRST_DAY - date(1970, 1, 1)).days
    days = days.cast(pl.Int32).cast(pl.Date)
    stars = pl.Series(world.stars)
    chinese, english = zip(*words.titles(world.catalogue), strict=True)
    tables = {
        "movies": pl.DataFrame(
            {
                "movie_id": movies,
                "title": chinese,
                "original_title": english,
                "year": world.catalogue.years,
                "kind": pl.Series(["movie"]).new_from_index(0, len(movies)),
                "genres": [list(names) for names in words.genres(world.catalogue)],
                "directors": [[name] for name in words.directors(world.catalogue)],
            }
        ),
        "ratings": pl.DataFrame(
            {
                "user_id": users.gather(watched.users),
                "movie_id": movies.gather(watched.movies),
                "stars": stars.set(stars == UNRATED, None),
                "rated_on": days,
            }
        ),
        "frames": pl.DataFrame(
            {
                "frame_id": frames,
                "movie_id": movies.gather(world.frames.movies),
                "kind": pl.Series(KINDS).gather(world.frames.kinds),
                "like_count": np.bincount(likes.frames, minlength=len(frames)),
                "position": _places(world.frames.movies, world.frames.kinds),
            }
        ),
        "images": empty(RAW_TABLES["images"]),
        "frame_likes": pl.DataFrame(
            {
                "user_id": users.gather(watched.users[likes.watched]),
                "frame_id": frames.gather(likes.frames),
                "liked_on": days.gather(likes.watched),
                "source": pl.Series(["photo_page"]).new_from_index(0, len(likes.frames)),
            }
        ),
    }
    return {name: fill_columns(table, RAW_TABLES[name]) for name, table in tables.items()}


def truth_tables(world: DrawnWorld) -> dict[str, pl.DataFrame]:
    """Return what no page shows.

    `ratings(user_id, movie_id, reason)` says why a movie was watched, `people(user_id, looks_share, loved)` what share
    of a person's choices looks decide and which looks they love, `movies(movie_id, series, director, country)` what
    makes movies close, and `frames(frame_id, movie_id, scene, picture, is_look)` what a frame shows: the scene, and
    which of its pictures.
    """
    users, movies = pl.Series(words.user_ids(world.preset.n_users)), pl.Series(words.movie_ids(world.preset.n_movies))
    catalogue, frames = world.catalogue, world.frames
    return {
        "ratings": pl.DataFrame(
            {
                "user_id": users.gather(world.watched.users),
                "movie_id": movies.gather(world.watched.movies),
                "reason": pl.Series(REASONS).gather(world.watched.reasons),
            }
        ),
        "people": pl.DataFrame(
            {"user_id": users, "looks_share": world.people.looks_share / 1000, "loved": world.people.loved}
        ),
        "movies": pl.DataFrame(
            {
                "movie_id": movies,
                "series": catalogue.series,
                "director": catalogue.directors,
                "country": catalogue.countries,
            }
        ),
        "frames": pl.DataFrame(
            {
                "frame_id": words.frame_ids(frames),
                "movie_id": movies.gather(frames.movies),
                "scene": frames.scenes,
                "picture": frames.pictures,
                "is_look": frames.shown >= 0,
            }
        ),
    }


def write_raw(world: DrawnWorld, folder: Path) -> dict[str, int]:
    """Write the raw folder of a world, with the preset, its versions and the seed in `provenance.json`.

    Returns:
        The number of rows of each table.

    Raises:
        PipelineError: the folder cannot be written.
    """
    tables = raw_tables(world)
    with replaced_folder(folder) as staging:
        for name, table in tables.items():
            write_table(table, RAW_TABLES[name], staging / f"{name}.parquet")
        write_json(staging / "provenance.json", {"source": "invented", "is_invented": True, "world": origin(world)})
    return {name: table.height for name, table in tables.items()}


def origin(world: DrawnWorld) -> dict[str, object]:
    """Return the preset's name and version, the generator's version, the seed and the digest of the tables."""
    return {
        "preset": world.preset.name,
        "preset_version": world.preset.version,
        "generator_version": GENERATOR_VERSION,
        "seed": world.seed,
        "digest": digest(world),
    }


def digest(world: DrawnWorld) -> str:
    """Return the SHA-256 of the rows of the raw tables as text, the same on every machine and for every polars."""
    tables, hashed = raw_tables(world), hashlib.sha256()
    for name in _EXACT:
        table = tables[name]
        lists = [column for column, dtype in table.schema.items() if isinstance(dtype, pl.List)]
        hashed.update(f"{name}\n".encode())
        hashed.update(table.with_columns(pl.col(lists).list.join("|")).write_csv().encode())
    return hashed.hexdigest()


def _places(movies: Ints, kinds: Ints) -> Ints:
    """Return the place of each frame among those of its movie and kind, newest first, from 0."""
    groups = movies * len(KINDS) + kinds
    order = np.lexsort((-np.arange(len(groups)), groups))
    starts = np.searchsorted(groups[order], groups[order])
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - starts
    return places
