"""One run of an experiment: what determines its results, whether it is finished, and how it resumes."""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset.errors import MissingInputError, TrainingError
from model.evaluation.config import EvaluationConfig
from model.experiments.run_folder import read_description, resume_run, start_run
from model.models.recommender import Config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

_LEFT_OUT_OF_DIGEST = ("code_version", "torch_version", "provenance", "dataset")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunTask:
    """One model to train and evaluate with one seed. It is small and can be sent to any process.

    Attributes:
        folder: the run folder.
        snapshot: the snapshot's folder.
        description: the content of the run's `config.json`.
        config: the model's settings.
        training: the settings of training.
        evaluation: the settings of evaluation.
    """

    folder: Path
    snapshot: Path
    description: dict[str, Any]
    config: Config
    training: TrainingConfig
    evaluation: EvaluationConfig

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
    def feature_set(self) -> str | None:
        """The name of the feature set; None is the main one."""
        name = self.description.get("features")
        return None if name is None else str(name)

    @property
    def digest(self) -> str:
        """The SHA-256 of everything that determines the results, except the versions of the code and of torch."""
        return _digest(self.description, self.evaluation)

    @property
    def is_done(self) -> bool:
        """Whether the folder holds the results of exactly this run."""
        try:
            done = json.loads((self.folder / "done.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(done.get("digest") == self.digest)

    def start_or_resume(self, trainer: Trainer) -> None:
        """Restore the trainer from the folder's checkpoint if the same run wrote it; otherwise delete old results."""
        if (self.folder / "checkpoint.pt").is_file() and self._is_same_run():
            try:
                resume_run(self.folder, self.description, trainer)
                return
            except TrainingError as error:
                _log.info("%s; training starts from the first epoch", error)
        start_run(self.folder, self.description)

    def _is_same_run(self) -> bool:
        try:
            return _digest(read_description(self.folder), self.evaluation) == self.digest
        except MissingInputError:
            return False

    def __str__(self) -> str:
        on = f", features {self.feature_set}" if self.feature_set else ""
        return f"{self.model_name}{on}, seed {self.seed}"


def _digest(description: dict[str, Any], evaluation: EvaluationConfig) -> str:
    content = {key: value for key, value in description.items() if key not in _LEFT_OUT_OF_DIGEST}
    content["snapshot"] = description["snapshot"]["content_digest"]
    content["evaluation"] = asdict(evaluation)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
