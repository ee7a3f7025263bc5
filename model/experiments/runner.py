"""The runs of an experiment: each trains and judges one model with one seed, and is done once and for all.

A run is done when its folder holds `done.json` with the digest of all that determines its results:
model, settings, seed, the snapshot's content and how it is judged. A run that was stopped goes on
from its last checkpoint.
"""

import functools
import hashlib
import json
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import polars as pl
import torch

from dataset.cli import progress
from dataset.errors import MissingInputError, PipelineError, TrainingError
from dataset.files import write_json
from dataset.snapshots.snapshot import open_snapshot
from dataset.tables import write_table
from model.data.tables import Ids, Tables, index_ids
from model.data.tensors import HeldOutItems, TrainingData, held_out_items, training_data
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.experiments.memory import peak_memory_bytes, reset_peak_memory
from model.experiments.run_folder import (
    read_description,
    read_tables,
    resume_run,
    start_run,
    write_checkpoint,
    write_evaluation,
    write_run,
)
from model.models.recommender import Config
from model.schema import Cost
from model.training.config import TrainingConfig
from model.training.trainer import Epoch, TrainedRun, Trainer

_CHECKPOINT_EVERY_S = 10.0
_LEFT_OUT_OF_DIGEST = ("code_version", "torch_version", "provenance", "dataset")
OnEpoch = Callable[[int, int, str], None]  # epochs done, epochs at most, a note


@dataclass(frozen=True)
class RunTask:
    """What one run is: enough to do it in any process."""

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
        """The run's seed."""
        return int(self.description["seed"])

    @property
    def digest(self) -> str:
        """The SHA-256 of all that determines the results, but for the code."""
        return _digest(self.description, self.evaluation)

    @property
    def is_done(self) -> bool:
        """Whether the folder holds the results of exactly this run."""
        try:
            done = json.loads((self.folder / "done.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(done.get("digest") == self.digest)


@dataclass(frozen=True)
class Data:
    """A snapshot's tables, and what they become for training."""

    tables: Tables
    ids: Ids
    training: TrainingData
    validation: HeldOutItems | None


@functools.lru_cache(maxsize=1)
def load_data(snapshot: Path, content_digest: str) -> Data:
    """Read a snapshot for training and judging; the last one is kept for the next run of this process.

    Raises:
        MissingInputError: its content is no longer that of the digest.
    """
    opened = open_snapshot(snapshot)
    if opened.content_digest != content_digest:
        raise MissingInputError(f"{snapshot}: its content has changed since the experiment began; run it again")
    tables = read_tables(opened)
    ids = index_ids(tables)
    validation = held_out_items(tables, ids, "validation")
    return Data(tables, ids, training_data(tables, ids), validation if len(validation.positives.values) else None)


def do_run(task: RunTask, on_epoch: OnEpoch) -> None:
    """Train and judge, going on from the run's checkpoint where there is one; write the run folder.

    Raises:
        TrainingError: the loss or a score is not finite.
    """
    data = load_data(task.snapshot, task.description["snapshot"]["content_digest"])
    reset_peak_memory()
    name, seed = task.model_name, task.seed
    trainer = Trainer(data.training, data.validation, name, task.config, task.training, seed)
    _begin(task, trainer)
    written = time.monotonic()

    def keep(epoch: Epoch) -> None:
        nonlocal written
        on_epoch(epoch.epoch, task.training.epochs, str(epoch))
        if time.monotonic() - written > _CHECKPOINT_EVERY_S:
            write_checkpoint(task.folder, trainer)
            written = time.monotonic()

    trained = trainer.run(keep)
    write_run(task.folder, name, seed, trained)
    started = time.perf_counter()
    write_evaluation(
        task.folder, "test", evaluate(trained.model.scorer(), data.tables, "test", name, seed, task.evaluation)
    )
    cost = _cost(task, trained, time.perf_counter() - started)
    write_table(cost, Cost, task.folder / "costs.parquet")
    (task.folder / "checkpoint.pt").unlink(missing_ok=True)
    write_json(task.folder / "done.json", {"digest": task.digest})


def do_all(tasks: Sequence[RunTask], jobs: int, threads: int) -> None:
    """Do the runs that are not done, `jobs` at a time, each with `threads`; print a line for each.

    Raises:
        PipelineError: some runs failed; all others are done and stay so.
    """
    todo = [task for task in tasks if not task.is_done]
    if len(todo) < len(tasks):
        print(f"{len(tasks) - len(todo)} of {len(tasks)} runs were done before and are kept.", flush=True)
    failed: dict[str, str] = {}
    with progress("epochs") as bar:
        lines: dict[int, Any] = {}

        def on_epoch(number: int, done: int, total: int, note: str) -> None:
            if number not in lines:
                lines[number] = bar.add_task(_name(todo[number]), total=total, note="")
            bar.update(lines[number], completed=done, note=note)

        for number, error in _each(todo, jobs, threads, on_epoch):
            if number in lines:
                bar.remove_task(lines[number])
            n_done = len(tasks) - len(todo) + sum(task.is_done for task in todo)
            words = f"failed: {error}" if error else _in_words(todo[number])
            bar.console.print(
                f"[{n_done}/{len(tasks)}] {_name(todo[number])}: {words}", markup=False, highlight=False, soft_wrap=True
            )
            if error:
                failed[_name(todo[number])] = str(error)
    if failed:
        name, error_words = next(iter(failed.items()))
        raise TrainingError(
            f"{len(failed)} of {len(tasks)} runs failed ({', '.join(failed)}); {name}: {error_words}; "
            "the others are kept: mend it and run the same command again, or leave these models out"
        )


def _each(
    tasks: Sequence[RunTask], jobs: int, threads: int, on_epoch: Callable[[int, int, int, str], None]
) -> Iterator[tuple[int, PipelineError | None]]:
    """Do the runs and yield each one's number when it has ended, with its error if it failed."""
    if jobs > 1 and len(tasks) > 1:
        yield from _in_processes(tasks, min(jobs, len(tasks)), threads, on_epoch)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for number, task in enumerate(tasks):
            try:
                do_run(task, functools.partial(on_epoch, number))
                yield number, None
            except PipelineError as error:
                yield number, error
    finally:
        torch.set_num_threads(before)


def _in_processes(
    tasks: Sequence[RunTask], jobs: int, threads: int, on_epoch: Callable[[int, int, int, str], None]
) -> Iterator[tuple[int, PipelineError | None]]:
    context = multiprocessing.get_context("spawn")
    epochs = context.Queue()
    with _pool(ProcessPoolExecutor(jobs, context, _begin_worker, (epochs, threads))) as pool:
        futures: dict[Future[None], int] = {pool.submit(_work, n, task): n for n, task in enumerate(tasks)}
        while futures:
            ended, _ = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            while not epochs.empty():
                on_epoch(*epochs.get())
            for future in ended:
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise PipelineError(
                        "a run's process was killed, perhaps for want of memory; "
                        "what is done is kept: run the same command again, with fewer --jobs"
                    ) from None
                if error is not None and not isinstance(error, PipelineError):
                    raise error
                yield futures.pop(future), error


@contextmanager
def _pool(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """Close a pool; when stopped from the keyboard, at once and with what it is doing."""
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


_epochs: Any = None  # of a worker: where it reports


def _begin_worker(epochs: Any, threads: int) -> None:
    """Prepare a worker process, which ends when its parent does, however that ends."""
    global _epochs
    _epochs = epochs
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _work(number: int, task: RunTask) -> None:
    def on_epoch(done: int, total: int, note: str) -> None:
        try:
            _epochs.put_nowait((number, done, total, note))
        except queue.Full:
            return

    do_run(task, on_epoch)


def _begin(task: RunTask, trainer: Trainer) -> None:
    """Go on with the same run where it stopped, or start its folder anew."""
    try:
        same = _digest(read_description(task.folder), task.evaluation) == task.digest
    except (MissingInputError, KeyError):
        same = False
    if same and (task.folder / "checkpoint.pt").is_file():
        try:
            resume_run(task.folder, task.description, trainer)
            return
        except TrainingError:  # a checkpoint that cannot be read is worth no more than none
            pass
    start_run(task.folder, task.description)


def _digest(description: dict[str, Any], evaluation: EvaluationConfig) -> str:
    content = {key: value for key, value in description.items() if key not in _LEFT_OUT_OF_DIGEST}
    content["snapshot"] = description["snapshot"]["content_digest"]
    content["evaluation"] = asdict(evaluation)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _cost(task: RunTask, trained: TrainedRun, evaluate_s: float) -> pl.DataFrame:
    row = {
        "model": task.model_name,
        "seed": task.seed,
        "n_parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "n_epochs": len(trained.epochs),
        "best_epoch": trained.best_epoch,
        "train_s": float(sum(epoch.seconds for epoch in trained.epochs)),
        "evaluate_s": evaluate_s,
        "n_threads": torch.get_num_threads(),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    return pl.DataFrame([row], schema={name: column.dtype for name, column in Cost.columns().items()})


def _name(task: RunTask) -> str:
    return f"{task.model_name}, seed {task.seed}"


def _in_words(task: RunTask) -> str:
    metrics = pl.read_parquet(task.folder / "metrics.parquet").with_columns(pl.col("task").cast(pl.String))
    cost = pl.read_parquet(task.folder / "costs.parquet").row(0, named=True)
    parts = [f"{cost['n_epochs']} epochs in {cost['train_s']:.0f} s" if cost["n_epochs"] else "nothing to train"]
    for of, words, k in (("item", "movies", 15), ("frame", "key frames", 3)):
        value = metrics.filter(task=of, metric="ndcg", k=k)["value"].to_list()
        parts += [f"{words} NDCG@{k} {value[0]:.3f}"] if value else []
    return "; ".join(parts)
