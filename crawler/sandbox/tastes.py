"""The tastes behind the world's behaviour: habits, visual tastes, and how each user weighs the two.

A user has a *habit* (cliques, the collaborative part) and a *visual taste* over a few themes; `looks_weights`
says which of the two decides (the paper's rating indecisiveness). A movie has a clique profile and one or two
visual themes, which only some of its frames show (the paper's content indecisiveness). Apart from these, only
popularity and noise decide what a user watches.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crawler.sandbox.pictures import THEMES
from crawler.worlds.names import CLIQUE_GENRES

N_CLIQUES = len(CLIQUE_GENRES)
N_THEMES = len(THEMES)

_HABIT_SCALE = 6.0
_LOOKS_SCALE = 5.0
_DECIMALS = 9  # utilities are rounded, so that the last bit of another machine cannot change an order
_LIKE_BASE = 0.02
_LIKE_FITTING = 0.8

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tastes:
    """The latent truth; U users, M movies, C cliques, T themes.

    Args:
        user_habits: (U, C) affinity of each user to each clique, rows of unit length.
        movie_habits: (M, C) the same for movies.
        user_themes: (U, T) visual taste: 1 for a loved theme, about 0 for an indifferent one.
        movie_themes: (M, T) 1 if some of the movie's frames show the theme, else 0.
        looks_weights: (U,) from 0 (only the habit decides) to 1 (only the looks decide).
        popularity: (M,) added to the utility of every user.
    """

    user_habits: FloatArray
    movie_habits: FloatArray
    user_themes: FloatArray
    movie_themes: FloatArray
    looks_weights: FloatArray
    popularity: FloatArray


def draw_tastes(n_users: int, n_movies: int, generator: np.random.Generator) -> Tastes:
    """Draw the tastes of all users and the character of all movies."""
    return Tastes(
        user_habits=_draw_habits(n_users, generator),
        movie_habits=_draw_habits(n_movies, generator),
        user_themes=_draw_user_themes(n_users, generator),
        movie_themes=_draw_movie_themes(n_movies, generator),
        # Bimodal: most people clearly tend to one side, a few are in between.
        looks_weights=np.round(generator.beta(0.6, 0.6, size=n_users), _DECIMALS),
        popularity=_draw_popularity(n_movies, generator),
    )


def utilities(tastes: Tastes) -> FloatArray:
    """Return (U, M) the utility of each movie for each user, before noise."""
    habit = tastes.user_habits @ tastes.movie_habits.T - 0.3
    weight = tastes.looks_weights[:, None]
    utility = (1 - weight) * _HABIT_SCALE * habit + weight * _LOOKS_SCALE * looks(tastes)
    return np.round(utility + tastes.popularity, _DECIMALS)


def looks(tastes: Tastes) -> FloatArray:
    """Return (U, M) how well the best theme of each movie fits the visual taste of each user."""
    best = np.full((len(tastes.user_themes), len(tastes.movie_themes)), -np.inf)
    for theme in range(N_THEMES):  # one theme at a time: (U, M, T) of a large world would not fit in memory
        shown = tastes.movie_themes[:, theme] > 0
        best[:, shown] = np.maximum(best[:, shown], tastes.user_themes[:, theme, None])
    return best


def choose_movies(utility: FloatArray, n: int, generator: np.random.Generator) -> IntArray:
    """Return the `n` movies that a user watches, drawn without replacement by softmax of the utility (Gumbel top-n)."""
    noisy = utility + generator.gumbel(size=utility.size)
    return np.asarray(np.argsort(-np.round(noisy, _DECIMALS), kind="stable")[:n], np.int64)


def give_stars(utility: FloatArray, generator: np.random.Generator) -> IntArray:
    """Return 1 to 5 stars for the watched movies, higher for a higher utility."""
    spread = utility.std() or 1.0
    felt = 3.7 + 0.7 * (utility - utility.mean()) / spread + generator.normal(0, 0.7, size=utility.size)
    return np.asarray(np.clip(np.rint(felt), 1, 5), np.int64)


def like_probability(user_themes: FloatArray, theme: int | None) -> float:
    """Return the probability that a user likes a frame with this theme (None: a filler) of a watched movie."""
    if theme is None:
        return _LIKE_BASE
    return _LIKE_BASE + _LIKE_FITTING * float(np.clip(user_themes[theme], 0, 1)) ** 2


def _draw_habits(n: int, generator: np.random.Generator) -> FloatArray:
    habits = np.abs(generator.normal(0, 0.12, size=(n, N_CLIQUES)))
    main = generator.integers(N_CLIQUES, size=n)
    second = generator.integers(N_CLIQUES, size=n)
    habits[np.arange(n), second] += 0.3
    habits[np.arange(n), main] += 1.0
    return np.asarray(habits / np.linalg.norm(habits, axis=1, keepdims=True))


def _draw_user_themes(n: int, generator: np.random.Generator) -> FloatArray:
    themes = np.clip(generator.normal(0.05, 0.12, size=(n, N_THEMES)), -0.3, 0.3)
    for row in themes:
        loved = generator.choice(N_THEMES, size=int(generator.integers(1, 3)), replace=False)
        row[loved] = generator.uniform(0.85, 1.0, size=loved.size)
    return np.asarray(np.round(themes, _DECIMALS), np.float64)


def _draw_movie_themes(n: int, generator: np.random.Generator) -> FloatArray:
    themes = np.zeros((n, N_THEMES))
    for row in themes:
        row[generator.choice(N_THEMES, size=int(generator.integers(1, 3)), replace=False)] = 1.0
    return themes


def _draw_popularity(n: int, generator: np.random.Generator) -> FloatArray:
    popularity = generator.normal(0, 0.6, size=n)
    obscure = generator.random(n) < 0.08
    return np.asarray(np.round(np.where(obscure, popularity - 4.0, popularity), _DECIMALS), np.float64)
