"""The settings of an experiment. This module imports no torch, so `--help` is fast."""

from collections.abc import Iterable
from dataclasses import field
from typing import Annotated

from cyclopts import Parameter
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from model.evaluation.config import EvaluationConfig
from model.models.names import MODEL_NAMES
from model.training.config import TrainingConfig


def _split(values: Iterable[object]) -> list[object]:
    """Split every text at its commas: ("bpr,jifr",) becomes ["bpr", "jifr"]."""
    return [part for value in values for part in (value.split(",") if isinstance(value, str) else [value])]


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


_CommaSeparated = BeforeValidator(_split)
_ShownJoined = Parameter(show_default=_joined)
Names = Annotated[tuple[str, ...], Field(min_length=1), _CommaSeparated, _ShownJoined]
Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), _CommaSeparated, _ShownJoined]


@dataclass(frozen=True)
class ExperimentConfig:
    """Which models are trained and how; models that need features are left out if the snapshot has none.

    Attributes:
        models: names, separated by commas; the report's gallery shows what the first one recommends
        seeds: whole numbers, separated by commas; one run per model and seed
        training: the same for all models
        evaluation: the same for all models
        jobs: number of runs at the same time (by default one per four cores, as memory allows)
        threads: CPU threads per run (by default its share of the cores)
    """

    models: Names = MODEL_NAMES
    seeds: Seeds = (0,)
    training: Annotated[TrainingConfig, Parameter(parse=False)] = field(default_factory=TrainingConfig)
    evaluation: Annotated[EvaluationConfig, Parameter(parse=False)] = field(default_factory=EvaluationConfig)
    jobs: PositiveInt | None = None
    threads: PositiveInt | None = None
