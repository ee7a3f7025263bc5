"""Runs an experiment's tasks: each trains and evaluates one model with one seed.

A run is finished when its folder holds the test metrics of exactly this request (`done.json`). Finished runs are not
repeated, a run that `python -m model.train` has trained is only evaluated, and a stopped run continues from its
last checkpoint.
"""

import functools
import logging
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import loky
import torch

from dataset.errors import MissingInputError, PipelineError, TrainingError
from dataset.snapshots.snapshot import open_snapshot
from model.data.loading import SnapshotData, load
from model.evaluation.evaluate import evaluate
from model.experiments.run_folder import write_evaluation
from model.experiments.run_task import RunTask
from model.experiments.runs.store import lock_run
from model.experiments.training_run import OnTraining, trained_model
from model.models.held_out_frames import scorer_of
from model.training.trainer import Epoch

OnEpoch = Callable[[Epoch], None]
_POLL_S = 0.2
_log = logging.getLogger(__name__)


def train_and_evaluate(task: RunTask, on_epoch: OnEpoch = lambda epoch: None) -> None:
    """Train one model and evaluate it on the test split, as far as its run folder does not hold that yet.

    If another process trains or evaluates the same run, this waits until it ends.

    Raises:
        TrainingError: the loss or a score is not finite.
    """
    with lock_run(task.folder, lambda: _log.info("%s: another process works on it; waiting", task)):
        if task.is_done:
            return
        data = load_cached(task.snapshot, task.snapshot_digest, task.features, task.seed)
        model, _ = trained_model(task, data, on=OnTraining(epoch=on_epoch))
        started = time.perf_counter()
        scorer = scorer_of(model, data)
        evaluation = evaluate(scorer, data.tables, "test", task.model_name, task.seed, task.evaluation)
        write_evaluation(task.folder, "test", evaluation, task.evaluation, time.perf_counter() - started)


class Reporter:
    """Receives the events of a running experiment and ignores them. Override a method to show its event."""

    def left_out(self, models: Mapping[str, str]) -> None:
        """Report the models that cannot run on the snapshot, each with what the snapshot lacks."""

    def kept(self, n_kept: int, n_runs: int) -> None:
        """Report that `n_kept` of `n_runs` runs were finished earlier and are not repeated."""

    def searching(self, label: str, n_done: int, n_trials: int) -> None:
        """Report the begin of a search for a model's settings; `n_done` of its trials ended earlier."""

    def searched(self, label: str) -> None:
        """Report the end of a trial."""

    def chosen(self, label: str, settings: Mapping[str, Any], n_trials: int) -> None:
        """Report the settings that a search has chosen."""

    def epoch(self, task: RunTask, epoch: Epoch) -> None:
        """Report an epoch of a run."""

    def ended(self, task: RunTask, error: PipelineError | None, n_done: int, n_runs: int) -> None:
        """Report the end of a run, with its error if it failed; `n_done` of `n_runs` are finished now."""


def run_all(tasks: Sequence[RunTask], jobs: int, threads: int, reporter: Reporter) -> None:
    """Run the tasks that are not finished, `jobs` at a time with `threads` CPU threads each.

    Raises:
        PipelineError: a run failed (the others are run first), or a run's process was killed.
    """
    todo = [task for task in tasks if not task.is_done]
    n_done = len(tasks) - len(todo)
    if n_done:
        reporter.kept(n_done, len(tasks))
    failed: dict[str, PipelineError] = {}
    run = _run_in_processes if jobs > 1 and len(todo) > 1 else _run_here
    for task, error in run(todo, min(jobs, len(todo)), threads, reporter):
        if error:
            failed[str(task)] = error
        n_done += error is None
        reporter.ended(task, error, n_done, len(tasks))
    if failed:
        name, first = next(iter(failed.items()))
        raise TrainingError(
            f"{len(failed)} of {len(tasks)} runs failed ({'; '.join(failed)}); {name}: {first}; "
            "the finished runs are kept: fix the cause and run the same command again, or remove these models"
        )


Ended = Iterator[tuple[RunTask, PipelineError | None]]


def _run_here(tasks: Sequence[RunTask], jobs: int, threads: int, reporter: Reporter) -> Ended:
    """Run the tasks one after the other in this process; yield each with its error."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for task in tasks:
            try:
                train_and_evaluate(task, functools.partial(reporter.epoch, task))
                yield task, None
            except PipelineError as error:
                yield task, error
    finally:
        torch.set_num_threads(before)


def _run_in_processes(tasks: Sequence[RunTask], jobs: int, threads: int, reporter: Reporter) -> Ended:
    """Run the tasks in `jobs` worker processes; yield each with its error when it has ended."""
    epochs = loky.backend.get_context("loky").Queue()
    with _workers(jobs, epochs, threads) as pool:
        with _without_ctrl_c():  # the first task starts all workers
            running = {pool.submit(_run_in_worker, number, task): task for number, task in enumerate(tasks)}
        while running:
            ended, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            while not epochs.empty():
                number, epoch = epochs.get()
                reporter.epoch(tasks[number], epoch)
            for future in ended:
                error = future.exception()
                if error is not None and not isinstance(error, PipelineError):
                    raise error
                yield running.pop(future), error


@contextmanager
def _workers(jobs: int, epochs: Any, threads: int) -> Iterator[loky.ProcessPoolExecutor]:
    """Start worker processes (spawned, because a fork hangs once torch has run) and kill them at the end."""
    lifeline, held_here = multiprocessing.Pipe(duplex=False)  # the pipe closes when this process ends, even by SIGKILL
    pool = loky.ProcessPoolExecutor(jobs, initializer=_start_worker, initargs=(epochs, threads, lifeline))
    try:
        yield pool
    except loky.process_executor.TerminatedWorkerError:
        raise PipelineError(
            "a run's process was killed, perhaps because memory ran out; "
            "finished runs are kept: run the same command again with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(kill_workers=True)
        held_here.close()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block. Processes that start in the block never receive it."""
    multiprocessing.resource_tracker.ensure_running()  # if it started in the block, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_epochs: Any = None  # in a worker: the queue that its epochs go to


def _start_worker(epochs: Any, threads: int, lifeline: Connection) -> None:
    """Prepare a worker process. It ends when its parent does, even if that is killed."""
    global _epochs
    _epochs = epochs
    torch.set_num_threads(threads)
    threading.Thread(target=_exit_with_parent, args=(lifeline,), daemon=True).start()


def _exit_with_parent(lifeline: Connection) -> None:
    with suppress(EOFError):
        lifeline.recv()
    os._exit(1)


def _run_in_worker(number: int, task: RunTask) -> None:
    train_and_evaluate(task, lambda epoch: _epochs.put((number, epoch)))


def load_cached(snapshot: Path, content_digest: str, features: str | None, seed: int) -> SnapshotData:
    """Load a snapshot, and keep it in memory for the next run of this process.

    Args:
        snapshot: its folder.
        content_digest: the digest of its content.
        features: the feature set or the arm; None is the main set.
        seed: that of the run; only an arm depends on it.

    Raises:
        MissingInputError: its content no longer matches the digest.
    """
    opened = open_snapshot(snapshot).with_features(features)
    if opened.content_digest != content_digest:
        raise MissingInputError(
            f"{snapshot}: its content has changed since the experiment began; run the experiment again"
        )
    return _load_once(opened.path, content_digest, features, seed if opened.arm else 0)


@functools.lru_cache(maxsize=1)
def _load_once(snapshot: Path, content_digest: str, features: str | None, seed: int) -> SnapshotData:
    return load(open_snapshot(snapshot).with_features(features), seed)
