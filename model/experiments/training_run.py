"""Trains a model into its run folder and evaluates it on validation."""

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from dataset.errors import PipelineError, TooLittleDataError
from model.data.loading import SnapshotData
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.results import Evaluation
from model.experiments.run_folder import write_checkpoint, write_evaluation, write_run
from model.experiments.settings import unread_settings
from model.models.registry import default_config, make_model
from model.training.trainer import Epoch, Trainer

_BASELINES = {"popular": "most popular", "random": "random"}
_SHOWN = (("item", "full_ndcg", 15), ("frame", "ndcg", 3))
_VALIDATION = EvaluationConfig(protocol="full")


class StoppedError(PipelineError):
    """Training was stopped with Ctrl-C. The exit status is 130, as in a shell."""

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
    """Train to the end, write the run folder, and return the evaluation on validation.

    It is None if validation has nothing that the model ranks: no movies, or no likes for a ranker of key frames.

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
    try:
        evaluation = evaluate(trained.model.scorer(), data.tables, "validation", model_name, seed, _VALIDATION, device)
    except TooLittleDataError:
        return None
    write_evaluation(folder, "validation", evaluation)
    return evaluation


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
