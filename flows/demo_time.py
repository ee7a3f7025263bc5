"""How long the demo takes on this machine: a few seconds of its work are timed, and the rest is scaled from them."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

from crawler.sandbox.world import WorldConfig
from dataset.progress import duration

PICTURES_PER_MOVIE = 5.1
"""Of the invented world's movies, those that no crawl finds included."""
_BATCH = 8
_FRAMES, _WIDTH, _DIM = 600, 4096, 64
# How many units (`Speed.unit_s`) parts of the demo take on two cores: their CPU time on the default world, in units.
_START, _CRAWL, _TRAINING = 400.0, 425.0, 1240.0
_USUAL_EPOCHS = 50


@dataclass(frozen=True)
class Speed:
    """The seconds, by the clock, that this machine needs now, other programs beside it included.

    Attributes:
        picture_s: for the feature of one picture.
        unit_s: for some steps in Python and some products of matrices in one thread, as training's.
    """

    picture_s: float
    unit_s: float


def measured_speed(extractor: str) -> Speed:
    """Compute features of a few blank pictures and some small steps; return how long they took.

    Raises:
        UsageError: the extractor is unknown.
    """
    import numpy as np

    from features.config import ExtractorConfig
    from features.extractor import Extractor

    network = Extractor(ExtractorConfig(extractor, "random:0"))
    side = network.geometry.crop_px
    crops = np.zeros((_BATCH, side, side, 3), dtype=np.uint8)
    network.features(crops)  # the first call loads the weights
    return Speed(_seconds(functools.partial(network.features, crops), 1) / _BATCH, _seconds(_unit, 5))


def expected_s(speed: Speed, users: int, movies: int, epochs: int | None) -> tuple[float, float]:
    """Return the seconds that the features, and all other steps, of a world of this size take."""
    share = users / WorldConfig.n_users
    training = _TRAINING * min(1.0, (epochs or _USUAL_EPOCHS) / _USUAL_EPOCHS)
    rest = _START + share * (_CRAWL + training)
    return PICTURES_PER_MOVIE * movies * speed.picture_s, rest * speed.unit_s


def announcement(speed: Speed, users: int, movies: int, epochs: int | None) -> str:
    """Return how long the demo takes, in words."""
    features_s, rest_s = expected_s(speed, users, movies, epochs)
    rate = f"{1 / speed.picture_s:,.1f} per second"
    return (
        f"On this machine, as busy as it is now, that takes about {duration(features_s + rest_s)}: "
        f"{duration(features_s)} for the pictures ({rate}), {duration(rest_s)} for the rest."
    )


def _seconds(work: Callable[[], object], times: int) -> float:
    """Return the mean time of a call."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def _unit() -> float:
    import torch

    frames, weight, n_threads = torch.ones(_FRAMES, _WIDTH), torch.ones(_DIM, _WIDTH), torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(2):
        weight = (frames @ weight.T).T @ frames / _FRAMES / _WIDTH
    torch.set_num_threads(n_threads)
    return float(weight[0, 0]) + sum(number % 7 for number in range(500_000))
