"""How models are evaluated."""

from dataclasses import dataclass
from typing import Literal

Protocol = Literal["exact", "sampled", "full"]
PROTOCOLS: tuple[Protocol, ...] = ("exact", "sampled", "full")


@dataclass(frozen=True)
class EvaluationConfig:
    """How models are evaluated.

    Attributes:
        item_ks: the K of item metrics.
        frame_ks: the K of frame metrics.
        protocol: `full` ranks among all items; `exact` adds the exact expectation of the paper's
            protocol; `sampled` adds the paper's protocol with negatives that are really sampled.
        n_negatives: sampled items per user; the paper's 1,000.
        n_repeats: how often the negatives are sampled; the paper's 10.
        n_bootstrap: resamples of the users for the confidence intervals.
        seed: of the negatives and the resamples; use the same one for all models that are compared.
    """

    item_ks: tuple[int, ...] = (5, 10, 15, 20, 30, 50)
    frame_ks: tuple[int, ...] = (1, 2, 3, 4, 5)
    protocol: Protocol = "exact"
    n_negatives: int = 1000
    n_repeats: int = 10
    n_bootstrap: int = 1000
    seed: int = 0
