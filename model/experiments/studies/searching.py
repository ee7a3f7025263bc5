"""The settings of a study's models: as they stand in the study, or the best of a search on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import polars as pl

from dataset.snapshots.snapshot import Snapshot
from model.data.loading import SnapshotData
from model.experiments.runner import Reporter, load_cached
from model.experiments.studies.study import StudyModel
from model.experiments.trials import Proposal, Search, number_of, proposals, run_trial
from model.experiments.tuning import (
    best_trial,
    chosen_settings,
    n_finished,
    open_search,
    require_validation,
    search_name,
    trial_lock,
    write_search,
)
from model.experiments.workers import Workers
from model.models.recommender import Config
from model.training.config import TrainingConfig
from model.training.trainer import Epoch


@dataclass(frozen=True)
class Chosen:
    """The settings that a search has chosen.

    Attributes:
        label: the model's label, with its fold if there are several.
        settings: the settings of the best trial, and those that all trials share.
        search: the name of the search's folder.
        trial: the number of the best trial.
        n_trials: the number of trials.
        trials: the `tuning` table, under the model's label.
    """

    label: str
    settings: dict[str, Any]
    search: str
    trial: int
    n_trials: int
    trials: pl.DataFrame

    @property
    def description(self) -> dict[str, Any]:
        """What stands in `experiment.json`."""
        return {key: value for key, value in vars(self).items() if key != "trials"}


@dataclass(frozen=True)
class Settled:
    """A model whose settings are known, on one feature set of the snapshot."""

    label: str
    model_name: str
    snapshot: Snapshot
    config: Config
    training: TrainingConfig
    chosen: Chosen | None = None


@dataclass(frozen=True)
class Asked:
    """A model of a study on one feature set of the snapshot, and the search for its settings, if there is one.

    Attributes:
        model: the model.
        label: its label, with its feature set if there are several.
        snapshot: the data, with the feature set that the model reads.
        search: the search; None if the model's settings are known.
        folder: the search's folder.
    """

    model: StudyModel
    label: str
    snapshot: Snapshot
    search: Search | None
    folder: Path

    @property
    def name(self) -> str:
        """The label, with the fold if there is one."""
        fold = self.snapshot.fold
        return f"{self.label} fold={fold.number}" if fold else self.label

    def open(self) -> optuna.Study:
        """Open the search's folder."""
        return open_search(self.folder, self._search, self.snapshot)

    @property
    def _search(self) -> Search:
        if self.search is None:
            raise ValueError(f"{self.label} has no search")
        return self.search

    def left(self) -> list[Proposal]:
        """Return the trials of the current batch that are left to run."""
        return proposals(self._search, self.open())

    def n_finished(self) -> int:
        """Return how many trials have ended."""
        return n_finished(self._search, self.open())

    def settled(self) -> Settled:
        """Return the model with its settings, those of the best trial after a search.

        Raises:
            TrainingError: no trial could be trained.
        """
        if self.search is None:
            config, training = self.model.configs(self.model.settings)
            return Settled(self.label, self.model.model_name, self.snapshot, config, training)
        study = self.open()
        trials = write_search(self.folder, self.search, study)
        best = best_trial(self.search, study)
        settings = chosen_settings(self.search, best.params)
        number, named = number_of(self.search, best), trials.with_columns(model=pl.lit(self.name))
        chosen = Chosen(self.name, settings, self.folder.name, number, trials.height, named)
        config, training = self.search.configs(best.params)
        return Settled(self.label, self.model.model_name, self.snapshot, config, training, chosen)


def ask(model: StudyModel, label: str, snapshot: Snapshot, seed: int, searches: Path) -> Asked:
    """Return what is asked for: a model, and the search for its settings.

    Args:
        model: the model.
        label: its label.
        snapshot: the data, with the feature set that the model reads.
        seed: for the proposals of the search and for all of its trainings.
        searches: the parent of the folders of all searches.
    """
    if not model.space:
        return Asked(model, label, snapshot, None, searches)
    search = Search(model.model_name, dict(model.settings), dict(model.space), model.n_trials, seed, model.prune)
    return Asked(model, label, snapshot, search, searches / search_name(search, snapshot))


def settle(asked: Sequence[Asked], workers: Workers, reporter: Reporter) -> list[Settled]:
    """Return models with their settings, after the trials of their searches that are left to run.

    The trials of all searches are run side by side, a batch of each search at a time. Processes of other parts of the
    study may run trials of the same searches.

    Raises:
        TooLittleDataError: the snapshot has no validation split, which a search needs.
        TrainingError: no trial could be trained.
    """
    searching = list({one.folder: one for one in asked if one.search}.values())
    for one in searching:
        if one.search and one.left():
            require_validation(_data(one.snapshot, one.search.seed))
            reporter.searching(one.name, one.n_finished(), one.search.n_all)
    while batch := [(one, proposal) for one in searching for proposal in one.left()]:
        for is_patient in (False, True):
            works = [partial(_run_trial, _Trial(one, proposal, is_patient)) for one, proposal in batch]
            for place, error in workers.run(works):
                if error:
                    raise error
                reporter.searched(batch[place][0].name, batch[place][0].n_finished())
            if all(proposal not in one.left() for one, proposal in batch):
                break
    settled = [one.settled() for one in asked]
    for chosen in [one.chosen for one in settled if one.chosen]:
        reporter.chosen(chosen.label, chosen.settings, chosen.n_trials)
    return settled


def _data(snapshot: Snapshot, seed: int) -> SnapshotData:
    return load_cached(snapshot.path, snapshot.content_digest, snapshot.features, seed, snapshot.fold)


@dataclass(frozen=True)
class _Trial:
    """A trial to run in any process."""

    asked: Asked
    proposal: Proposal
    is_patient: bool


def _run_trial(trial: _Trial, device: str, on_epoch: Callable[[Epoch], None]) -> None:
    """Run a trial, unless another process has run it, or runs it now and `is_patient` is not set."""
    asked, number = trial.asked, trial.proposal.number
    if asked.search is None:
        return
    data = _data(asked.snapshot, asked.search.seed)
    with trial_lock(asked.folder, number, trial.is_patient) as is_mine:
        if is_mine:
            run_trial(asked.search, data, asked.open(), trial.proposal, device, on_epoch)
