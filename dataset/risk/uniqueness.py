"""The share of users whom a few of their own points single out: nobody else in the table has all of them.

A point is what somebody may know of a user, for example a movie and the day of its rating. Somebody who knows p points
of a user finds the user if no other user has the same p points. The p points are drawn at random, or are the user's
rarest ones, which fewest users have.

For each point there is a list of its users (an inverted index). Of the p points, only the users of the rarest one
are looked up, few of them at first: most draws are soon answered. No two users are ever compared otherwise, so time
grows with the number of rows and of draws.

Source: de Montjoye, Hidalgo, Verleysen, Blondel 2013, "Unique in the Crowd: The privacy bounds of human mobility",
Scientific Reports 3:1376, which draws p points of each trace at random and counts the traces that have them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST_DRAWS = 50_000
"""The most random draws per number of points, for all users together; also the most users that are looked at."""

_FIRST_LOOK = 32
_LOOK_FACTOR = 8
_BLOCK = 1 << 21
_Z = 1.96


@dataclass(frozen=True)
class Uniqueness:
    """How many users a number of points singles out.

    Attributes:
        share: the share of users, or of draws if there are several per user.
        users: how many users were looked at.
        draws: how many times p points were drawn; `users` for the rarest points.
        margin: half the width of the 95 % interval of the share; 0 where nothing is drawn at random.
    """

    share: float
    users: int
    draws: int
    margin: float


class Points:
    """The points of all users, with the list of users of each point.

    Args:
        users: (n,) the number of the user of each row, from 0.
        points: (n,) the number of the point of each row, from 0. A user's repeated point counts once.
    """

    def __init__(self, users: npt.NDArray[np.integer], points: npt.NDArray[np.integer]) -> None:
        self._n_points = int(points.max(initial=-1)) + 1
        keys = np.sort(users.astype(np.int64) * max(1, self._n_points) + points)
        self._keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
        self._user_of, self._point_of = np.divmod(self._keys, max(1, self._n_points))
        counts = np.bincount(self._user_of)
        self.users: Numbers = np.flatnonzero(counts)
        self._first_of_user = np.concatenate([[0], np.cumsum(counts)])
        by_point = np.argsort(self._point_of, kind="stable")
        self._users_by_point = self._user_of[by_point]
        self._popularity = np.bincount(self._point_of, minlength=self._n_points)
        self._first_of_point = np.concatenate([[0], np.cumsum(self._popularity)])
        self._maybe = np.zeros(1 << max(10, (8 * len(self._keys)).bit_length()), dtype=np.bool_)
        self._maybe[self._slots(self._user_of, self._point_of)] = True

    def random(self, n_points: int, n_draws: int, generator: np.random.Generator) -> Uniqueness:
        """Return how many users `n_points` of their points single out that are drawn at random, without replacement.

        A user with fewer points is known by all of them.

        Args:
            n_points: how many points are known.
            n_draws: how many draws per user; fewer if that would be more than `MOST_DRAWS` in all.
            generator: draws the points and, if there are more than `MOST_DRAWS` users, the users.
        """
        users = self._sampled(generator)
        per_user = min(n_draws, max(1, MOST_DRAWS // max(1, len(users))))
        drawn = np.repeat(users, per_user)
        share = self._share(drawn, self._draw(drawn, n_points, generator))
        return Uniqueness(share, len(users), len(drawn), _Z * math.sqrt(share * (1 - share) / max(1, len(drawn))))

    def rarest(self, n_points: int, generator: np.random.Generator) -> Uniqueness:
        """Return how many users their `n_points` rarest points single out, those that fewest users have.

        A user with fewer points is known by all of them.

        Args:
            n_points: how many points are known.
            generator: draws the users, if there are more than `MOST_DRAWS`.
        """
        users = self._sampled(generator)
        places = self._first_of_user[users][:, None] + np.minimum(np.arange(n_points), self._counts(users)[:, None] - 1)
        share = self._share(users, self._rarest_first[places])
        is_sampled = len(users) < len(self.users)
        margin = _Z * math.sqrt(share * (1 - share) / len(users)) if is_sampled else 0.0
        return Uniqueness(share, len(users), len(users), margin)

    def users_with_fewer(self, n_points: int) -> int:
        """Return how many users have fewer points."""
        return int((self._counts(self.users) < n_points).sum())

    @cached_property
    def _rarest_first(self) -> Numbers:
        """The points of each user, from the rarest on; of equally rare ones, in the order of their numbers."""
        ordered: Numbers = self._point_of[np.lexsort([self._popularity[self._point_of], self._user_of])]
        return ordered

    def _counts(self, users: Numbers) -> Numbers:
        counts: Numbers = self._first_of_user[users + 1] - self._first_of_user[users]
        return counts

    def _sampled(self, generator: np.random.Generator) -> Numbers:
        if len(self.users) <= MOST_DRAWS:
            return self.users
        return np.sort(generator.choice(self.users, MOST_DRAWS, replace=False))

    def _draw(self, users: Numbers, n_points: int, generator: np.random.Generator) -> Numbers:
        """Return (n, n_points) points of each user, without replacement; if a user has too few, the first again."""
        counts = self._counts(users)
        places = np.zeros((len(users), n_points), dtype=np.int64)
        for number in range(n_points):
            place = generator.integers(0, np.maximum(1, counts - number))
            for before in np.sort(places[:, :number], axis=1).T:
                place += place >= before  # skips the places that are drawn already
            places[:, number] = np.where(number < counts, place, places[:, 0])
        return self._point_of[self._first_of_user[users][:, None] + places]

    def _share(self, users: Numbers, known: Numbers) -> float:
        """Return the share of rows whose points nobody but the user has.

        Args:
            users: (n,) users.
            known: (n, p) points of each.
        """
        rarest_first = np.take_along_axis(known, np.argsort(self._popularity[known], axis=1, kind="stable"), axis=1)
        is_unique = np.ones(len(users), dtype=np.bool_)
        undecided, start, look = np.arange(len(users)), 0, _FIRST_LOOK
        while len(undecided):
            for rows in _blocks(undecided, max(1, _BLOCK // look)):
                is_unique[self._shared(rows, users, rarest_first, start, look)] = False
            start, look = start + look, look * _LOOK_FACTOR
            is_open = is_unique[undecided] & (self._popularity[rarest_first[undecided, 0]] > start)
            undecided = undecided[is_open]
        return float(is_unique.mean()) if len(users) else 0.0

    def _shared(self, rows: Numbers, users: Numbers, known: Numbers, start: int, look: int) -> Numbers:
        """Return the rows whose points another user has, among `look` users of the first point from `start` on."""
        points = known[rows, 0]
        sizes = np.clip(self._popularity[points] - start, 0, look)
        row_of = np.repeat(rows, sizes)
        offset = np.arange(len(row_of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        other = self._users_by_point[np.repeat(self._first_of_point[points] + start, sizes) + offset]
        is_other = other != users[row_of]
        row_of, other = row_of[is_other], other[is_other]
        for place in range(1, known.shape[1]):
            has_it = self._has(other, known[row_of, place])
            row_of, other = row_of[has_it], other[has_it]
        found: Numbers = row_of
        return found

    def _has(self, users: Numbers, points: Numbers) -> Flags:
        """Return (n,) whether each user has the point: a look at one bit, and a search for the few that pass it."""
        found = self._maybe[self._slots(users, points)]
        likely = np.flatnonzero(found)
        keys = users[likely] * self._n_points + points[likely]
        found[likely] = self._keys[np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)] == keys
        return found

    def _slots(self, users: Numbers, points: Numbers) -> Numbers:
        mixed = (users.astype(np.uint64) << np.uint64(32) ^ points.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        slots: Numbers = (mixed >> np.uint64(65 - len(self._maybe).bit_length())).astype(np.int64)
        return slots


def _blocks(rows: Numbers, size: int) -> Iterator[Numbers]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
