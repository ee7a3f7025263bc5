"""The settings of training. This module imports no torch, so `--help` is fast."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field, NonNegativeInt
from pydantic.dataclasses import dataclass

Size = Annotated[int, Field(ge=1, le=2**53)]
"""A number of things, at least 1. Products of two larger ones overflow a tensor's size."""

_STEPS, _SMALLEST, _LARGEST, _RATE = 256, 256, 8192, 2e-3
_GPU_FACTOR = 4  # a GPU is idle for most of a step of few positives


@dataclass(frozen=True)
class TrainingConfig:
    """How models are trained. The paper gives Adam and 10 negatives, but no other setting.

    Attributes:
        epochs: maximum number of passes over the train interactions.
        batch_size: positives per batch; None: what suits the data (`steps_of`).
        learning_rate: Adam's learning rate; None: what suits the batch size (`steps_of`).
        n_negatives: negatives per positive, drawn again every epoch; the paper's 10.
        n_candidates: a softmax is over all items if they are at most as many, else over about as many drawn ones.
        patience: stop after this many validations in a row without an improvement.
        validate_every: epochs between validations.
        validation_k: validation is NDCG@K over all items, with this K.
    """

    epochs: NonNegativeInt = 300
    batch_size: Size | None = None
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    n_negatives: Size = 10
    n_candidates: Size = 4096
    patience: Size = 30
    validate_every: Size = 1
    validation_k: Size = 15

    def steps_of(self, n_interactions: int, batch_factor: int = 1) -> tuple[int, float]:
        """Return the batch size and the learning rate for a number of train interactions, the same on every device.

        Without a batch size, it is the power of two that gives 256 to 512 steps an epoch, from 256 to 8,192; then times
        the `batch_factor` of the model. Without a learning rate, it is 0.002 up to 256 positives, and grows with the
        root of the batch size.
        """
        chosen = self.batch_size
        if chosen is None:
            suits = 1 << max(0, (n_interactions // _STEPS).bit_length() - 1)
            chosen = min(max(suits, _SMALLEST), _LARGEST) * batch_factor
        rate = self.learning_rate or _RATE * max(1.0, chosen / _SMALLEST) ** 0.5
        return chosen, float(rate)

    def suited_to(self, device: str, n_interactions: int, batch_factor: int = 1) -> "TrainingConfig":
        """Return the same with the batch size that suits the data and a device, "cpu" or "cuda".

        For a CPU it is that of `steps_of`; for a GPU four times as large, at most 8,192 times the `batch_factor`.
        """
        chosen, _ = replace(self, batch_size=None).steps_of(n_interactions, batch_factor)
        if device != "cpu":
            chosen = min(_GPU_FACTOR * chosen, _LARGEST * batch_factor)
        return replace(self, batch_size=chosen)
