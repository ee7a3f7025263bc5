"""Describes the runs of a folder in a few words each: settings, state, metrics, age."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.errors import PipelineError
from model.experiments.run_folder import evaluation_path, read_description
from model.experiments.runs.store import is_in_use, run_folders
from model.models.registry import default_config
from model.training.config import TrainingConfig

_SHOWN = (("item", 15), ("frame", 3))
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class ListedRun:
    """A run as `python -m model runs` shows it.

    Attributes:
        name: the name of its folder.
        folder: its folder.
        model: the model's name.
        seed: the seed.
        snapshot: the snapshot's name and version.
        features: the feature set, None for the main one.
        state: "trained", "unfinished", "in use" (by a process, now), "unreadable", or "recommendations": another
            tool's.
        settings: the settings that differ from the defaults of this version.
        epochs: the number of epochs of a trained run.
        metrics: `test ndcg@15`, `validation full_ndcg@15` and others, as far as they were evaluated.
        age_s: seconds since its last change.
    """

    name: str
    folder: str
    model: str
    seed: int
    snapshot: str
    features: str | None
    state: str
    settings: dict[str, Any]
    epochs: int | None
    metrics: dict[str, float]
    age_s: float

    def __str__(self) -> str:
        """Return one line."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "default settings"
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        state = f"{self.state}, {self.epochs} epochs" if self.epochs else self.state
        return "; ".join([f"{self.name}: {settings}", state, *([metrics] if metrics else []), f"{age(self.age_s)} old"])


def list_runs(runs: Path) -> list[ListedRun]:
    """Return the runs below a folder, the one that was changed last at the end."""
    now = time.time()
    found = [_listed(folder, now) for folder in run_folders(runs)]
    return sorted(found, key=lambda run: (-run.age_s, run.name))


def age(seconds: float) -> str:
    """Return a time span in its largest unit: `3 h`."""
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), _UNITS[-1])
    return f"{int(seconds // size)} {name}"


def _listed(folder: Path, now: float) -> ListedRun:
    changed = max((path.stat().st_mtime for path in folder.iterdir() if path.is_file()), default=now)
    name, age_s = folder.name, max(0.0, now - changed)
    try:
        description = read_description(folder)
    except PipelineError:
        return ListedRun(name, str(folder), "", 0, "", None, "unreadable", {}, None, {}, age_s)
    snapshot = description["snapshot"]
    is_trained = (folder / "model.pt").is_file()
    state = "recommendations" if "recommendations" in description else "trained" if is_trained else "unfinished"
    state = "in use" if is_in_use(folder) else state
    epochs = _rows(folder / "training.parquet").height if is_trained else None
    return ListedRun(
        name,
        str(folder),
        description["model"],
        description["seed"],
        f"{snapshot['name']} v{snapshot['version']:04d}",
        description.get("features"),
        state,
        _own_settings(description),
        epochs,
        _metrics(folder),
        age_s,
    )


def _own_settings(description: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the defaults; all of them for a model that this version does not know."""
    try:
        defaults = asdict(default_config(description["model"]))
    except PipelineError:
        defaults = {}
    defaults |= asdict(TrainingConfig())
    given = {**description["config"], **description["training"]}
    return {key: value for key, value in given.items() if key not in defaults or defaults[key] != value}


def _metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for split in ("test", "validation"):
        metrics = _rows(evaluation_path(folder, split, "metrics"))
        for task, k in _SHOWN:
            for metric in ("ndcg", "full_ndcg"):
                rows = (
                    metrics.filter(pl.col("task").cast(pl.String) == task, metric=metric, k=k)
                    if len(metrics)
                    else metrics
                )
                if len(rows) and not any(name.startswith(f"{split} {task}") for name in found):
                    found[f"{split} {task} {metric}@{k}"] = float(rows["value"][0])
    return found


def _rows(path: Path) -> pl.DataFrame:
    """Return a table of a run, empty if it is missing or cannot be read."""
    try:
        return pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame()
