"""Trains a model into its run folder and judges it on validation."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from dataset.errors import PipelineError
from model.data.loading import SnapshotData
from model.evaluate import EvaluationConfig, evaluate
from model.evaluation.results import Evaluation
from model.experiments.run_folder import write_checkpoint, write_evaluation, write_run
from model.models.registry import default_config, make_model
from model.training.trainer import Epoch, Trainer

BASELINES = ("popular", "random")
_VALIDATION = EvaluationConfig(protocol="full")


class StoppedError(PipelineError):
    """Training was stopped from the keyboard. Exit status 130, as in a shell."""

    exit_status = 130


def train_and_validate(
    folder: Path,
    trainer: Trainer,
    data: SnapshotData,
    model_name: str,
    seed: int,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Evaluation | None:
    """Train to the end, write the run folder, and return the evaluation on validation (None without validation).

    The folder must have been started (`start_run` or `resume_run`). A checkpoint is written after every
    epoch, before `on_epoch` is called.

    Raises:
        StoppedError: Ctrl-C was pressed; the checkpoint is kept.
        TrainingError: the loss or a score is not finite.
    """

    def after_epoch(epoch: Epoch) -> None:
        write_checkpoint(folder, trainer)
        on_epoch(epoch)

    try:
        trained = trainer.run(after_epoch)
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped after epoch {len(trainer.epochs)}; add --resume to the same command to continue"
        ) from None
    write_run(folder, model_name, seed, trained)
    if data.validation is None:
        return None
    evaluation = evaluate(trained.model.scorer(), data.tables, "validation", model_name, seed, _VALIDATION, device)
    write_evaluation(folder, "validation", evaluation)
    return evaluation


def validate_baselines(data: SnapshotData, seed: int) -> pl.DataFrame:
    """Return the validation metrics of most popular and random."""
    judged = []
    for name in BASELINES:
        scorer = make_model(name, default_config(name), data.training, seed).scorer()
        judged.append(evaluate(scorer, data.tables, "validation", name, seed, _VALIDATION).metrics)
    return pl.concat(judged)
