"""The movies of a world, what makes some of them close to each other, and their frames.

Series, directors, countries, years, genres and lists are drawn from other streams than the looks, and neither knows the
other.
"""

from dataclasses import dataclass

import numpy as np

from crawler.worlds.draws import (
    Bools,
    Floats,
    Generator,
    Groups,
    Ints,
    as_weights,
    heavy_tailed,
    shares,
    shuffled,
    weighted,
    whole,
)
from crawler.worlds.presets import Preset

N_GENRES, N_COUNTRIES, N_LOOKS, N_FILLERS = 8, 12, 8, 6
N_NICHES = N_COUNTRIES * N_GENRES
KINDS = ("still", "poster", "wallpaper")
FIRST_YEAR, N_YEARS = 1961, 58

_YEARS_OF_AN_ERA = 6
_IN_A_SERIES, _LONGEST_SERIES = 0.3, 8
_LIST_LENGTH, _MOVIES_PER_LIST = 16, 5
_WITH_A_LOOK, _WITH_TWO_LOOKS = 0.45, 0.1  # shares of the movies
_SHOWING = 0.36  # share of a movie's frames that show one of its looks
_KIND_ENDS = (0.62, 0.86)


@dataclass(frozen=True)
class Relation:
    """A way in which movies are close: each movie has labels, and each label has movies."""

    labels: Groups
    movies: Groups

    @classmethod
    def of(cls, movies: Ints, labels: Ints, weights: Ints, n_movies: int, n_labels: int) -> "Relation":
        """Return the relation of these pairs of a movie and a label; `weights` are the movies'."""
        return cls(
            Groups.of(movies, labels, np.ones(len(labels), np.int64), n_movies),
            Groups.of(labels, movies, weights[movies], n_labels),
        )


@dataclass(frozen=True)
class Catalogue:
    """N movies.

    Attributes:
        weights: (N,) how often each is chosen among equals.
        genres: (N, 2) the main genre and another one or the same.
        series: (N,) its series, −1 without one.
        parts: (N,) its place in the series, from 1.
        directors: (N,) its director.
        countries: (N,) its country.
        years: (N,) its year.
        lists: (n, 2) pairs of a list and a movie in it.
    """

    weights: Ints
    genres: Ints
    series: Ints
    parts: Ints
    directors: Ints
    countries: Ints
    years: Ints
    lists: Ints

    @property
    def eras(self) -> Ints:
        """(N,) the country and the years of each, as one number."""
        n_eras = N_YEARS // _YEARS_OF_AN_ERA + 1
        return self.countries * n_eras + (self.years - FIRST_YEAR) // _YEARS_OF_AN_ERA

    def relations(self) -> dict[str, Relation]:
        """Return the ways in which movies are close, by the reason in `Reasons`."""
        n, every = len(self.weights), np.arange(len(self.weights))
        with_one = np.flatnonzero(self.series >= 0)
        labelled = {
            "series": (with_one, self.series[with_one]),
            "director": (every, self.directors),
            "era": (every, self.eras),
            "lists": (self.lists[:, 1], self.lists[:, 0]),
        }
        return {
            reason: Relation.of(movies, labels, self.softened, n, int(labels.max(initial=0)) + 1)
            for reason, (movies, labels) in labelled.items()
        }

    @property
    def softened(self) -> Ints:
        """(N,) the roots of the weights, for reasons that leave popularity less room."""
        return as_weights(np.sqrt(self.weights / 1000.0))

    @property
    def niches(self) -> Ints:
        """(N,) the country and the main genre of each, as one number below `N_NICHES`."""
        return np.asarray(self.countries * N_GENRES + self.genres[:, 0], np.int64)

    def of_niches(self) -> Groups:
        """Return the movies of each niche."""
        return Groups.of(self.niches, np.arange(len(self.weights)), self.weights, N_NICHES)


@dataclass(frozen=True)
class FramesOfMovies:
    """What the movies look like; L frames, sorted by movie.

    Attributes:
        looks: (N, T) whether some of the movie's own frames show the look.
        movies: (L,) the movie whose page has the frame.
        shown: (L,) the look that the frame shows, −1 for a filler.
        scenes: (L,) the scene of its picture: a look, or T + the number of a filler.
        pictures: (L,) which picture of the scene it is.
        kinds: (L,) its place in `KINDS`.
    """

    looks: Bools
    movies: Ints
    shown: Ints
    scenes: Ints
    pictures: Ints
    kinds: Ints


def draw_catalogue(preset: Preset, generator: Generator) -> Catalogue:
    """Draw the movies. A series has one director and one country, and mostly one genre; its movies follow in years."""
    n = preset.n_movies
    weights = as_weights(heavy_tailed(n, generator, heavier=True))
    series, parts = _draw_series(n, generator)
    n_directors = max(4, n // 4)
    main = whole(N_GENRES, generator, n)
    of_directors = main[weighted(shares(n), generator, n_directors)]  # a director mostly stays with a genre
    directors = weighted(shares(n_directors), generator, n)
    stays = generator.random(n) < 0.6
    main = np.where(stays, of_directors[directors], main)
    countries = np.where(
        generator.random(n) < 0.9,
        weighted(shares(preset.n_countries), generator, n_directors)[directors],
        weighted(shares(preset.n_countries), generator, n),
    )
    years = FIRST_YEAR + N_YEARS - 1 - _recent(n, generator)
    second = np.where(generator.random(n) < 0.5, whole(N_GENRES, generator, n), main)
    first = _first_of_series(series)
    inside = series >= 0
    for of_series in (directors, main, countries):
        of_series[inside] = of_series[first[inside]]
    years[inside] = np.minimum(years[first[inside]] + 2 * (parts[inside] - 1), FIRST_YEAR + N_YEARS - 1)
    genres = np.stack([main, second], axis=1)
    return Catalogue(
        weights, genres, series, parts, directors, countries, years, _draw_lists(preset, weights, main, generator)
    )


def draw_frames(preset: Preset, generator: Generator) -> FramesOfMovies:
    """Draw the frames of the movies; nearly half of the movies show a look, and some of these a second one."""
    n = preset.n_movies
    looks = np.zeros((n, N_LOOKS), np.bool_)
    one, other = whole(N_LOOKS, generator, n), whole(N_LOOKS, generator, n)
    chances = generator.random(n)
    has_one, has_two = chances < _WITH_A_LOOK, chances < _WITH_TWO_LOOKS
    looks[np.flatnonzero(has_one), one[has_one]] = True
    looks[np.flatnonzero(has_two), other[has_two]] = True
    spread = heavy_tailed(n, generator)
    counts = np.clip((preset.mean_frames * (0.6 + 0.3 * np.minimum(spread, 4))).astype(np.int64), 3, 65)
    movies = np.arange(n).repeat(counts)
    starts = np.cumsum(counts) - counts
    order = np.lexsort((generator.random(len(movies)), movies))
    places = np.empty(len(movies), np.int64)
    places[order] = np.arange(len(movies)) - starts[movies]  # a random place within the movie
    n_looks = has_one.astype(np.int64) + has_two
    n_showing = np.where(has_one, np.maximum((counts * _SHOWING).astype(np.int64), n_looks), 0)
    if preset.looks == "best_frame":
        n_showing = n_looks
    is_second = (places % 2 == 1) & has_two[movies]
    shown = np.where(places < n_showing[movies], np.where(is_second, other[movies], one[movies]), -1)
    scenes = np.where(shown < 0, N_LOOKS + whole(N_FILLERS, generator, len(movies)), shown)
    kinds = np.searchsorted(_KIND_ENDS, generator.random(len(movies)), side="right").astype(np.int64)
    pictures = whole(preset.pictures_per_scene, generator, len(movies))
    if preset.frames == "exchanged":
        movies = shuffled(n, generator)[movies]
        order = np.argsort(movies, kind="stable")
        movies, shown, scenes = movies[order], shown[order], scenes[order]
        pictures, kinds = pictures[order], kinds[order]
    return FramesOfMovies(looks, movies, shown, scenes, pictures, kinds)


def _draw_series(n: int, generator: Generator) -> tuple[Ints, Ints]:
    """Return the series of each movie and its place there: about 30 % of the movies are in a series of 2 to 8."""
    order = shuffled(n, generator)
    series, parts = np.full(n, -1, np.int64), np.ones(n, np.int64)
    start, number = 0, 0
    lengths = 2 + weighted(shares(_LONGEST_SERIES - 1), generator, n)
    while start + lengths[number] <= n * _IN_A_SERIES:
        members = order[start : start + lengths[number]]
        series[members] = number
        parts[members] = np.arange(1, len(members) + 1)
        start, number = start + len(members), number + 1
    return series, parts


def _first_of_series(series: Ints) -> Ints:
    """Return for each movie a movie of its series, the same for all of them; itself without a series."""
    first = np.arange(len(series))
    inside = np.flatnonzero(series >= 0)
    _, places, inverse = np.unique(series[inside], return_index=True, return_inverse=True)
    first[inside] = inside[places][inverse]
    return first


def _recent(n: int, generator: Generator) -> Ints:
    """Return how many years ago each movie was made; the square makes recent years likelier."""
    chance: Floats = generator.random(n)
    return (chance * chance * N_YEARS).astype(np.int64)


def _draw_lists(preset: Preset, weights: Ints, genres: Ints, generator: Generator) -> Ints:
    """Return pairs of a list and a movie; a list is mostly of one genre, and popular movies are in more lists."""
    n_lists = max(1, preset.n_movies // _MOVIES_PER_LIST)
    lists = np.arange(n_lists).repeat(_LIST_LENGTH)
    softened = as_weights(np.sqrt(weights / 1000.0))
    of_genre = Groups.of(genres, np.arange(preset.n_movies), softened, N_GENRES)
    wanted = whole(N_GENRES, generator, n_lists)[lists]
    anywhere = weighted(softened, generator, len(lists))
    keeps = (generator.random(len(lists)) < 0.7) & of_genre.has_members(wanted)
    movies = anywhere.copy()
    movies[keeps] = of_genre.draw(wanted[keeps], generator)
    return np.unique(np.stack([lists, movies], axis=1), axis=0)
