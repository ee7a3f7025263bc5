"""The tastes behind a world as tables, for experiments on what a model has learnt."""

import polars as pl

from crawler.sandbox.pictures import THEMES
from crawler.sandbox.world import World


def taste_tables(world: World) -> dict[str, pl.DataFrame]:
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
