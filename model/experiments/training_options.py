"""The options that training and tuning share on the command line."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic.dataclasses import dataclass

from dataset.cli import Count, CountOrZero
from model.models.names import MODEL_NAMES, Loss

Tool = Literal["tensorboard", "mlflow", "wandb"]
"""A tool that shows how trainings go (`model.experiments.tracking`)."""


@dataclass(frozen=True)
class TrainingOptions:
    """Which model is trained, on which data, with which settings, and where.

    Attributes:
        model: the model's name; jifr if absent
        snapshot: a snapshot's folder (the newest if absent)
        features: the name of the snapshot's feature set (the main one if absent), or what is given in its place:
            shuffled, noise, constant or mean, as in clip:shuffled
        loss: what a model that learns from pairs minimises (its own if absent); the same as --set loss=…
        seed: for the initial values, the batches and the negatives
        set: a setting as KEY=VALUE, for example visual_dim=64; may be repeated
        config: a TOML file of settings; --set overrides it
        device: cpu or cuda
        threads: CPU threads (all if absent); one thread is faster for a small dataset on a busy machine
        log: also write every epoch for this tracking tool, into data/tracking (an extra of the same name)
    """

    model: Annotated[
        str | None,
        Parameter(help=f"one of {', '.join(MODEL_NAMES)}, or your own as package.module:Class (jifr if absent)"),
    ] = None
    snapshot: Path | None = None
    features: str | None = None
    loss: Loss | None = None
    seed: CountOrZero = 0
    set: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = ()
    config: Path | None = None
    device: str = "cpu"
    threads: Count | None = None
    log: Tool | None = None

    @property
    def assignments(self) -> tuple[str, ...]:
        """The settings as KEY=VALUE."""
        return (*self.set, *([f"loss={self.loss}"] if self.loss else []))
