"""Compares evaluated runs: which models differ by more than chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dataset.errors import MissingInputError, UsageError
from dataset.feature_sets import MAIN
from dataset.progress import stage
from dataset.tables import read_table
from model.evaluation.uncertainty import compare
from model.experiments.run_folder import evaluation_path, read_description
from model.schema import UserMetric


@stage("Comparing the runs")
def compare_runs(runs: Sequence[Path], split: str = "test") -> pl.DataFrame:
    """Return the `comparisons` table of evaluated runs: every pair of models in every metric.

    Runs that differ only in their seed count as one model. Runs of one model with different settings
    count as different models, named by the settings that differ (`bpr dim=64`), and so do runs of one model on
    different feature sets (`vbpr features=clip`).

    Raises:
        MissingInputError: a folder is not a run, or has not been evaluated on the split.
        UsageError: the runs were trained on different snapshots, or two have the same model, settings and seed.
    """
    digests: dict[str, Path] = {}
    seen: dict[tuple[str, int], Path] = {}
    tables = []
    descriptions = [read_description(folder) for folder in runs]
    for folder, description, label in zip(runs, descriptions, labels(descriptions), strict=True):
        digests.setdefault(description["snapshot"]["content_digest"], folder)
        first = seen.setdefault((label, description["seed"]), folder)
        if first != folder:
            raise UsageError(
                f"{first} and {folder} are both {label} with seed {description['seed']}; give only one of them"
            )
        path = evaluation_path(folder, split, "user_metrics")
        if not path.is_file():
            raise MissingInputError(f"{path}: not found; run `python -m model.evaluate --run {folder}` first")
        tables.append(read_table(path, UserMetric).with_columns(model=pl.lit(label)))
    if len(digests) > 1:
        one, another, *_ = digests.values()
        raise UsageError(f"{one} and {another} were trained on different snapshots; compare runs on the same data")
    return compare(pl.concat(tables))


def labels(descriptions: Sequence[dict[str, Any]]) -> list[str]:
    """Return a name for the model of each run: the model's name, and the settings in which its runs differ."""
    found = []
    for description in descriptions:
        alike = [_settings(other) for other in descriptions if other["model"] == description["model"]]
        differing = [
            f"{key}={value}" for key, value in _settings(description).items() if any(s.get(key) != value for s in alike)
        ]
        found.append(" ".join([description["model"], *differing]))
    return found


def _settings(description: dict[str, Any]) -> dict[str, Any]:
    return {**description["config"], **description["training"], "features": description.get("features") or MAIN}
