"""Trains the model of a run, or continues, or finds it trained; and evaluates it on validation."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from dataset.errors import MissingInputError, TooLittleDataError, TrainingError
from dataset.tables import read_table
from model.data.loading import SnapshotData
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.experiments.memory import peak_memory_bytes, reset_peak_memory
from model.experiments.run_folder import (
    evaluation_path,
    load_model,
    resume_run,
    start_run,
    write_checkpoint,
    write_evaluation,
    write_run,
)
from model.experiments.run_task import RunTask
from model.experiments.settings import unread_settings
from model.models.held_out_frames import scorer_of
from model.models.recommender import Recommender
from model.models.registry import default_config, make_model
from model.schema import Cost, Metric
from model.training.trainer import Epoch, TrainedRun, Trainer

CHECKPOINT_EVERY_S = 10.0
_BASELINES = {"popular": "most popular", "random": "random"}
_SHOWN = (("item", "full_ndcg", 15), ("frame", "ndcg", 3))
_VALIDATION = EvaluationConfig(protocol="full")


@dataclass
class OnTraining:
    """What is called while a run is trained; by default nothing.

    Attributes:
        begin: before the first epoch, with the trainer; its `epochs` are those of a continued run.
        restart: with the error, if there is a checkpoint that cannot be used.
        epoch: after every epoch.
    """

    begin: Callable[[Trainer], None] = lambda trainer: None
    restart: Callable[[TrainingError], None] = lambda why: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


def trained_model(
    task: RunTask, data: SnapshotData, device: str = "cpu", on: OnTraining | None = None
) -> tuple[Recommender, bool]:
    """Return the run's model, on `device`, and whether it was trained now: a trained run is not trained again.

    An unfinished run continues from its checkpoint, which is written after the first epoch and then every 10 s, and
    ends with the same weights as one that was never stopped. The caller holds the run's lock.

    Raises:
        TrainingError: the loss is not finite, or the weights of the trained run cannot be read.
    """
    if task.is_trained:
        return load_model(task.folder, task.description, data).to(device), False
    on = on or OnTraining()
    reset_peak_memory()
    trainer = Trainer(data.training, data.validation, task.model_name, task.config, task.training, task.seed, device)
    _start_or_resume(task, trainer, on)
    on.begin(trainer)
    checkpoints = _Checkpoints(task.folder, trainer, on.epoch)
    trained = trainer.run(checkpoints.after_epoch)
    write_run(task.folder, task.model_name, task.seed, trained, _cost(task, trained))
    return trained.model, True


def require_resumable(task: RunTask) -> None:
    """Check that there is a run to continue (`--resume`).

    Raises:
        MissingInputError: no run of these settings and data was started.
    """
    if not task.is_trained and not (task.folder / "checkpoint.pt").is_file():
        raise MissingInputError(
            f"{task.folder}: no run was started with these settings on this snapshot, so none can be resumed; "
            "omit --resume"
        )


def _start_or_resume(task: RunTask, trainer: Trainer, on: OnTraining) -> None:
    if (task.folder / "checkpoint.pt").is_file():
        try:
            resume_run(task.folder, task.description, trainer)
            return
        except TrainingError as error:
            on.restart(error)
    start_run(task.folder, task.description)


class _Checkpoints:
    """Writes a checkpoint after the first epoch, and then after an epoch if the last one is old enough."""

    def __init__(self, folder: Path, trainer: Trainer, on_epoch: Callable[[Epoch], None]) -> None:
        self._folder, self._trainer, self._on_epoch = folder, trainer, on_epoch
        self._written = -math.inf

    def after_epoch(self, epoch: Epoch) -> None:
        if not self._trainer.is_finished and time.monotonic() - self._written >= CHECKPOINT_EVERY_S:
            write_checkpoint(self._folder, self._trainer)
            self._written = time.monotonic()
        self._on_epoch(epoch)


def _cost(task: RunTask, trained: TrainedRun) -> pl.DataFrame:
    row = {
        "model": task.model_name,
        "seed": task.seed,
        "n_parameters": trained.model.n_weights,
        "n_epochs": len(trained.epochs),
        "best_epoch": trained.best_epoch,
        "train_s": float(sum(epoch.seconds for epoch in trained.epochs)),
        "evaluate_s": None,
        "n_threads": torch.get_num_threads(),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    return pl.DataFrame([row], schema={name: column.dtype for name, column in Cost.columns().items()})


def validation_metrics(
    task: RunTask, model: Recommender, data: SnapshotData, device: str = "cpu"
) -> pl.DataFrame | None:
    """Return the run's `metrics` on validation, evaluated now if they are not in its folder.

    None if validation has nothing that the model ranks: no movies, or no likes for a ranker of key frames.

    Raises:
        TrainingError: a score is not finite.
    """
    path = evaluation_path(task.folder, "validation", "metrics")
    if path.is_file():
        return read_table(path, Metric)
    started = time.perf_counter()
    try:
        evaluation = evaluate(
            scorer_of(model, data), data.tables, "validation", task.model_name, task.seed, _VALIDATION, device
        )
    except TooLittleDataError:
        return None
    write_evaluation(task.folder, "validation", evaluation, _VALIDATION, time.perf_counter() - started)
    return evaluation.metrics


def settings_without_effect(settings: Iterable[str], name: str) -> list[str]:
    """Return a line that names the settings without effect on a model; none without such."""
    given = set(settings)
    unread = [key for key in unread_settings(name) if key in given]
    return [f"Without effect, as {name} is not trained on pairs: {', '.join(unread)}"] if unread else []


def compare_with_baselines(metrics: pl.DataFrame, data: SnapshotData, model_name: str, seed: int) -> list[str]:
    """Return one line per task: the model's NDCG on validation, and how it compares with each baseline.

    Args:
        metrics: the model's `metrics` table on validation.
        data: what it was trained on.
        model_name: the model.
        seed: for the random baseline.
    """
    baselines = {
        name: evaluate(
            make_model(name, default_config(name), data.training, seed).scorer(),
            data.tables, "validation", name, seed, _VALIDATION,
        ).metrics
        for name in _BASELINES if name != model_name
    }  # fmt: skip
    lines = []
    for task, metric, k in _SHOWN:
        value = _value(metrics, task, metric, k)
        if value is None:
            lines.append(f"{task}s: nothing to evaluate ({model_name} ranks no {task}s, or validation has no likes).")
            continue
        compared = [
            _compared(_BASELINES[name], value, baseline)
            for name, table in baselines.items()
            if (baseline := _value(table, task, metric, k)) is not None
        ]
        lines.append(f"{task}s: NDCG@{k} {value:.4f}; " + "; ".join(compared) + ".")
    return lines


def _value(metrics: pl.DataFrame, task: str, metric: str, k: int) -> float | None:
    found = metrics.filter(pl.col("task").cast(pl.String) == task, pl.col("metric") == metric, pl.col("k") == k)
    return None if found.is_empty() else float(found["value"][0])


def _compared(words: str, value: float, baseline: float) -> str:
    if value == baseline:
        return f"as good as {words}"
    verb = "beats" if value > baseline else "does not beat"
    ratio = f", {value / baseline:.2f} times" if baseline else ""
    return f"{verb} {words} ({baseline:.4f}{ratio})"
