"""Random draws that have the same bits on every machine.

They use the raw bits of PCG64, which NumPy promises not to change (NEP 19), and afterwards only operations that
IEEE 754 defines exactly: comparisons, + − × ÷ and square roots of single numbers, and sums of integers. No logarithm,
power or sum of floats, which differ between mathematical libraries and processors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_LARGEST_WEIGHT = 10**6


class Generator:
    """A stream of random numbers."""

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._bits = np.random.PCG64(seed)

    def random(self, size: int | tuple[int, ...]) -> Floats:
        """Return numbers from 0 to below 1, multiples of 2⁻⁵³."""
        raw = np.asarray(self._bits.random_raw(size), np.uint64)
        return np.asarray((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def streams(seed: int, n: int) -> list[Generator]:
    """Return `n` independent generators, so that a change of what one draws does not affect the others."""
    return [Generator(one) for one in np.random.SeedSequence(seed).spawn(n)]


def whole(below: int | Ints, generator: Generator, size: int | tuple[int, ...]) -> Ints:
    """Return whole numbers from 0 to below − 1, all as likely."""
    return (generator.random(size) * below).astype(np.int64)


def shuffled(n: int, generator: Generator) -> Ints:
    """Return the numbers from 0 to n − 1 in random order."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64)


def heavy_tailed(n: int, generator: Generator, *, heavier: bool = False) -> Floats:
    """Return positive numbers with a median of 1 and a log-logistic distribution.

    Their logarithms have a standard deviation of 0.91; of 1.36 if `heavier`. A ten-thousandth is cut off at both ends.
    """
    chance = generator.random(n) * 0.9998 + 0.0001
    root = np.sqrt(chance / (1 - chance))
    return np.asarray(root * np.sqrt(root) if heavier else root)


def shares(n: int) -> Ints:
    """Return `n` falling weights, 1 / (k + 2): a few large groups and many small ones."""
    return _LARGEST_WEIGHT // (np.arange(n, dtype=np.int64) + 2)


def as_weights(numbers: Floats) -> Ints:
    """Return positive numbers as whole weights, a thousandth apart and at least 1."""
    return np.maximum(1, (numbers * 1000).astype(np.int64))


def weighted(weights: Ints, generator: Generator, size: int) -> Ints:
    """Return places in `weights`, each as likely as its weight says."""
    ends = np.cumsum(weights)
    return np.searchsorted(ends, whole(int(ends[-1]), generator, size), side="right").astype(np.int64)


@dataclass(frozen=True)
class Groups:
    """Members in groups, from which one is drawn as its weight says; a member may be in several groups.

    Attributes:
        members: (n,) group after group.
        ends: (n + 1,) sums of the weights up to each of them, from 0.
        bounds: (G + 1,) where each group begins in `members`.
    """

    members: Ints
    ends: Ints
    bounds: Ints

    @classmethod
    def of(cls, labels: Ints, members: Ints, weights: Ints, n_groups: int) -> "Groups":
        """Return the groups of these members, whose labels are from 0 to n_groups − 1; −1 is in no group."""
        inside = np.flatnonzero(labels >= 0)
        order = inside[np.argsort(labels[inside], kind="stable")]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(weights[order])])
        return cls(members[order], ends, np.searchsorted(labels[order], np.arange(n_groups + 1)).astype(np.int64))

    def draw(self, groups: Ints, generator: Generator) -> Ints:
        """Return one member of each of these groups, which are not empty."""
        low, high = self.ends[self.bounds[groups]], self.ends[self.bounds[groups + 1]]
        target = low + whole(high - low, generator, len(groups))
        return self.members[np.searchsorted(self.ends, target, side="right") - 1]

    def has_members(self, groups: Ints) -> Bools:
        """Return whether each of these groups has a member."""
        return np.asarray(self.bounds[groups + 1] > self.bounds[groups])
