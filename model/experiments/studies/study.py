"""What a study is: models with their settings or search spaces, seeds, feature sets, evaluation and comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution

from dataset.errors import UsageError
from dataset.snapshots.snapshot import Fold
from model.evaluation.config import EvaluationConfig, ListColumns
from model.experiments.config import ExperimentConfig
from model.experiments.settings import settings_of_model
from model.models.recommender import Config
from model.models.registry import default_config
from model.training.config import TrainingConfig
from model.training.device import kind_and_number

T = TypeVar("T")


@dataclass(frozen=True)
class StudyModel:
    """A model of a study.

    Attributes:
        label: its name in all tables: the model's name, and a name of its own if the study has the model several times.
        model_name: a name of `registry.MODELS`.
        settings: settings of the model and of its training that differ from the defaults.
        space: the values that a search on validation tries; empty for no search.
        n_trials: the number of trials of the search; None for every combination.
        prune: whether a trial ends early if it is worse than the others.
    """

    label: str
    model_name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, BaseDistribution] = field(default_factory=dict)
    n_trials: int | None = None
    prune: bool = True

    def configs(self, settings: Mapping[str, Any], strict: bool = False) -> tuple[Config, TrainingConfig]:
        """Return the configs with these settings.

        Args:
            settings: settings of the model and of its training.
            strict: refuse a text for a number.

        Raises:
            UsageError: a setting is unknown or invalid.
        """
        return settings_of_model(settings, self.model_name, strict)


@dataclass(frozen=True)
class StudyLists:
    """Recommendations of another tool, which are judged like those of a model.

    Attributes:
        label: its name in all tables.
        files: a file per seed of the study, or one. In a study with folds, `{fold}` stands for a fold's number.
        columns: the names of the files' columns.
    """

    label: str
    files: tuple[str, ...]
    columns: ListColumns = field(default_factory=ListColumns)

    def path(self, place: int, fold: Fold | None) -> Path:
        """Return the file of the seed at a place, and of a fold."""
        return Path(self.files[place].replace(FOLD, str(fold.number)) if fold else self.files[place])


FOLD = "{fold}"
"""Stands for the number of a fold, from 1, in the name of a file."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of a study: number `number` of `count`, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the part that a text such as `2/8` names.

        Raises:
            UsageError: it names none.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UsageError(f"--shard {text!r} is no part; write for example 2/8 for the second of eight")
        return cls(int(number), int(count))

    def of(self, things: Sequence[T]) -> Sequence[T]:
        """Return this part of a sequence; the parts are disjoint, adjacent and of nearly equal length."""
        return things[(self.number - 1) * len(things) // self.count : self.number * len(things) // self.count]


WHOLE = Shard(1, 1)
"""All of a study."""


@dataclass(frozen=True)
class Study:
    """What is trained, evaluated and compared.

    Attributes:
        models: at least one; the report's gallery shows what the first one recommends.
        seeds: one run per model and seed; a search uses the first.
        features: names of feature sets; none for the one that the snapshot was opened with.
        lists: recommendations of other tools.
        folds: the folds of train and validation that models are judged on; none for the test split.
        evaluation: the settings of evaluation, the same for all models.
        baseline: the label of the model or the lists that all others are compared with; None for all pairs.
        metrics: the metrics that are compared; none for all.
        devices: what trains: "cpu", "cuda" or "cuda:1", each with a process; none for the CPU.
        unequal: whether searches may have different numbers of trials.
        jobs: number of runs at the same time (None: one per device, or one per four cores, as memory allows).
        threads: CPU threads per run (None: its share of the cores).
        file: the name of the study's file, None without one.
        text: the file's content.
    """

    models: tuple[StudyModel, ...]
    seeds: tuple[int, ...] = (0,)
    features: tuple[str, ...] = ()
    lists: tuple[StudyLists, ...] = ()
    folds: tuple[Fold, ...] = ()
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    baseline: str | None = None
    metrics: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    unequal: bool = False
    jobs: int | None = None
    threads: int | None = None
    file: str | None = None
    text: str | None = None


def study_of(config: ExperimentConfig, settings: Mapping[str, Any] | None = None) -> Study:
    """Return the study of models that share their settings.

    Args:
        config: the models and seeds.
        settings: settings of training, and such that all the models have.

    Raises:
        UsageError: a model, setting or device is unknown, or only some of the models have the setting.
    """
    require_devices(config.devices, "--devices")
    shared = {one.name: getattr(config.training, one.name) for one in fields(TrainingConfig)}
    names = tuple(dict.fromkeys(config.models))
    _require_shared(settings or {}, names)
    models = tuple(StudyModel(name, name, shared | dict(settings or {})) for name in names)
    for model in models:
        model.configs(model.settings)
    return Study(
        models, config.seeds, config.features, evaluation=config.evaluation, devices=config.devices, jobs=config.jobs,
        threads=config.threads,
    )  # fmt: skip


def require_devices(devices: Sequence[str], place: str) -> None:
    """Check that all devices are here; errors begin with the place that names them.

    Raises:
        UsageError: a device is unknown or not available.
    """
    for device in devices:
        try:
            kind_and_number(device)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from None


def _require_shared(settings: Mapping[str, Any], names: Sequence[str]) -> None:
    known = {name: {one.name for one in fields(default_config(name))} for name in names}
    for key, value in settings.items():
        having = [name for name in names if key in known[name]]
        if having and len(having) < len(names) and key not in {one.name for one in fields(TrainingConfig)}:
            raise UsageError(
                f"--set {key}={value}: only {', '.join(having)} of the models have this setting; write it below "
                f"[models.{having[0]}] in a study file and run `python -m model.experiment study.toml`"
            )
