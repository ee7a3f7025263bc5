"""The settings of an experiment. This module imports no torch, so `--help` is fast."""

from dataclasses import field
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from dataset.cli import COMMA_SEPARATED, SHOWN_JOINED
from model.evaluation.config import EvaluationConfig
from model.models.names import DEFAULT_MODELS
from model.training.config import TrainingConfig

Names = Annotated[tuple[str, ...], Field(min_length=1), COMMA_SEPARATED, SHOWN_JOINED]
FeatureSets = Annotated[tuple[str, ...], COMMA_SEPARATED, SHOWN_JOINED]
Devices = Annotated[tuple[str, ...], COMMA_SEPARATED, SHOWN_JOINED]
Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), COMMA_SEPARATED, SHOWN_JOINED]


@dataclass(frozen=True)
class ExperimentConfig:
    """Which models are trained and how; models that need features are left out if the snapshot has none.

    Attributes:
        models: names, separated by commas (your own as package.module:Class); the report's gallery shows what the first
            one recommends
        seeds: whole numbers, separated by commas; one run per model and seed
        training: the same for all models
        evaluation: the same for all models
        jobs: number of runs at the same time (by default one per four cores, as memory allows)
        threads: CPU threads per run (by default its share of the cores)
        devices: what trains, separated by commas: cuda, or cuda:0,cuda:1 for several GPUs; a run on each at a time, or
            --jobs runs in all (default: cpu)
        features: names of feature sets to compare, separated by commas; main: the set without a name (default: main);
            shuffled, noise, constant, mean, or clip:shuffled: what models are given in place of a set, to measure
            what pictures add; the set itself is then added
    """

    models: Names = DEFAULT_MODELS
    seeds: Seeds = (0,)
    training: Annotated[TrainingConfig, Parameter(parse=False)] = field(default_factory=TrainingConfig)
    evaluation: Annotated[EvaluationConfig, Parameter(parse=False)] = field(default_factory=EvaluationConfig)
    jobs: PositiveInt | None = None
    threads: PositiveInt | None = None
    devices: Devices = ()
    features: FeatureSets = ()
