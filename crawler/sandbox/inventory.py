"""Invents the people, the movies and the frames, with the irregularities of the site's pages."""

from datetime import date, timedelta

import numpy as np

from crawler.sandbox.pictures import FILLERS, THEMES, Picture
from crawler.sandbox.records import FRAME_KINDS, Director, DirectorLink, Frame, Movie, MovieState, RatingState, User
from crawler.sandbox.tastes import Tastes
from crawler.worlds.names import CLIQUE_GENRES, invent_directors, invent_nickname, invent_titles

Generator = np.random.Generator

_CLOSINGS = ("该用户已经主动注销帐号", "该用户帐号已被永久停用", "该用户已被永久禁言")
_ORIGINALS_PX = {
    "still": ((1920, 1080), (2560, 1440), (1280, 720), (3840, 2160)),
    "wallpaper": ((1920, 1200), (2560, 1600)),
    "poster": ((1012, 1500), (2025, 3000), (2701, 4000)),
}
_KIND_SHARES = (0.62, 0.24, 0.14)  # stills, posters, wallpapers
_THEME_SHARE = 0.36  # share of a movie's frames that show one of its themes
_SHARE_WITH_MANY_STILLS = 0.025  # share of movies with more stills than fit on one page of the list
_SHARE_WITHOUT_PHOTOS = 0.03
_DIRECTOR_LINKS: tuple[DirectorLink, ...] = ("celebrity", "personage", "search")
_FIRST_UPLOAD = date(2019, 1, 5)


def draw_ids(n: int, first: int, largest_gap: int, generator: Generator) -> list[str]:
    """Return `n` distinct numeric ids above `first`, in increasing order."""
    return [str(number) for number in first + np.cumsum(generator.integers(1, largest_gap, size=n))]


def invent_users(n: int, generator: Generator) -> dict[str, User]:
    """Return `n` people by user id: about half have a slug, a few are deleted."""
    users = {}
    for index, user_id in enumerate(draw_ids(n, 1_204_000, 600_000, generator)):
        name, stem = invent_nickname(generator)
        is_deleted, has_slug, has_avatar = (generator.random(3) < (0.04, 0.5, 0.85)).tolist()
        closing = _CLOSINGS[index % len(_CLOSINGS)] if is_deleted else None
        slug = f"{stem}{index}" if has_slug and has_avatar else None
        version = int(generator.integers(1, 40)) if has_avatar and not is_deleted else None
        users[user_id] = User(user_id, slug, "[已注销]" if is_deleted else name, version, closing)
    return users


def invent_movies(n: int, tastes: Tastes, generator: Generator) -> list[Movie]:
    """Return `n` movies in the order of `tastes`; their counts are filled in after the ratings are drawn."""
    titles = invent_titles(n, generator)
    people = invent_directors(max(4, n // 3), generator)
    movies = []
    for index, movie_id in enumerate(draw_ids(n, 1_290_000, 240_000, generator)):
        chinese, english = titles[index]
        is_tv = bool(generator.random() < 0.12)
        if is_tv:
            season = int(generator.integers(1, 5))
            chinese, english = f"{chinese} 第{'一二三四'[season - 1]}季", f"{english} Season {season}"
        has_english, has_wide_gap, has_runtime = (generator.random(3) < (0.7, 0.12, 0.88)).tolist()
        main, second = np.argsort(-tastes.movie_habits[index])[:2]
        genres = dict.fromkeys((*CLIQUE_GENRES[main], CLIQUE_GENRES[second][0]))
        movies.append(
            Movie(
                movie_id=movie_id,
                chinese=chinese,
                english=english if has_english else None,
                gap="  " if has_wide_gap else " ",
                year=int(generator.integers(1961, 2019)),
                kind="tv" if is_tv else "movie",
                genres=tuple(genres)[: int(generator.integers(1, 4))],
                directors=_credit_directors(people, generator),
                runtime_min=int(generator.integers(24, 190)) if has_runtime else None,
                state=_draw_state(index, n, generator),
                rating=_draw_rating_state(generator),
                rating_mean=0.0,
                rating_count=0,
                seen_total=0,
            )
        )
    return movies


def _draw_state(index: int, n: int, generator: Generator) -> MovieState:
    gone: dict[int, MovieState] = {n // 5: "removed", n // 2: "not_listed", n - 2: "in_review"}
    by_chance: MovieState = "removed" if generator.random() < 0.02 else "open"
    return gone.get(index, by_chance)  # each state occurs even in the smallest world


def _draw_rating_state(generator: Generator) -> RatingState:
    chance = generator.random()
    return "off" if chance < 0.04 else "too_few" if chance < 0.1 else "shown"


def _credit_directors(people: list[str], generator: Generator) -> tuple[Director, ...]:
    """Return one or two directors; some are credited twice, and some have no page."""
    directors: list[Director] = []
    for index in generator.choice(len(people), size=int(generator.integers(1, 3)), replace=False):
        link = _DIRECTOR_LINKS[generator.choice(3, p=(0.5, 0.35, 0.15))]
        directors.append(Director(people[index], link, 1_000_000 + int(index)))
    if generator.random() < 0.08:
        directors.append(directors[0])
    return tuple(directors)


def invent_frames(movies: list[Movie], tastes: Tastes, generator: Generator) -> dict[str, list[Frame]]:
    """Return the frames of each open movie, newest first; about a third of them show one of its themes."""
    first_id = 2_000_000_000
    frames_of: dict[str, list[Frame]] = {}
    for movie, themes in zip(movies, tastes.movie_themes, strict=True):
        n = _count_frames(generator)
        ids = draw_ids(n, first_id, 90_000, generator)
        first_id = int(ids[-1]) if ids else first_id
        if movie.state != "open":
            continue
        shown = _spread_themes(n, np.flatnonzero(themes), generator)
        frames_of[movie.movie_id] = [
            _invent_frame(frame_id, movie.movie_id, theme, "still" if n > 30 else None, generator)
            for frame_id, theme in zip(reversed(ids), shown, strict=True)
        ]
    return frames_of


def _count_frames(generator: Generator) -> int:
    chance = generator.random()
    if chance < _SHARE_WITH_MANY_STILLS:
        return int(generator.integers(34, 66))
    if chance < _SHARE_WITH_MANY_STILLS + _SHARE_WITHOUT_PHOTOS:
        return 0
    return int(generator.integers(4, 10))


def _spread_themes(n: int, themes: np.ndarray, generator: Generator) -> list[int | None]:
    """Return the theme of each of `n` frames, None for a filler; every theme of the movie occurs at least once."""
    n_showing = min(n, max(round(_THEME_SHARE * n), themes.size))
    shown: list[int | None] = [int(themes[i % themes.size]) for i in range(n_showing)]
    shown += [None] * (n - n_showing)
    return [shown[i] for i in generator.permutation(n)]


def _invent_frame(frame_id: str, movie_id: str, theme: int | None, kind: str | None, generator: Generator) -> Frame:
    kind = kind or FRAME_KINDS[generator.choice(3, p=_KIND_SHARES)]
    scene = list(FILLERS)[generator.integers(len(FILLERS))] if theme is None else list(THEMES)[theme]
    width_px, height_px = _ORIGINALS_PX[kind][generator.integers(len(_ORIGINALS_PX[kind]))]
    chance = generator.random()
    n_anonymous = int(generator.integers(90, 240)) if chance < 0.015 else int(generator.integers(1, 4)) * (chance < 0.1)
    return Frame(
        frame_id=frame_id,
        movie_id=movie_id,
        kind=kind,
        theme=theme,
        picture=Picture(scene, kind, int(generator.integers(2**62))),
        width_px=width_px,
        height_px=height_px,
        uploaded_on=_FIRST_UPLOAD + timedelta(days=int(frame_id) // 100_000 % 200),
        n_anonymous=n_anonymous,
        has_data_id=bool(generator.random() > 0.06),
        widget="react" if generator.random() < 0.4 else "fav",
    )
