"""The settings of training. This module imports no torch, so `--help` is fast."""

from typing import Annotated

from pydantic import Field, NonNegativeInt
from pydantic.dataclasses import dataclass

Size = Annotated[int, Field(ge=1, le=2**53)]
"""A number of things, at least 1. Products of two larger ones overflow a tensor's size."""


@dataclass(frozen=True)
class TrainingConfig:
    """How models are trained. The paper gives Adam and 10 negatives, but no other setting.

    Attributes:
        epochs: maximum number of passes over the train interactions.
        batch_size: positives per batch.
        learning_rate: Adam's learning rate.
        n_negatives: negatives per positive, drawn again every epoch; the paper's 10.
        n_candidates: a softmax is over all items if they are at most as many, else over about as many drawn ones.
        patience: stop after this many validations in a row without an improvement.
        validate_every: epochs between validations.
        validation_k: validation is NDCG@K over all items, with this K.
    """

    epochs: NonNegativeInt = 300
    batch_size: Size = 256
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2e-3
    n_negatives: Size = 10
    n_candidates: Size = 4096
    patience: Size = 30
    validate_every: Size = 1
    validation_k: Size = 15
