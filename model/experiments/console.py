"""Shows a training or an experiment on the terminal: a progress bar per run, and a line when a run has ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from optuna.trial import FrozenTrial
from rich.progress import TaskID

from dataset.cli import say
from dataset.errors import PipelineError, TrainingError
from dataset.progress import Bars, progress
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table
from dataset.wording import wording_of
from model.data.loading import SnapshotData
from model.experiments.run_task import RunTask
from model.experiments.runner import Reporter
from model.experiments.runs.store import lock_run
from model.experiments.tracking import NO_TRACKER, Tracker, settings_of
from model.experiments.training_run import (
    OnTraining,
    compare_with_baselines,
    require_resumable,
    trained_model,
    validation_metrics,
)
from model.experiments.trials import Search
from model.experiments.tuning import OnSearch, run_search, tuning_table
from model.schema import Metric
from model.training.trainer import Epoch, Trainer


def train_on_console(
    task: RunTask, data: SnapshotData, device: str, must_resume: bool, tracker: Tracker = NO_TRACKER
) -> None:
    """Train a run, or find it trained, and say how it compares with the baselines on validation.

    Raises:
        MissingInputError: it must be resumed, and was not started.
        TrainingError: the loss or a score is not finite, the weights of the trained run cannot be read, or the run
            must be resumed and its checkpoint cannot be used.
    """

    def begin(trainer: Trainer) -> None:
        if needed := type(trainer.model).bytes_needed(data.training.n_users, data.training.n_items):
            say(f"It needs about {needed / 2**30:.1f} GiB of memory.")
        if trainer.epochs:
            say(f"Resuming after epoch {len(trainer.epochs)}.")
        n_done, at = len(trainer.epochs), trainer.position
        bars.update(bar, total=trainer.most_epochs, completed=n_done, first=n_done, now=at, visible=True)
        tracker.settings(name, settings_of(task))

    def restart(why: TrainingError) -> None:
        if must_resume:
            raise why
        say(f"{str(why).partition(';')[0]}; training starts from the first epoch.")

    def epoch(done: Epoch) -> None:
        bars.update(bar, completed=done.epoch, note=str(done))
        tracker.epoch(name, done)

    name = task.folder.name
    waiting = f"Another process works on {task.folder.name}; waiting until it ends."
    with lock_run(task.folder, lambda: say(waiting)):
        if must_resume:
            require_resumable(task)
        with progress("epochs", each=True) as bars:
            bar = bars.add_task(f"Training {task.model_name}", total=None, visible=False)
            on = OnTraining(begin, restart, epoch)
            model, is_new = trained_model(task, data, device, on)
        if not is_new:
            say("This run is trained already; --fresh trains another one beside it.")
        metrics = validation_metrics(task, model, data, device)
    if metrics is not None:
        if is_new:
            tracker.metrics(name, "validation", metrics)
        say("On validation:", *compare_with_baselines(metrics, data, task.model_name, task.seed), sep="\n  ")


def search_on_console(
    folder: Path, search: Search, snapshot: Snapshot, data: SnapshotData, device: str, tracker: Tracker = NO_TRACKER
) -> None:
    """Run a search with a progress bar, and say how many trials could not be trained.

    Raises:
        UsageError: the folder holds another search.
        TooLittleDataError: there is no validation split.
        TrainingError: no trial could be trained.
    """

    def epoch(done: Epoch) -> None:
        bars.update(bar, note=f"epoch {done.epoch}, {done}")
        tracker.epoch(name_of_trial(), done)

    def trial(ended: FrozenTrial, n_done: int) -> None:
        tracker.settings(name_of_trial(), {"model": search.model_name, **search.settings(ended.params)})
        tracker.end(name_of_trial())
        bars.update(bar, completed=n_done)

    def name_of_trial() -> str:
        return f"{folder.name}-trial-{bars.tasks[0].completed:03.0f}"

    with progress("trials", each=True) as bars:
        bar = bars.add_task(f"Tuning {search.model_name}", total=None)
        on = OnSearch(
            begin=lambda n_done, n_trials: bars.update(bar, completed=n_done, first=n_done, total=n_trials),
            epoch=epoch,
            trial=trial,
        )
        study = run_search(folder, search, snapshot, data, device, on)
    table = tuning_table(search, study)
    failed = table["error"].drop_nulls()
    if len(failed):
        say(f"{len(failed)} of {table.height} trials could not be trained; for example: {failed[0]}")


@contextmanager
def console_reporter(tracker: Tracker = NO_TRACKER) -> Iterator[Reporter]:
    """Yield a reporter that writes to the terminal; bars are shown until the block ends."""
    with progress("epochs", each=True) as bars:
        yield _ConsoleReporter(bars, tracker)


class _ConsoleReporter(Reporter):
    def __init__(self, bars: Bars, tracker: Tracker) -> None:
        self._bars, self._tracker = bars, tracker
        self._bar_of: dict[str, TaskID] = {}

    def left_out(self, models: Mapping[str, str]) -> None:
        for why in dict.fromkeys(models.values()):
            names = ", ".join(name for name, reason in models.items() if reason == why)
            say(f"Left out, as the snapshot has {why}: {names}")

    def kept(self, n_kept: int, n_runs: int) -> None:
        say(f"{n_kept} of {n_runs} runs are already finished and are not repeated.")

    def searching(self, label: str, n_done: int, n_trials: int) -> None:
        name = f"Tuning {label}"
        self._bar_of[name] = self._bars.add_task(name, total=n_trials, completed=n_done, unit="trials")

    def searched(self, label: str, n_done: int) -> None:
        self._bars.update(self._bar_of[f"Tuning {label}"], completed=n_done, note="")

    def chosen(self, label: str, settings: Mapping[str, Any], n_trials: int) -> None:
        if (bar := self._bar_of.pop(f"Tuning {label}", None)) is not None:
            self._bars.remove_task(bar)
        words = ", ".join(f"{key}={value}" for key, value in settings.items())
        say(f"Chosen for {label} on validation, best of {n_trials} trials: {words}")

    def epoch(self, task: RunTask, epoch: Epoch) -> None:
        name = str(task)
        if name not in self._bar_of:
            self._bar_of[name] = self._bars.add_task(name, total=task.training.epochs)
        self._bars.update(self._bar_of[name], completed=epoch.epoch, note=str(epoch))
        self._tracker.epoch(task.folder.name, epoch)

    def ended(self, task: RunTask, error: PipelineError | None, n_done: int, n_runs: int) -> None:
        if str(task) in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(str(task)))
        line = f"[{n_done}/{n_runs}] {task}: {f'failed: {error}' if error else _results(task)}"
        self._bars.say(line)
        if not error:
            self._tracker.settings(task.folder.name, settings_of(task))
            self._tracker.metrics(task.folder.name, "test", read_table(task.folder / "metrics.parquet", Metric))
        self._tracker.end(task.folder.name)


def _results(task: RunTask) -> str:
    """Return a finished run's epochs, time and headline metrics as text."""
    metrics = pl.read_parquet(task.folder / "metrics.parquet", glob=False).with_columns(pl.col("task").cast(pl.String))
    cost = pl.read_parquet(task.folder / "costs.parquet", glob=False).row(0, named=True)
    n_epochs = cost["n_epochs"]
    epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
    parts = [f"{epochs} in {cost['train_s']:.0f} s" if n_epochs else "nothing to train"]
    items = wording_of(task.description.get("provenance") or {}).items
    for judged, words, k in (("item", items, 15), ("frame", "key frames", 3)):
        value = metrics.filter(task=judged, metric="ndcg", k=k)["value"].to_list()
        parts += [f"{words} NDCG@{k} {value[0]:.3f}"] if value else []
    return "; ".join(parts)
