"""Training: pairwise with Adam, new negatives every epoch and early stopping on validation; or by the model's own fit.

A `FittedRecommender` has as many epochs as it has fits: one for a closed form.

`Trainer` holds everything that an epoch changes; `Trainer.state_dict` is the content of a checkpoint.
If training is stopped after any epoch and resumed, the result is the same bit for bit (on a CPU; for a GPU, see
`tests/model/test_gpu.py`).
"""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dataset.errors import TrainingError
from dataset.tables import validate
from model.data.leakage import require_no_leak
from model.data.tensors import HeldOutItems, TrainingData
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.recommender import Config, FittedRecommender, Recommender, TrainableRecommender
from model.models.registry import data_for, make_model
from model.schema import Training
from model.training.config import TrainingConfig
from model.training.device import threads_for
from model.training.sampling import Comparisons
from model.training.steps import StaticSteps, make_steps, numbers_per_step

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch. `loss` is None for models without one, `validation_ndcg` in epochs without validation.

    `str(epoch)` is short enough for a progress bar.
    """

    epoch: int
    loss: float | None
    validation_ndcg: float | None
    seconds: float

    def __str__(self) -> str:
        results = {"loss": self.loss, "NDCG": self.validation_ndcg}
        return ", ".join(f"{name} {value:.3f}" for name, value in results.items() if value is not None) or "fitted"


@dataclass(frozen=True)
class TrainedRun:
    """A trained model with the weights that were best on validation, and all its epochs."""

    model: Recommender
    best_epoch: int
    epochs: list[Epoch]


class Trainer:
    """Trains one model, epoch by epoch.

    Args:
        data: all that the model may train on.
        validation: held-out interactions that decide when to stop; None trains for all epochs.
        model_name: a name of `registry.MODELS`.
        config: the model's config.
        training: the settings of training.
        seed: for the initial values, the order of the positives and the negatives.
        device: "cpu" or "cuda".
    """

    def __init__(
        self,
        data: TrainingData,
        validation: HeldOutItems | None,
        model_name: str,
        config: Config,
        training: TrainingConfig,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.model = make_model(model_name, config, data, seed).to(device)
        self.epochs: list[Epoch] = []
        if validation is not None:
            require_no_leak(data.positives, validation)
        self._validation = validation if self.model.ranks_items else None  # it holds items
        self._training, self._device = training, device
        self._data = data_for(model_name, data)
        self._seed = seed
        self._generator = torch.Generator(device).manual_seed(seed + 1)
        self._best: dict[str, Any] = {"epoch": 0, "ndcg": -1.0, "weights": None}
        if isinstance(self.model, TrainableRecommender):
            self._positives = data.positives.to(device)
            self._users = self._positives.owners
            n_pairs = len(self._users)
            self._batch_size, self._rate = training.steps_of(n_pairs, self.model.batch_factor)
            loss = getattr(config, "loss", "bpr")
            self._comparisons = Comparisons(
                self.model, loss, self._positives, data.n_items, training, min(self._batch_size, n_pairs)
            )
            self._optimizer = torch.optim.Adam(
                self.model.parameters(), lr=self._rate, fused=True, capturable=device == "cuda"
            )
            self._steps = make_steps(self.model, self._optimizer, self._batch_size, device)

    @property
    def most_epochs(self) -> int:
        """How many epochs there are at most: one per fit for a model that fits itself, none if nothing is learnt."""
        if isinstance(self.model, FittedRecommender):
            return self.model.n_fits
        return self._training.epochs if isinstance(self.model, TrainableRecommender) else 0

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done, or validation has not improved for too long."""
        done = len(self.epochs)
        waited = (done - self._best["epoch"]) // self._training.validate_every
        has_stopped = self._validation is not None and waited >= self._training.patience
        return done >= self.most_epochs or has_stopped

    def position(self) -> str:
        """Return, at any time and in any thread, what the running epoch is at; empty if that is not known."""
        if not isinstance(self.model, TrainableRecommender) or not self._steps.n_steps:
            return ""
        at = f"step {self._steps.n_done:,} of {self._steps.n_steps:,}"
        return f"epoch {len(self.epochs) + 1}, {at if self._steps.n_done < self._steps.n_steps else 'validation'}"

    def run(self, on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> TrainedRun:
        """Train until `is_finished`, calling `on_epoch` after each epoch; return what `finish` returns."""
        while not self.is_finished:
            on_epoch(self.run_epoch())
        return self.finish()

    def run_epoch(self) -> Epoch:
        """Train for one epoch, and validate if it is due.

        Raises:
            TrainingError: the loss is not finite.
        """
        started = time.perf_counter()
        loss = self._train()
        number = len(self.epochs) + 1
        validation_ndcg = None
        is_last = number == self.most_epochs
        is_fitted = is_last and isinstance(self.model, FittedRecommender)
        if self._validation is not None and (is_fitted or number % self._training.validate_every == 0):
            validation_ndcg = self._validate(self._validation)
            if validation_ndcg > self._best["ndcg"]:
                weights = None if is_last else copy.deepcopy(self.model.state_dict())  # the model has the last ones
                self._best = {"epoch": number, "ndcg": validation_ndcg, "weights": weights}
        epoch = Epoch(number, loss, validation_ndcg, time.perf_counter() - started)
        self.epochs.append(epoch)
        logger.info("epoch %d: %s, %.1f s", number, epoch, epoch.seconds)
        return epoch

    def finish(self) -> TrainedRun:
        """Return the model with its best weights, or with its last ones if nothing was validated."""
        if self._best["weights"] is not None:
            self.model.load_state_dict(self._best["weights"])
        return TrainedRun(self.model, self._best["epoch"] or len(self.epochs), self.epochs)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that an epoch changes."""
        return {
            "model": self.model.state_dict(),
            **({"optimizer": self._optimizer.state_dict()} if isinstance(self.model, TrainableRecommender) else {}),
            "generator": self._generator.get_state(),
            "best": self._best,
            "epochs": [vars(epoch) for epoch in self.epochs],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on this device or another.

        A generator's state has no meaning on another device, so draws continue from a new seed there.
        """
        self.model.load_state_dict(state["model"])
        if isinstance(self.model, TrainableRecommender):
            self._optimizer.load_state_dict(state["optimizer"])
            for group in self._optimizer.param_groups:
                group["capturable"] = self._device == "cuda"
            if isinstance(self._steps, StaticSteps):
                self._steps.forget()
        self._best = state["best"]
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        if len(state["generator"]) == len(self._generator.get_state()):
            self._generator.set_state(state["generator"])
        else:
            logger.warning("resumed on another device, which draws other negatives")
            self._generator.manual_seed(self._seed + 1 + len(self.epochs))

    def _train(self) -> float | None:
        """Let the model fit itself, or go through the train interactions once in random order; return the mean loss."""
        learner = self.model
        if isinstance(learner, FittedRecommender):
            return learner.fit(self._data)
        if not isinstance(learner, TrainableRecommender):
            raise TypeError(f"{type(learner).__name__} has nothing to train")
        learner.begin_epoch(self._generator)
        draws = self._generator.device
        order = torch.randperm(len(self._users), generator=self._generator, device=draws).to(self._device)
        if learner.wants_ascending_users and self._device == "cpu":
            order = _ascending(order, self._batch_size)
        all_negatives = self._comparisons.draw(self._users, self._generator)
        with threads_for(numbers_per_step(learner, self._batch_size * (1 + all_negatives.shape[1]))):
            samples = (self._users, self._positives.values, all_negatives)
            total = self._steps.run(*(part.index_select(0, order) for part in samples))
        mean = float(total) / len(order)
        if not torch.isfinite(torch.tensor(mean)):
            raise TrainingError(
                f"training: the loss of epoch {len(self.epochs) + 1} is {mean}; "
                f"lower learning_rate (it is {self._rate:.3g}) or scale the features"
            )
        return mean

    def _validate(self, validation: HeldOutItems) -> float:
        """Return the mean NDCG@K over all items; 0 if no user has a validation item."""
        k = self._training.validation_k
        per_user: Tensor = ndcg(full_ranking(self.model.scorer(), validation, k, self._device), k)
        return float(per_user.mean()) if len(per_user) else 0.0


def _ascending(order: Tensor, batch_size: int) -> Tensor:
    """Return the same batches of an order, each ascending, so that its users ascend, too."""
    batches = np.empty(len(order), np.min_scalar_type(len(order) // batch_size))  # NumPy sorts small types fastest
    batches[order.numpy()] = np.arange(len(order)) // batch_size
    return torch.from_numpy(batches.argsort(kind="stable"))


def training_table(model_name: str, seed: int, epochs: list[Epoch]) -> pl.DataFrame:
    """Return the `training` table of a run."""
    columns = {name: column.dtype for name, column in Training.columns().items()}
    rows = [{"model": model_name, "seed": seed, **vars(epoch)} for epoch in epochs]
    return validate(pl.DataFrame(rows, schema=columns), Training, "training")
