"""The people of a world: how much they watch, what they like, and who their friends are."""

from dataclasses import dataclass

import numpy as np

from crawler.worlds.catalogue import N_LOOKS, N_NICHES, Catalogue
from crawler.worlds.draws import Bools, Generator, Groups, Ints, heavy_tailed, whole
from crawler.worlds.presets import Preset

_N_FRIENDS, _N_NICHES = 6, 3
_MEAN = 1.5  # of the heavy-tailed counts below, whose median is 1
_OF_THE_CATALOGUE = 4  # nobody watches more than one movie in four


@dataclass(frozen=True)
class People:
    """M people.

    Attributes:
        n_watched: (M,) the movies that each will have watched.
        niches: (M, 3) countries and genres that they like (`Catalogue.niches`), the first most; some repeat.
        loved: (M, 2) the look that they love most, and another one or the same.
        disliked: (M,) a look that they dislike, another one.
        looks_share: (M,) of 1,000 choices, those that looks decide: many for some people, few for most.
        friends: (M, F) people who mostly like the same niche.
    """

    n_watched: Ints
    niches: Ints
    loved: Ints
    disliked: Ints
    looks_share: Ints
    friends: Ints

    def loves(self) -> Bools:
        """Return (M, T) whether each person loves each look."""
        loves = np.zeros((len(self.loved), N_LOOKS), np.bool_)
        np.put_along_axis(loves, self.loved, True, axis=1)
        return loves


def draw_people(preset: Preset, catalogue: Catalogue, generator: Generator) -> People:
    """Draw the people."""
    n = preset.n_users
    counts = (heavy_tailed(n, generator) * (preset.mean_watched / _MEAN)).astype(np.int64)
    niches = catalogue.niches[whole(preset.n_movies, generator, (n, _N_NICHES))]
    loved = _one_or_two(n, N_LOOKS, generator)
    disliked = (loved[:, 0] + 1 + whole(N_LOOKS - 1, generator, n)) % N_LOOKS
    is_loved = disliked == loved[:, 1]
    disliked = np.where(is_loved, (disliked + 1) % N_LOOKS, disliked)
    disliked = np.where(disliked == loved[:, 0], (disliked + 1) % N_LOOKS, disliked)
    looks = preset.reasons.looks
    share = np.where(generator.random(n) < 0.4, min(1000, 2 * looks), looks // 3)
    return People(
        n_watched=np.clip(counts, 1, max(1, preset.n_movies // _OF_THE_CATALOGUE)),
        niches=niches,
        loved=loved,
        disliked=disliked,
        looks_share=share.astype(np.int64),
        friends=_draw_friends(niches[:, 0], generator),
    )


def _one_or_two(n: int, n_things: int, generator: Generator) -> Ints:
    first, second = whole(n_things, generator, n), whole(n_things, generator, n)
    return np.stack([first, np.where(generator.random(n) < 0.5, second, first)], axis=1)


def _draw_friends(niches: Ints, generator: Generator) -> Ints:
    n = len(niches)
    alike = Groups.of(niches, np.arange(n), np.ones(n, np.int64), N_NICHES)
    wanted = niches.repeat(_N_FRIENDS)
    friends = np.where(
        generator.random(len(wanted)) < 0.7, alike.draw(wanted, generator), whole(n, generator, len(wanted))
    )
    return friends.reshape(n, _N_FRIENDS)
