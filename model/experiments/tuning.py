"""Searches for a model's best settings, on the validation split alone.

Without a number of trials, a search tries every combination of the choices. With a number, Optuna's TPE
proposes the settings of that many trials (Bergstra et al. 2011). A trial that cannot be trained (its
loss is not finite) is kept with the reason.

With `prune`, a trial that has trained 5, 10, 20, 40, … epochs ends if its best NDCG so far is below the median of the
completed trials' there, after four of them. A search that is stopped and continued gives the same trials.

The folder of a search; the hash is of all that makes it but the number of trials, so another search never touches it
and one of more trials continues it:

    data/tuning/<model>-<snapshot>-v<version>-<seed>-<hash>/
        search.json       what is searched, on which data: the same keys as a run's config.json
        journal.log       Optuna's storage of all trials; the same command continues from it
        trials.parquet    the `tuning` table, one row per trial
        best.toml         the best settings, for `python -m model.train --config` and for a study's `config`
"""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
import polars as pl
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from dataset.errors import TooLittleDataError, TrainingError, UsageError
from dataset.files import waiting_lock, write_json, write_text
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import validate, write_table
from model.data.loading import SnapshotData
from model.data.tensors import HeldOutItems, TrainingData
from model.experiments.run_folder import describe_run, read_description
from model.experiments.runs.naming import run_digest, run_name
from model.experiments.settings import settings_of_model
from model.schema import Tuning
from model.training.config import TrainingConfig
from model.training.trainer import Epoch, Trainer

_RUNGS = [5 * 2**n for n in range(32)]
_FIRST_TRIALS = 4


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

    def configs(self, params: dict[str, Any]) -> tuple[Any, TrainingConfig]:
        """Return the model's and the training's config of a trial."""
        return settings_of_model(self.settings(params), self.model_name)


def tune(
    search: Search,
    data: TrainingData,
    validation: HeldOutItems,
    study: optuna.Study,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_trial: Callable[[FrozenTrial], None] = lambda trial: None,
) -> None:
    """Run the trials that `study` does not hold yet.

    A trial that was running when the search was killed is run again. Proposals depend only on the seed
    and the earlier trials, so a continued search gives the same result as one that was never stopped.
    """
    for stale in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(stale.number, state=TrialState.FAIL)
    for params in remaining_trials(search, study):
        if params is not None:
            study.enqueue_trial(params)
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(finished_trials(study)))
        study.pruner = MedianPruner(n_startup_trials=_FIRST_TRIALS) if search.prune else NopPruner()
        trial = study.ask(search.space)
        _run_trial(search, data, validation, study, trial, device, on_epoch)
        on_trial(study.trials[trial.number])


def remaining_trials(search: Search, study: optuna.Study) -> list[dict[str, Any] | None]:
    """Return the settings of each trial that is left to run; None where TPE must still propose them."""
    done = [trial.params for trial in finished_trials(study)]
    if search.n_trials is not None:
        return [None] * (search.n_trials - len(done))
    choices = {name: kind.choices for name, kind in search.space.items() if isinstance(kind, CategoricalDistribution)}
    combinations = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    return [params for params in combinations if params not in done]


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have ended, including those that could not be trained or were ended early."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED))
    return [trial for trial in ended if "epochs" in trial.user_attrs]


def _run_trial(
    search: Search,
    data: TrainingData,
    validation: HeldOutItems,
    study: optuna.Study,
    trial: Trial,
    device: str,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train with a trial's settings, and report the best validation NDCG to the study."""
    config, training = search.configs(trial.params)
    started, error, is_pruned = time.perf_counter(), None, False
    trainer = Trainer(data, validation, search.model_name, config, training, search.seed, device)

    def after_epoch(epoch: Epoch) -> None:
        on_epoch(epoch)
        best = _best(trainer.epochs)
        if epoch.epoch in _RUNGS and best is not None and not trainer.is_finished:
            trial.report(_ndcg(best), _RUNGS.index(epoch.epoch))
            if trial.should_prune():
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
    trial.set_user_attr("seconds", time.perf_counter() - started)
    trial.set_user_attr("error", error)
    trial.set_user_attr("best_epoch", best.epoch if best else None)
    trial.set_user_attr("ndcg", best.validation_ndcg if best and not error else None)
    trial.set_user_attr("epochs", len(trainer.epochs))
    if error or best is None:
        study.tell(trial, state=TrialState.FAIL)
    elif is_pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, best.validation_ndcg)


def _best(epochs: Sequence[Epoch]) -> Epoch | None:
    return max((epoch for epoch in epochs if epoch.validation_ndcg is not None), key=_ndcg, default=None)


def _ndcg(epoch: Epoch) -> float:
    return epoch.validation_ndcg or 0.0


def tuning_table(search: Search, study: optuna.Study) -> pl.DataFrame:
    """Return the `tuning` table of a search: one row per trial that has ended."""
    columns = {name: column.dtype for name, column in Tuning.columns().items()}
    rows = [
        {
            "model": search.model_name,
            "seed": search.seed,
            "trial": trial.number,
            "settings": json.dumps(search.settings(trial.params), sort_keys=True),
            "validation_ndcg": trial.user_attrs.get("ndcg", trial.value),
            "pruned": trial.state == TrialState.PRUNED,
            **{key: trial.user_attrs[key] for key in ("best_epoch", "epochs", "seconds", "error")},
        }
        for trial in _counted(search, study)
    ]
    return validate(pl.DataFrame(rows, schema=columns), Tuning, "tuning")


def best_trial(search: Search, study: optuna.Study) -> FrozenTrial:
    """Return the search's best trial: of more trials than it asks for, the first ones count.

    Raises:
        TrainingError: no trial could be trained.
    """
    trials = _counted(search, study)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        raise TrainingError(
            f"{search.model_name}: none of {len(trials)} trials could be trained; see the errors in trials.parquet"
        )
    return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))


def chosen_settings(search: Search, params: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a trial, with values of the settings' types."""
    config, training = search.configs(params)
    known = asdict(config) | asdict(training)
    return {key: known[key] for key in search.settings(params)}


def best_toml(search: Search, study: optuna.Study) -> str:
    """Return the best trial's settings as TOML for `python -m model.train --config` and for a study.

    Raises:
        TrainingError: no trial could be trained.
    """
    best = best_trial(search, study)
    settings = chosen_settings(search, best.params)
    lines = [f"{key} = {json.dumps(value)}" for key, value in sorted(settings.items())]
    k = search.configs(best.params)[1].validation_k
    found = f"# validation NDCG@{k} {best.value:.4f}, trial {best.number}"
    return "\n".join([found, f"model = {json.dumps(search.model_name)}", *lines, ""])


def _counted(search: Search, study: optuna.Study) -> list[FrozenTrial]:
    return finished_trials(study)[: search.n_trials]


def search_name(search: Search, snapshot: Snapshot) -> str:
    """Return the name of a search's folder."""
    description = _describe(search, snapshot)
    asked = run_name(description).rpartition("-")[0]
    content = [run_digest(description), description["search"], description["sampler"], description["prune"]]
    return f"{asked}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]}"


def _describe(search: Search, snapshot: Snapshot) -> dict[str, Any]:
    """Return the content of `search.json`."""
    config, training = search.configs({})
    space = {key: json.loads(distribution_to_json(kind)) for key, kind in search.space.items()}
    sampler = "grid" if search.n_trials is None else "tpe"
    description = describe_run(search.model_name, config, training, search.seed, snapshot)
    return {**description, "search": space, "sampler": sampler, "prune": search.prune}


def open_search(folder: Path, search: Search, snapshot: Snapshot) -> optuna.Study:
    """Open a search's folder, new or to be continued, and return its study.

    Raises:
        UsageError: the folder holds another search.
    """
    description = _describe(search, snapshot)
    if (folder / "search.json").is_file():
        before = read_description(folder, "search.json")
        for key in ("model", "config", "training", "seed", "search", "features", "sampler", "prune", "results_version"):
            if before.get(key) != description.get(key):
                raise UsageError(f"{folder}: holds a search with another {key}; choose another folder with --to")
        if before["snapshot"]["content_digest"] != description["snapshot"]["content_digest"]:
            raise UsageError(f"{folder}: holds a search on other data; choose another folder with --to")
    else:
        write_json(folder / "search.json", description)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)


@dataclass
class OnSearch:
    """What is called while a search runs; by default nothing.

    Attributes:
        wait: if another process runs the same search, before waiting for its end.
        begin: with the number of trials that have ended, and of all.
        epoch: after every epoch of a trial.
        trial: after every trial.
    """

    wait: Callable[[], None] = lambda: None
    begin: Callable[[int, int], None] = lambda n_done, n_trials: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    trial: Callable[[FrozenTrial], None] = lambda trial: None


def run_search(
    folder: Path,
    search: Search,
    snapshot: Snapshot,
    data: SnapshotData,
    device: str = "cpu",
    on: OnSearch | None = None,
) -> optuna.Study:
    """Run the trials of a search that its folder does not hold yet, and write its tables; return its study.

    Raises:
        UsageError: the folder holds another search.
        TooLittleDataError: there is no validation split.
        TrainingError: no trial could be trained.
    """
    if data.validation is None:
        raise TooLittleDataError(
            "interactions: 0 rows in split 'validation', which a search needs; "
            "build the dataset with a larger --validation-share"
        )
    on = on or OnSearch()
    with waiting_lock(folder.with_name(f".{folder.name}.lock"), on.wait):
        study = open_search(folder, search, snapshot)
        n_done = len(_counted(search, study))
        on.begin(n_done, n_done + len(remaining_trials(search, study)))
        tune(search, data.training, data.validation, study, device, on.epoch, on.trial)
        write_search(folder, search, study)
    return study


def write_search(folder: Path, search: Search, study: optuna.Study) -> pl.DataFrame:
    """Write `trials.parquet` and `best.toml` into a search's folder; return the `tuning` table.

    Raises:
        TrainingError: no trial could be trained.
    """
    table = write_table(tuning_table(search, study), Tuning, folder / "trials.parquet")
    write_text(folder / "best.toml", best_toml(search, study))
    return table
