"""The settings of evaluation. This module imports no torch, so `--help` is fast."""

from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

Protocol = Literal["exact", "sampled", "full"]
Ks = Annotated[tuple[PositiveInt, ...], Parameter(parse=False)]


@dataclass(frozen=True)
class EvaluationConfig:
    """How models are evaluated.

    Attributes:
        item_ks: the K of item metrics
        frame_ks: the K of frame metrics
        protocol: exact: the paper's 1,000 negatives, in exact expectation, and all items; sampled: also with
            negatives that are really sampled; full: all items only
        n_negatives: sampled items per user; the paper's 1,000
        n_repeats: how often negatives are sampled (--protocol sampled); the paper's 10
        n_bootstrap: resamples of the users for the confidence intervals
        seed: of the sampled negatives and the intervals; use the same one for all models that are compared
    """

    item_ks: Ks = (5, 10, 15, 20, 30, 50)
    frame_ks: Ks = (1, 2, 3, 4, 5)
    protocol: Protocol = "exact"
    n_negatives: Annotated[PositiveInt, Parameter(parse=False)] = 1000
    n_repeats: Annotated[PositiveInt, Parameter(name="--repeats")] = 10
    n_bootstrap: Annotated[PositiveInt, Parameter(parse=False)] = 1000
    seed: NonNegativeInt = 0
