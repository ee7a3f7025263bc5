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
        item_ks: the values of K for item metrics
        frame_ks: the values of K for frame metrics
        protocol: exact: the expected metrics for the paper's 1,000 sampled negatives, and metrics over all items;
            sampled: also metrics of negatives that are really drawn; full: metrics over all items only
        n_negatives: sampled items per user; the paper's 1,000
        n_repeats: how many times negatives are sampled (--protocol sampled); the paper's 10
        n_bootstrap: resamples of the users for the confidence intervals
        seed: for the sampled negatives and the intervals; use the same seed for all models that you compare
    """

    item_ks: Ks = (5, 10, 15, 20, 30, 50)
    frame_ks: Ks = (1, 2, 3, 4, 5)
    protocol: Protocol = "exact"
    n_negatives: Annotated[PositiveInt, Parameter(parse=False)] = 1000
    n_repeats: Annotated[PositiveInt, Parameter(name="--repeats")] = 10
    n_bootstrap: Annotated[PositiveInt, Parameter(parse=False)] = 1000
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class ListColumns:
    """The columns of a file of recommendations.

    Attributes:
        user_column: column with the user's id (by default user or user_id)
        item_column: column with the item's id (by default item, item_id or movie_id)
        score_column: column with the score, higher is better (by default score)
        rank_column: column with the rank, lower is better (by default rank, if there is no score)
    """

    user_column: str | None = None
    item_column: str | None = None
    score_column: str | None = None
    rank_column: str | None = None
