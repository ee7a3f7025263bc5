"""Searches for a model's best settings, on the validation split alone, in a folder that several processes may share.

How the trials are chosen and run is in `trials`. The folder of a search; the hash is of all that makes it but the
number of trials, so another search never touches it and one of more trials continues it:

    data/tuning/<model>-<snapshot>-v<version>-<seed>-<hash>/
        search.json       what is searched, on which data: the same keys as a run's config.json
        journal.log       Optuna's storage of all trials; the same command continues from it
        trials.parquet    the `tuning` table, one row per trial
        best.toml         the best settings, for `python -m model.train --config` and for a study's `config`
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import polars as pl
from optuna.distributions import distribution_to_json
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from dataset.errors import TooLittleDataError, TrainingError, UsageError
from dataset.files import free_lock, waiting_lock, write_json, write_text
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import validate, write_table
from model.data.loading import SnapshotData
from model.experiments.run_folder import describe_run, read_description
from model.experiments.runs.naming import run_digest, run_name
from model.experiments.trials import BATCH, Search, finished_trials, number_of, tune
from model.schema import Tuning
from model.training.trainer import Epoch

_SAME = ("model", "config", "training", "seed", "search", "features", "fold", "sampler", "prune", "results_version")


def tuning_table(search: Search, study: optuna.Study) -> pl.DataFrame:
    """Return the `tuning` table of a search: one row per trial that has ended."""
    columns = {name: column.dtype for name, column in Tuning.columns().items()}
    rows = [
        {
            "model": search.model_name,
            "seed": search.seed,
            "trial": number_of(search, trial),
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
    return max(complete, key=lambda trial: (trial.value or 0.0, -number_of(search, trial)))


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
    found = f"# validation NDCG@{k} {best.value:.4f}, trial {number_of(search, best)}"
    return "\n".join([found, f"model = {json.dumps(search.model_name)}", *lines, ""])


def _counted(search: Search, study: optuna.Study) -> list[FrozenTrial]:
    return finished_trials(search, study)[: search.n_trials]


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
    sampler = "grid" if search.n_trials is None else f"tpe-{BATCH}"
    description = describe_run(search.model_name, config, training, search.seed, snapshot)
    return {**description, "search": space, "sampler": sampler, "prune": search.prune}


def open_search(folder: Path, search: Search, snapshot: Snapshot) -> optuna.Study:
    """Open a search's folder, new or to be continued, and return its study.

    Raises:
        UsageError: the folder holds another search.
    """
    with waiting_lock(folder.with_name(f".{folder.name}.lock"), lambda: None):
        return _open(folder, _describe(search, snapshot))


def _open(folder: Path, description: dict[str, Any]) -> optuna.Study:
    if (folder / "search.json").is_file():
        before = read_description(folder, "search.json")
        for key in (
            "model",
            "config",
            "training",
            "seed",
            "search",
            "features",
            "fold",
            "sampler",
            "prune",
            "results_version",
        ):
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
        begin: with the number of trials that have ended, and of all.
        epoch: after every epoch of a trial.
        trial: after every trial, with the number of trials that have ended, those of other processes included.
    """

    begin: Callable[[int, int], None] = lambda n_done, n_trials: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    trial: Callable[[FrozenTrial, int], None] = lambda trial, n_done: None


def run_search(
    folder: Path,
    search: Search,
    snapshot: Snapshot,
    data: SnapshotData,
    device: str = "cpu",
    on: OnSearch | None = None,
) -> optuna.Study:
    """Run the trials of a search that its folder does not hold yet, and write its tables; return its study.

    Other processes may run trials of the same search at the same time: each trial is run once.

    Raises:
        UsageError: the folder holds another search.
        TooLittleDataError: there is no validation split.
        TrainingError: no trial could be trained.
    """
    require_validation(data)
    on = on or OnSearch()
    study = open_search(folder, search, snapshot)
    on.begin(n_finished(search, study), search.n_all)

    def ended(trial: FrozenTrial) -> None:
        on.trial(trial, n_finished(search, study))

    tune(search, data, study, device, on.epoch, ended, partial(trial_lock, folder))
    write_search(folder, search, study)
    return study


def require_validation(data: SnapshotData) -> None:
    """Check that there is a validation split, which a search needs.

    Raises:
        TooLittleDataError: there is none.
    """
    if data.validation is None:
        raise TooLittleDataError(
            "interactions: 0 rows in split 'validation', which a search needs; "
            "build the dataset with a larger --validation-share"
        )


@contextmanager
def trial_lock(folder: Path, number: int, is_patient: bool) -> Iterator[bool]:
    """Hold the lock of a trial inside this context; yield whether it is held.

    Args:
        folder: the search's folder.
        number: the trial's number.
        is_patient: wait if another process runs the trial.
    """
    path = folder / f".trial-{number}.lock"
    if is_patient:
        with waiting_lock(path, lambda: None):
            yield True
    else:
        with free_lock(path) as is_free:
            yield is_free


def n_finished(search: Search, study: optuna.Study) -> int:
    """Return how many of a search's trials have ended."""
    return len(_counted(search, study))


def write_search(folder: Path, search: Search, study: optuna.Study) -> pl.DataFrame:
    """Write `trials.parquet` and `best.toml` into a search's folder; return the `tuning` table.

    Raises:
        TrainingError: no trial could be trained.
    """
    table = write_table(tuning_table(search, study), Tuning, folder / "trials.parquet")
    write_text(folder / "best.toml", best_toml(search, study))
    return table
