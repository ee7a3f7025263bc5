"""Splits of the interactions into train, validation and test."""

from dataclasses import dataclass

import dataframely as dy
import numpy as np
import polars as pl

from dataset.errors import TooLittleDataError, UsageError
from dataset.schema import SPLITS, ImplicitFeedback, Interaction
from dataset.tables import canonical, validate


@dataclass(frozen=True)
class SplitConfig:
    """How interactions are split.

    Attributes:
        seed: of the random order.
        validation_share: share of all interactions for validation, the paper's 10 %.
        test_share: share of all interactions for test, the paper's 20 %.
    """

    seed: int = 0
    validation_share: float = 0.1
    test_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        shares = (self.validation_share, self.test_share)
        if min(shares) < 0 or sum(shares) >= 1:
            raise UsageError(
                f"split: shares {shares[0]} (validation) and {shares[1]} (test) must not be negative "
                "and must leave some for training; the paper's are 0.1 and 0.2"
            )


def split_randomly(feedback: dy.DataFrame[ImplicitFeedback], config: SplitConfig) -> dy.DataFrame[Interaction]:
    """Return all of `feedback`, each row in one split, drawn from all rows alike.

    The counts are exact: `round(share * n)` rows for test and validation, the rest for train.
    The draw depends on the seed and the set of pairs, not on the order of rows.

    Raises:
        TooLittleDataError: there is no interaction at all.

    Source: Wu et al. 2019, section 4 ("randomly select 70% user-movie ratings for training,
    10% for validation and 20% for test").
    """
    if feedback.is_empty():
        raise TooLittleDataError(
            "split: no interaction is left after filtering; lower k (--k-user, --k-item) or bring more ratings"
        )
    ordered = canonical(feedback, ImplicitFeedback)
    n = ordered.height
    n_test, n_validation = round(config.test_share * n), round(config.validation_share * n)
    split_of_rank = np.repeat([0, 1, 2], [n - n_test - n_validation, n_validation, n_test])
    split = np.empty(n, dtype=np.uint32)
    split[np.random.default_rng(config.seed).permutation(n)] = split_of_rank
    names = pl.Series("split", np.array(SPLITS)[split]).cast(pl.Enum(SPLITS))
    return validate(ordered.with_columns(names), Interaction, "interactions")
