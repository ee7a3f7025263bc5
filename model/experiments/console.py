"""Shows a running experiment on the terminal: a progress bar per run, and a line when a run has ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import polars as pl
from rich.progress import TaskID

from dataset.cli import say
from dataset.errors import PipelineError
from dataset.progress import Bars, progress
from model.experiments.run_task import RunTask
from model.experiments.runner import Reporter
from model.training.trainer import Epoch


@contextmanager
def console_reporter() -> Iterator[Reporter]:
    """Yield a reporter that writes to the terminal; bars are shown until the block ends."""
    with progress("epochs", each=True) as bars:
        yield _ConsoleReporter(bars)


class _ConsoleReporter(Reporter):
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bar_of: dict[str, TaskID] = {}

    def left_out(self, models: Mapping[str, str]) -> None:
        for why in dict.fromkeys(models.values()):
            names = ", ".join(name for name, reason in models.items() if reason == why)
            say(f"Left out, as the snapshot has {why}: {names}")

    def kept(self, n_kept: int, n_runs: int) -> None:
        say(f"{n_kept} of {n_runs} runs are already finished and are not repeated.")

    def epoch(self, task: RunTask, epoch: Epoch) -> None:
        name = str(task)
        if name not in self._bar_of:
            self._bar_of[name] = self._bars.add_task(name, total=task.training.epochs)
        self._bars.update(self._bar_of[name], completed=epoch.epoch, note=str(epoch))

    def ended(self, task: RunTask, error: PipelineError | None, n_done: int, n_runs: int) -> None:
        if str(task) in self._bar_of:
            self._bars.remove_task(self._bar_of.pop(str(task)))
        line = f"[{n_done}/{n_runs}] {task}: {f'failed: {error}' if error else _results(task)}"
        self._bars.say(line)


def _results(task: RunTask) -> str:
    """Return a finished run's epochs, time and headline metrics as text."""
    metrics = pl.read_parquet(task.folder / "metrics.parquet", glob=False).with_columns(pl.col("task").cast(pl.String))
    cost = pl.read_parquet(task.folder / "costs.parquet", glob=False).row(0, named=True)
    n_epochs = cost["n_epochs"]
    epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
    parts = [f"{epochs} in {cost['train_s']:.0f} s" if n_epochs else "nothing to train"]
    for judged, words, k in (("item", "movies", 15), ("frame", "key frames", 3)):
        value = metrics.filter(task=judged, metric="ndcg", k=k)["value"].to_list()
        parts += [f"{words} NDCG@{k} {value[0]:.3f}"] if value else []
    return "; ".join(parts)
