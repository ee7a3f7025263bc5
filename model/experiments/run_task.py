"""A run that is asked for: one model to train with one seed, and the folder that it has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.snapshots.snapshot import Fold, Snapshot
from model.evaluation.config import EvaluationConfig
from model.experiments.run_folder import describe_run, fold_in, is_evaluated, is_trained
from model.experiments.runs.store import folder_of
from model.models.recommender import Config
from model.training.config import TrainingConfig


@dataclass(frozen=True)
class RunTask:
    """One model to train with one seed, and to evaluate. It is small and can be sent to any process.

    Attributes:
        folder: the run folder.
        snapshot: the snapshot's folder.
        description: the content of the run's `config.json`.
        config: the model's settings.
        training: the settings of training.
        evaluation: the settings of evaluation.
        label: the model's name in the tables of an experiment.
        is_baseline: whether the experiment compares all others with this model.
    """

    folder: Path
    snapshot: Path
    description: dict[str, Any]
    config: Config
    training: TrainingConfig
    evaluation: EvaluationConfig
    label: str = ""
    is_baseline: bool = False

    @property
    def model_name(self) -> str:
        """A name of `registry.MODELS`."""
        return str(self.description["model"])

    @property
    def seed(self) -> int:
        """The seed for the initial values, the batches and the negatives."""
        return int(self.description["seed"])

    @property
    def snapshot_digest(self) -> str:
        """The digest of the snapshot's content."""
        return str(self.description["snapshot"]["content_digest"])

    @property
    def features(self) -> str | None:
        """The name of the feature set or of the arm; None is the main set."""
        name = self.description.get("features")
        return None if name is None else str(name)

    @property
    def fold(self) -> Fold | None:
        """The fold that the run reads in place of the snapshot's splits."""
        return fold_in(self.description)

    @property
    def is_trained(self) -> bool:
        """Whether the folder holds the weights of exactly this run."""
        return is_trained(self.folder, self.description)

    @property
    def is_done(self) -> bool:
        """Whether the folder holds the test metrics of exactly this run, with these settings of evaluation."""
        return is_evaluated(self.folder, self.description, self.evaluation)

    def __str__(self) -> str:
        fold = f", fold {self.fold.number}" if self.fold else ""
        return f"{self.label or self.model_name}, seed {self.seed}{fold}"


def ask_for(
    runs: Path,
    snapshot: Snapshot,
    model_name: str,
    config: Config,
    training: TrainingConfig,
    seed: int,
    evaluation: EvaluationConfig,
    is_fresh: bool = False,
) -> RunTask:
    """Return the run that these settings ask for: the one that is there, or a new one.

    Args:
        runs: the parent of all run folders.
        snapshot: the data, with the feature set that the model reads.
        model_name: a name of `registry.MODELS`.
        config: the model's settings.
        training: the settings of training.
        seed: the seed.
        evaluation: the settings of evaluation.
        is_fresh: ask for a new run beside the one that is there.
    """
    description = describe_run(model_name, config, training, seed, snapshot)
    folder = folder_of(runs, description, is_fresh)
    return RunTask(folder, snapshot.path, description, config, training, evaluation)
