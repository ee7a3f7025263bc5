"""Who watches which movie, in which order and for which reason.

Everybody watches one movie per round. A reason is drawn, and a movie for this reason: for example a movie by the
director of a movie that the person has watched. Often the next choice goes on in the same way, so that people watch one
series or one list for a while. A movie is watched once; a reason that offers nothing gives way to the person's tastes.
"""

from dataclasses import asdict, dataclass

import numpy as np

from crawler.worlds.catalogue import N_LOOKS, Catalogue, FramesOfMovies, Relation
from crawler.worlds.draws import Bools, Generator, Groups, Ints, whole
from crawler.worlds.people import People
from crawler.worlds.presets import Preset, Reasons

REASONS = tuple(asdict(Reasons(popular=1000)))
"""The reasons by number."""

_POPULAR, _TASTE, _FRIENDS, _LOOKS = (REASONS.index(name) for name in ("popular", "taste", "friends", "looks"))
_STAYS, _FROM_LAST = 0.45, 0.5
_MOST_ROUNDS = 20_000


@dataclass(frozen=True)
class Watched:
    """The watched movies, sorted by person and then by time.

    Attributes:
        users: (n,) the person.
        movies: (n,) the movie.
        order: (n,) its place among the person's movies, from 0.
        reasons: (n,) why, as a place in `REASONS`.
    """

    users: Ints
    movies: Ints
    order: Ints
    reasons: Ints


def draw_watched(
    preset: Preset, catalogue: Catalogue, frames: FramesOfMovies, people: People, generator: Generator
) -> Watched:
    """Draw what everybody watches."""
    return _Watching(preset, catalogue, frames, people, generator).run()


class _Watching:
    """What has been watched so far."""

    def __init__(
        self,
        preset: Preset,
        catalogue: Catalogue,
        frames: FramesOfMovies,
        people: People,
        generator: Generator,
    ) -> None:
        n = len(people.n_watched)
        self.preset, self.people, self.generator = preset, people, generator
        self.looks = frames.looks
        self.relations: dict[int, Relation] = {
            REASONS.index(reason): relation for reason, relation in catalogue.relations().items()
        }
        self.everything = Groups.of(
            np.zeros(len(catalogue.weights), np.int64), np.arange(len(catalogue.weights)), catalogue.weights, 1
        )
        self.of_niches = catalogue.of_niches()
        shown = np.argwhere(frames.looks)
        self.of_looks = Groups.of(shown[:, 1], shown[:, 0], catalogue.weights[shown[:, 0]], N_LOOKS)
        self.seen: Bools = np.zeros((n, len(catalogue.weights)), np.bool_)
        self.history = np.zeros((n, int(people.n_watched.max())), np.int32)
        self.reasons = np.zeros(self.history.shape, np.int8)
        self.counts = np.zeros(n, np.int64)
        self.last_reason = np.full(n, -1, np.int64)
        self.last_label = np.zeros(n, np.int64)
        self.ends = _ends(preset.reasons, people.looks_share)

    def run(self) -> Watched:
        for _ in range(_MOST_ROUNDS):
            active = np.flatnonzero(self.counts < self.people.n_watched)
            if not len(active):
                break
            self._watch(active)
        users = np.arange(len(self.counts)).repeat(self.counts)
        order = np.arange(len(users)) - (np.cumsum(self.counts) - self.counts).repeat(self.counts)
        movies, reasons = self.history[users, order], self.reasons[users, order]
        return Watched(users, movies.astype(np.int64), order, reasons.astype(np.int64))

    def _watch(self, users: Ints) -> None:
        """Everybody of these chooses a movie; those who know it already choose again in the next round."""
        reasons, stays = self._reasons(users)
        movies, labels = np.full(len(users), -1, np.int64), np.full(len(users), -1, np.int64)
        anchors = self._anchors(users)
        for reason, relation in self.relations.items():
            here = np.flatnonzero((reasons == reason) & (self.counts[users] > 0))
            here = here[stays[here] | relation.labels.has_members(anchors[here])]
            labels[here] = np.where(stays[here], self.last_label[users[here]], -1)
            fresh = here[~stays[here]]
            labels[fresh] = relation.labels.draw(anchors[fresh], self.generator)
            movies[here] = relation.movies.draw(labels[here], self.generator)
        self._by_friends(users, reasons, movies)
        self._by_taste(users, reasons, movies)
        accepted = (movies >= 0) & ~self.seen[users, np.maximum(movies, 0)]
        if self.preset.looks == "disliked":
            hates = self.looks[np.maximum(movies, 0), self.people.disliked[users]]
            accepted &= ~hates | (whole(1000, self.generator, len(users)) >= self.people.looks_share[users])
        self.last_reason[users[~accepted]] = -1
        self._note(users[accepted], movies[accepted], reasons[accepted], labels[accepted])

    def _reasons(self, users: Ints) -> tuple[Ints, Bools]:
        """Return a reason for each, and whether it goes on with the last one."""
        chances = whole(1000, self.generator, len(users))
        reasons = (chances[:, None] >= self.ends[users]).sum(1)
        stays = (self.last_reason[users] >= 0) & (self.generator.random(len(users)) < _STAYS)
        return np.where(stays, self.last_reason[users], reasons), stays

    def _anchors(self, users: Ints) -> Ints:
        """Return the movie that each of them thinks of: the last one, or any that they have watched."""
        counts = np.maximum(self.counts[users], 1)
        places = np.where(
            self.generator.random(len(users)) < _FROM_LAST, counts - 1, whole(counts, self.generator, len(users))
        )
        return self.history[users, places].astype(np.int64)

    def _by_friends(self, users: Ints, reasons: Ints, movies: Ints) -> None:
        here = np.flatnonzero(reasons == _FRIENDS)
        friends = self.people.friends[users[here], whole(self.people.friends.shape[1], self.generator, len(here))]
        counts = self.counts[friends]
        places = whole(np.maximum(counts, 1), self.generator, len(here))
        movies[here] = np.where(counts > 0, self.history[friends, places], -1)

    def _by_taste(self, users: Ints, reasons: Ints, movies: Ints) -> None:
        """Fill in the movies of those who choose by popularity, looks or taste, and of all who found none."""
        here = np.flatnonzero(reasons == _POPULAR)
        movies[here] = self.everything.draw(np.zeros(len(here), np.int64), self.generator)
        here = np.flatnonzero(reasons == _LOOKS)
        second = whole(2, self.generator, len(here))
        if self.preset.looks in ("shown", "best_frame"):
            wanted = self.people.loved[users[here], second]
            here, wanted = here[self.of_looks.has_members(wanted)], wanted[self.of_looks.has_members(wanted)]
            movies[here] = self.of_looks.draw(wanted, self.generator)
        here = np.flatnonzero(movies < 0)
        reasons[here] = _TASTE
        chances = self.generator.random(len(here))
        which = (chances * chances * self.people.niches.shape[1]).astype(np.int64)  # the first one most often
        movies[here] = self.of_niches.draw(self.people.niches[users[here], which], self.generator)

    def _note(self, users: Ints, movies: Ints, reasons: Ints, labels: Ints) -> None:
        self.seen[users, movies] = True
        self.history[users, self.counts[users]] = movies
        self.reasons[users, self.counts[users]] = reasons
        self.counts[users] += 1
        self.last_reason[users] = np.where(labels >= 0, reasons, -1)
        self.last_label[users] = labels


def _ends(reasons: Reasons, looks_share: Ints) -> Ints:
    """Return (M, R) where each reason ends among 1,000: a person's looks take from the others in proportion."""
    numbers = np.array(list(asdict(reasons).values()), np.int64)
    rest = np.cumsum(numbers[:-1])
    scaled = rest[None, :] * (1000 - looks_share[:, None]) // max(1, int(rest[-1]))
    return np.concatenate([scaled, np.full((len(looks_share), 1), 1000, np.int64)], axis=1)
