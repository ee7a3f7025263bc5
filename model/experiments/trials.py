"""Chooses and runs the trials of a search, in any number of processes: the same trials are run, the same one is best.

Without a number of trials, a search tries every combination of the choices. With a number, Optuna's TPE proposes the
settings of that many trials (Bergstra et al. 2011). A trial that cannot be trained (its loss is not finite) is kept
with the reason.

Trials are run in batches of four. What a trial tries depends on the seed, its number and the trials of earlier batches
alone. With `prune`, a trial that has trained 5, 10, 20, 40, … epochs ends if its best NDCG so far is below the median
of the completed trials of earlier batches there. So it does not matter in which order the trials of a batch end, nor
whether the search was stopped and continued.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from dataset.errors import TrainingError
from model.data.loading import SnapshotData
from model.experiments.settings import settings_of_model
from model.training.config import TrainingConfig
from model.training.trainer import Epoch, Trainer

BATCH = 4
_RUNGS = [5 * 2**n for n in range(32)]
_NUMBER = "number"


@dataclass(frozen=True)
class Search:
    """The definition of a search.

    Attributes:
        model_name: a name of `registry.MODELS`.
        base: settings that all trials share.
        space: the possible values of each parameter; a parameter is one setting, or several joined by commas.
        n_trials: the number of trials that TPE proposes; None for every combination.
        seed: for every training, and for the proposals.
        prune: whether a trial ends early if it is worse than the others.
    """

    model_name: str
    base: dict[str, Any]
    space: dict[str, BaseDistribution]
    n_trials: int | None
    seed: int
    prune: bool = False

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial."""
        return self.base | {key: value for keys, value in params.items() for key in keys.split(",")}

    @property
    def is_unbounded(self) -> bool:
        """Whether the search would never end: it has infinitely many combinations and no number of trials."""
        return self.n_trials is None and any(
            not isinstance(kind, CategoricalDistribution) for kind in self.space.values()
        )

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of the choices, in the order in which they are tried."""
        choices = {key: kind.choices for key, kind in self.space.items() if isinstance(kind, CategoricalDistribution)}
        return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]

    @property
    def n_all(self) -> int:
        """The number of trials."""
        return len(self.combinations) if self.n_trials is None else self.n_trials

    def configs(self, params: dict[str, Any]) -> tuple[Any, TrainingConfig]:
        """Return the model's and the training's config of a trial."""
        return settings_of_model(self.settings(params), self.model_name)


@dataclass(frozen=True)
class Proposal:
    """A trial that is left to run: its number, from 0, and its settings."""

    number: int
    params: dict[str, Any]


Lock = Callable[[int, bool], AbstractContextManager[bool]]
"""Locks the trial of a number; the context says whether it is locked. The second argument: wait for another process."""


def tune(
    search: Search,
    data: SnapshotData,
    study: optuna.Study,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_trial: Callable[[FrozenTrial], None] = lambda trial: None,
    lock: Lock = lambda number, is_patient: nullcontext(True),
) -> None:
    """Run the trials that `study` does not hold yet; those that other processes run come last, and are waited for."""
    while batch := proposals(search, study):
        for is_patient in (False, True):
            for proposal in batch:
                with lock(proposal.number, is_patient) as is_mine:
                    if is_mine and (trial := run_trial(search, data, study, proposal, device, on_epoch)):
                        on_trial(trial)


def proposals(search: Search, study: optuna.Study) -> list[Proposal]:
    """Return the trials of the current batch that are left to run; none if the search is complete."""
    done = {number_of(search, trial) for trial in finished_trials(search, study)}
    first = next((number for number in range(search.n_all) if number not in done), None)
    if first is None:
        return []
    start = first - first % BATCH
    left = [number for number in range(start, min(start + BATCH, search.n_all)) if number not in done]
    if search.n_trials is None:
        combinations = search.combinations
        return [Proposal(number, combinations[number]) for number in left]
    earlier = _earlier(search, study, start)
    return [Proposal(number, _proposed(search, earlier, number)) for number in left]


def finished_trials(search: Search, study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have ended, by number, including those that could not be trained or were ended early."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED))
    numbered = {number_of(search, trial): trial for trial in reversed(ended) if "epochs" in trial.user_attrs}
    return [numbered[number] for number in sorted(numbered)]


def number_of(search: Search, trial: FrozenTrial) -> int:
    """Return the number of a trial in its search. Optuna's number says in which order the trials have ended."""
    if search.n_trials is None:
        return search.combinations.index(trial.params)
    return int(trial.user_attrs[_NUMBER])


def _earlier(search: Search, study: optuna.Study, start: int) -> list[FrozenTrial]:
    """Return the finished trials with a number below `start`."""
    return [trial for trial in finished_trials(search, study) if number_of(search, trial) < start]


def _proposed(search: Search, earlier: Sequence[FrozenTrial], number: int) -> dict[str, Any]:
    """Return the settings that TPE proposes for a trial."""
    sampler = optuna.samplers.TPESampler(seed=search.seed + number)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(earlier)
    return study.ask(search.space).params


def run_trial(
    search: Search,
    data: SnapshotData,
    study: optuna.Study,
    proposal: Proposal,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> FrozenTrial | None:
    """Train with a trial's settings, and add the trial with the best validation NDCG to the study.

    None if the study holds the trial already.
    """
    if proposal.number in {number_of(search, trial) for trial in finished_trials(search, study)}:
        return None
    earlier = _earlier(search, study, proposal.number - proposal.number % BATCH)
    config, training = search.configs(proposal.params)
    started, error, is_pruned, reached = time.perf_counter(), None, False, dict[int, float]()
    trainer = Trainer(data.training, data.validation, search.model_name, config, training, search.seed, device)

    def after_epoch(epoch: Epoch) -> None:
        on_epoch(epoch)
        best = _best(trainer.epochs)
        if epoch.epoch in _RUNGS and best is not None and not trainer.is_finished:
            rung = _RUNGS.index(epoch.epoch)
            reached[rung] = _ndcg(best)
            if search.prune and _is_worse(reached[rung], rung, earlier):
                raise optuna.TrialPruned

    try:
        trainer.run(after_epoch)
    except optuna.TrialPruned:
        is_pruned = True
    except TrainingError as failure:
        error = str(failure)
    best = _best(trainer.epochs)
    if best is None and error is None:
        error = f"{len(trainer.epochs)} epochs without a validation; lower validate_every"
    state = TrialState.FAIL if error or best is None else TrialState.PRUNED if is_pruned else TrialState.COMPLETE
    trial = create_trial(
        state=state,
        value=best.validation_ndcg if best and state == TrialState.COMPLETE else None,
        params=proposal.params,
        distributions=search.space,
        intermediate_values=reached,
        user_attrs={
            _NUMBER: proposal.number,
            "seconds": time.perf_counter() - started,
            "error": error,
            "best_epoch": best.epoch if best else None,
            "ndcg": best.validation_ndcg if best and not error else None,
            "epochs": len(trainer.epochs),
        },
    )
    study.add_trial(trial)
    return trial


def _is_worse(value: float, rung: int, earlier: Sequence[FrozenTrial]) -> bool:
    """Return whether a value is below the median of the earlier completed trials' at a rung."""
    complete = [trial for trial in earlier if trial.state == TrialState.COMPLETE]
    others = [trial.intermediate_values[rung] for trial in complete if rung in trial.intermediate_values]
    return len(complete) >= BATCH and bool(others) and value < statistics.median(others)


def _best(epochs: Sequence[Epoch]) -> Epoch | None:
    return max((epoch for epoch in epochs if epoch.validation_ndcg is not None), key=_ndcg, default=None)


def _ndcg(epoch: Epoch) -> float:
    return epoch.validation_ndcg or 0.0
