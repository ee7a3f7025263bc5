"""The settings of a study's models: as they stand in the study, or the best of a search on validation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.snapshots.snapshot import Snapshot
from model.experiments.runner import Reporter, load_cached
from model.experiments.studies.study import StudyModel
from model.experiments.tuning import (
    OnSearch,
    Search,
    best_trial,
    chosen_settings,
    run_search,
    search_name,
    tuning_table,
)
from model.models.recommender import Config
from model.training.config import TrainingConfig


@dataclass(frozen=True)
class Chosen:
    """The settings that a search has chosen.

    Attributes:
        label: the model's label.
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


def settle(model: StudyModel, label: str, snapshot: Snapshot, seed: int, searches: Path, reporter: Reporter) -> Settled:
    """Return a model with its settings, after the trials of its search that are left to run.

    Args:
        model: the model.
        label: its label, with its feature set if there are several.
        snapshot: the data, with the feature set that the model reads.
        seed: for the proposals of the search and for all of its trainings.
        searches: the parent of the folders of all searches.
        reporter: receives the progress.

    Raises:
        TooLittleDataError: the snapshot has no validation split, which a search needs.
        TrainingError: no trial could be trained.
    """
    if not model.space:
        config, training = model.configs(model.settings)
        return Settled(label, model.model_name, snapshot, config, training)
    search = Search(model.model_name, dict(model.settings), dict(model.space), model.n_trials, seed, model.prune)
    folder = searches / search_name(search, snapshot)
    data = load_cached(snapshot.path, snapshot.content_digest, snapshot.features, seed)
    study = run_search(
        folder,
        search,
        snapshot,
        data,
        on=OnSearch(
            begin=lambda n_done, n_trials: reporter.searching(label, n_done, n_trials),
            trial=lambda trial: reporter.searched(label),
        ),
    )
    best = best_trial(search, study)
    settings = chosen_settings(search, best.params)
    trials = tuning_table(search, study)
    chosen = Chosen(label, settings, folder.name, best.number, trials.height, trials.with_columns(model=pl.lit(label)))
    reporter.chosen(label, settings, trials.height)
    config, training = search.configs(best.params)
    return Settled(label, model.model_name, snapshot, config, training, chosen)
