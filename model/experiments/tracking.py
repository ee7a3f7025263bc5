"""Writes the epochs and metrics of runs to a tracking tool as well: TensorBoard, MLflow or Weights & Biases.

Nothing is sent anywhere: each tool writes into a folder of its own below `data/tracking`, from which its program reads
(`tensorboard --logdir data/tracking/tensorboard`, `mlflow ui --backend-store-uri sqlite:///data/tracking/mlflow/mlflow.db`,
`wandb sync data/tracking/wandb/wandb/offline-run-*`). Our own tables and reports do not depend on it.

A tool is a `Tracker`, which opens a `TrackedRun` for each training. Names of values: `train/loss`, `train/seconds`,
`validation/ndcg`, and at the end `test/item_ndcg_15` and so on.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from dataset.extras import require_library
from model.experiments.folders import DEFAULT_TRACKING
from model.experiments.run_task import RunTask
from model.experiments.training_options import Tool
from model.training.trainer import Epoch

_PROJECT = "douban-keyframes"


def settings_of(task: RunTask) -> dict[str, Any]:
    """Return what makes a run, as flat names and values."""
    known = task.description
    of_data = {"snapshot": known["snapshot"]["content_digest"], "features": known.get("features")}
    return {"model": known["model"], "seed": known["seed"], **of_data, **known["config"], **known["training"]}


class TrackedRun(Protocol):
    """One training, as a tool sees it."""

    def settings(self, values: Mapping[str, Any]) -> None:
        """Record settings."""

    def values(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step, the number of epochs."""

    def close(self) -> None:
        """Write everything, and end the run."""


class Tracker:
    """The runs of one command. Runs are opened when their first value comes. Without a tool, it records nothing."""

    def __init__(self, tool: Tool | None, folder: Path) -> None:
        self._tool, self._folder = tool, folder
        self._open: dict[str, TrackedRun] = {}
        self._steps: dict[str, int] = {}

    def settings(self, name: str, values: Mapping[str, Any]) -> None:
        """Record the settings of a run."""
        if run := self._run(name):
            run.settings(values)

    def epoch(self, name: str, epoch: Epoch) -> None:
        """Record an epoch of a run."""
        found = {
            "train/loss": epoch.loss,
            "validation/ndcg": epoch.validation_ndcg,
            "train/seconds": epoch.seconds,
        }
        self._steps[name] = epoch.epoch
        if run := self._run(name):
            run.values({key: value for key, value in found.items() if value is not None}, epoch.epoch)

    def metrics(self, name: str, split: str, metrics: pl.DataFrame) -> None:
        """Record a `metrics` table of a run at its last epoch."""
        if run := self._run(name):
            rows = metrics.select(pl.col("task").cast(pl.String), "metric", "k", "value").rows()
            values = {f"{split}/{task}_{metric}_{k}": float(value) for task, metric, k, value in rows}
            run.values(values, self._steps.get(name, 0))

    def end(self, name: str) -> None:
        """End a run, if it is open."""
        if run := self._open.pop(name, None):
            run.close()

    def close(self) -> None:
        """End all runs."""
        with ExitStack() as ends:
            for name in list(self._open):
                ends.callback(self.end, name)

    def _run(self, name: str) -> TrackedRun | None:
        if self._tool is None:
            return None
        if name not in self._open:
            self._open[name] = _RUNS[self._tool](self._folder / self._tool, name)
        return self._open[name]


def require_tool(tool: Tool | None) -> None:
    """Check that a tool, if one is named, is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if tool is not None:
        require_library(tool, f"--log {tool}")


@contextmanager
def open_tracker(tool: Tool | None, folder: Path = DEFAULT_TRACKING) -> Iterator[Tracker]:
    """Yield a tracker, and end its runs when the block ends.

    Args:
        tool: the tool; None for none.
        folder: the parent of the tools' folders.

    Raises:
        MissingExtraError: the tool is not installed.
    """
    require_tool(tool)
    tracker = Tracker(tool, folder)
    try:
        yield tracker
    finally:
        tracker.close()


class _TensorBoardRun:
    def __init__(self, folder: Path, name: str) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes seconds

        self._writer = SummaryWriter(str(folder / name))

    def settings(self, values: Mapping[str, Any]) -> None:
        rows = "\n".join(f"| {key} | {value} |" for key, value in values.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")

    def values(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _MlflowRun:
    def __init__(self, folder: Path, name: str) -> None:
        from mlflow.tracking import MlflowClient

        folder.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        known = self._client.get_experiment_by_name(_PROJECT)
        files = (folder.resolve() / "artifacts").as_uri()
        experiment = known.experiment_id if known else self._client.create_experiment(_PROJECT, files)
        self._id = self._client.create_run(experiment, run_name=name).info.run_id

    def settings(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._client.log_param(self._id, key, value)

    def values(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._client.log_metric(self._id, key, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


class _WandbRun:
    def __init__(self, folder: Path, name: str) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(project=_PROJECT, name=name, dir=str(folder), mode="offline", reinit="create_new")

    def settings(self, values: Mapping[str, Any]) -> None:
        self._run.config.update(dict(values))

    def values(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


_RUNS: dict[str, Callable[[Path, str], TrackedRun]] = {
    "tensorboard": _TensorBoardRun,
    "mlflow": _MlflowRun,
    "wandb": _WandbRun,
}

NO_TRACKER = Tracker(None, DEFAULT_TRACKING)
