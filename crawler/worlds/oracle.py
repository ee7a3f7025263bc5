"""How much of people's choices looks explain: an oracle that knows all tastes, with and without the looks."""

from dataclasses import dataclass

import numpy as np

from crawler.worlds.catalogue import N_LOOKS
from crawler.worlds.draws import Floats
from crawler.worlds.watching import REASONS
from crawler.worlds.world import DrawnWorld

_HELD_OUT = 0.2


@dataclass(frozen=True)
class LooksShare:
    """What looks have to do with the held-out choices of a world.

    Attributes:
        decided: share of the choices that looks decided.
        with_looks: NDCG@K of an oracle that knows how popular movies are, what people like, and which looks they love.
        without_looks: the same without the looks.
    """

    decided: float
    with_looks: float
    without_looks: float

    def __str__(self) -> str:
        return (
            f"they decide {self.decided:.1%} of held-out choices; an oracle reaches {self.with_looks:.3f} with them "
            f"and {self.without_looks:.3f} without"
        )


def looks_of_choices(world: DrawnWorld, seed: int, k: int = 15) -> LooksShare:
    """Return the share for a random fifth of the choices. The other ones are not ranked; they are known.

    The oracle knows neither friends nor what somebody watched last.
    """
    watched = world.watched
    held_out = np.random.default_rng(seed).random(len(watched.users)) < _HELD_OUT
    decided = float((watched.reasons[held_out] == REASONS.index("looks")).mean())
    habit, looks = _by_habit(world), _by_looks(world)
    share = world.people.looks_share[:, None] / 1000
    with_looks = (1 - share) * habit + share * looks
    values = [_ndcg(world, held_out, scores, k) for scores in (with_looks, habit)]
    return LooksShare(decided, values[0], values[1])


def _by_habit(world: DrawnWorld) -> Floats:
    """Return (M, N) how likely each movie is chosen as popular or by taste."""
    reasons, weights = world.preset.reasons, world.catalogue.weights
    niches = world.catalogue.niches
    of_niche = np.bincount(niches, weights)[niches]
    within = weights / of_niche
    n_choices = world.people.niches.shape[1]
    bounds = np.sqrt(np.arange(n_choices + 1) / n_choices)  # the square of a chance chooses the niche
    scores = np.tile(reasons.popular * weights / weights.sum(), (world.preset.n_users, 1))
    for place, likelihood in enumerate(np.diff(bounds).tolist()):
        matches = world.people.niches[:, place, None] == niches[None, :]
        scores += reasons.taste * likelihood * matches * within
    return np.asarray(scores / (reasons.popular + reasons.taste))


def _by_looks(world: DrawnWorld) -> Floats:
    """Return (M, N) how likely each movie is chosen for its looks."""
    weights, shown = world.catalogue.weights, world.frames.looks
    within = np.where(shown, weights[:, None], 0) / np.maximum((shown * weights[:, None]).sum(0), 1)
    loved = np.zeros((world.preset.n_users, N_LOOKS))
    for place in (0, 1):
        np.add.at(loved, (np.arange(len(loved)), world.people.loved[:, place]), 0.5)
    return np.asarray(loved @ within.T)


def _ndcg(world: DrawnWorld, held_out: np.ndarray, scores: Floats, k: int) -> float:
    """Return the mean NDCG@K over people with a held-out movie, all movies but the known ones being ranked."""
    watched = world.watched
    scores = scores.copy()
    scores[watched.users[~held_out], watched.movies[~held_out]] = -1.0
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    is_hit = np.zeros(scores.shape, np.bool_)
    is_hit[watched.users[held_out], watched.movies[held_out]] = True
    counts = is_hit.sum(1)
    gains = 1 / np.log2(np.arange(k) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(counts, k)]
    reached = np.take_along_axis(is_hit, top, axis=1) @ gains
    return float((reached[counts > 0] / ideal[counts > 0]).mean())
