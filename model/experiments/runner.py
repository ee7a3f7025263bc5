"""Runs an experiment's tasks, each of which trains and evaluates one model with one seed, in `Workers`.

A run is finished when its folder holds the test metrics of exactly this request (`done.json`). Finished runs are not
repeated, a run that `python -m model.train` has trained is only evaluated, and a stopped run continues from its
last checkpoint.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset.errors import MissingInputError, PipelineError, TrainingError
from dataset.snapshots.snapshot import Fold, open_snapshot
from model.data.loading import SnapshotData, load
from model.evaluation.evaluate import evaluate
from model.experiments.run_folder import write_evaluation
from model.experiments.run_task import RunTask
from model.experiments.runs.store import lock_run
from model.experiments.training_run import OnTraining, trained_model
from model.experiments.workers import Workers
from model.models.held_out_frames import scorer_of
from model.training.trainer import Epoch

OnEpoch = Callable[[Epoch], None]
_log = logging.getLogger(__name__)


def train_and_evaluate(task: RunTask, on_epoch: OnEpoch = lambda epoch: None, device: str = "cpu") -> None:
    """Train one model and evaluate it on the test split, as far as its run folder does not hold that yet.

    If another process trains or evaluates the same run, this waits until it ends.

    Raises:
        TrainingError: the loss or a score is not finite.
    """
    with lock_run(task.folder, lambda: _log.info("%s: another process works on it; waiting", task)):
        if task.is_done:
            return
        data = load_cached(task.snapshot, task.snapshot_digest, task.features, task.seed, task.fold)
        model, _ = trained_model(task, data, device, OnTraining(epoch=on_epoch))
        started = time.perf_counter()
        scorer = scorer_of(model, data)
        evaluation = evaluate(scorer, data.tables, "test", task.model_name, task.seed, task.evaluation, device)
        write_evaluation(task.folder, "test", evaluation, task.evaluation, time.perf_counter() - started)


class Reporter:
    """Receives the events of a running experiment and ignores them. Override a method to show its event."""

    def left_out(self, models: Mapping[str, str]) -> None:
        """Report the models that cannot run on the snapshot, each with what the snapshot lacks."""

    def kept(self, n_kept: int, n_runs: int) -> None:
        """Report that `n_kept` of `n_runs` runs were finished earlier and are not repeated."""

    def searching(self, label: str, n_done: int, n_trials: int) -> None:
        """Report the begin of a search for a model's settings; `n_done` of its trials ended earlier."""

    def searched(self, label: str, n_done: int) -> None:
        """Report the end of a trial; `n_done` of the search's have ended now."""

    def chosen(self, label: str, settings: Mapping[str, Any], n_trials: int) -> None:
        """Report the settings that a search has chosen."""

    def epoch(self, task: RunTask, epoch: Epoch) -> None:
        """Report an epoch of a run."""

    def ended(self, task: RunTask, error: PipelineError | None, n_done: int, n_runs: int) -> None:
        """Report the end of a run, with its error if it failed; `n_done` of `n_runs` are finished now."""


def run_all(tasks: Sequence[RunTask], workers: Workers, reporter: Reporter) -> None:
    """Run the tasks that are not finished.

    Raises:
        PipelineError: a run failed (the others are run first), or a run's process was killed.
    """
    todo = [task for task in tasks if not task.is_done]
    n_done = len(tasks) - len(todo)
    if n_done:
        reporter.kept(n_done, len(tasks))
    failed: dict[str, PipelineError] = {}

    def on_epoch(number: int, epoch: Epoch) -> None:
        reporter.epoch(todo[number], epoch)

    for number, error in workers.run([functools.partial(_run, task) for task in todo], on_epoch):
        if error:
            failed[str(todo[number])] = error
        n_done += error is None
        reporter.ended(todo[number], error, n_done, len(tasks))
    if failed:
        name, first = next(iter(failed.items()))
        raise TrainingError(
            f"{len(failed)} of {len(tasks)} runs failed ({'; '.join(failed)}); {name}: {first}; "
            "the finished runs are kept: fix the cause and run the same command again, or remove these models"
        )


def _run(task: RunTask, device: str, on_epoch: OnEpoch) -> None:
    train_and_evaluate(task, on_epoch, device)


def load_cached(
    snapshot: Path, content_digest: str, features: str | None, seed: int, fold: Fold | None = None
) -> SnapshotData:
    """Load a snapshot, and keep it in memory for the next run of this process.

    Args:
        snapshot: its folder.
        content_digest: the digest of its content.
        features: the feature set or the arm; None is the main set.
        seed: that of the run; only an arm depends on it.
        fold: the fold that is read in place of the snapshot's splits; None for its splits.

    Raises:
        MissingInputError: its content no longer matches the digest.
    """
    opened = open_snapshot(snapshot).with_features(features)
    if opened.content_digest != content_digest:
        raise MissingInputError(
            f"{snapshot}: its content has changed since the experiment began; run the experiment again"
        )
    return _load_once(opened.path, content_digest, features, seed if opened.arm else 0, fold)


@functools.lru_cache(maxsize=1)
def _load_once(snapshot: Path, content_digest: str, features: str | None, seed: int, fold: Fold | None) -> SnapshotData:
    return load(open_snapshot(snapshot).with_features(features).with_fold(fold), seed)
