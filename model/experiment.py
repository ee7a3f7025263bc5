"""Train and judge several models on one snapshot, and write the report: `python -m model.experiment`.

Writes the run folders (see `runs`) and, into the experiment's folder, the tables of all runs
(`training`, `metrics`, `user_metrics`, `recommendations`) and `report.html`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.cli import ArgumentParser, progress, run
from dataset.errors import UsageError
from dataset.files import write_text
from dataset.schema import Metric, Recommendation, Training, UserMetric
from dataset.snapshot import Snapshot
from dataset.tables import empty, write_table
from model.evaluate import evaluate
from model.interactions import held_out_items, index_ids, training_data
from model.jifr import JIFR
from model.recommend import recommend
from model.recommender import Recommender
from model.registry import MODELS, default_config
from model.report.gallery import Case, Thumbnails, choose_cases
from model.report.page import ReportData, render_report
from model.runs import (
    DEFAULT_RUNS,
    describe_run,
    find_snapshot,
    read_tables,
    run_folder,
    start_run,
    write_metrics,
    write_run,
)
from model.training import TrainingConfig, train_model

DEFAULT_EXPERIMENTS = Path("data/experiments")


@dataclass(frozen=True)
class ExperimentConfig:
    """Which models are trained, with which seeds; models that need features are left out without them."""

    models: tuple[str, ...] = ("jifr", "jifr_na", "bpr", "popular", "random")
    seeds: tuple[int, ...] = (0,)


def run_experiment(
    snapshot: Snapshot, config: ExperimentConfig, destination: Path, runs: Path, raw: Path | None
) -> Path:
    """Train and judge all models; return the path of the report.

    Args:
        snapshot: what to train on.
        config: the models and seeds.
        destination: the experiment's folder.
        runs: the folder of all run folders.
        raw: the raw folder with the pictures for the gallery, None for a report without pictures.

    Raises:
        UsageError: an unknown model, or none that the snapshot has the features for.
    """
    tables = read_tables(snapshot)
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    has_validation = len(validation.positives.values) > 0
    names = [name for name in config.models if default_config(name) and _can_train(name, data.frames.features)]
    if not names:
        raise UsageError(
            f"{snapshot.path}: has no frame features, which all of {', '.join(config.models)} need; add bpr"
        )
    results: dict[str, list[pl.DataFrame]] = {"training": [], "metrics": [], "user_metrics": []}
    descriptions: list[dict[str, Any]] = []
    shown: JIFR | None = None
    for name in names:
        for seed in config.seeds:
            folder, settings, training = run_folder(runs, name, snapshot, seed), default_config(name), TrainingConfig()
            descriptions.append(describe_run(name, settings, training, seed, snapshot))
            start_run(folder, descriptions[-1])
            with progress("epochs") as bar:
                line = bar.add_task(f"Training {name}, seed {seed}", total=training.epochs, note="")
                trained = train_model(
                    data,
                    validation if has_validation else None,
                    name,
                    settings,
                    training,
                    seed,
                    on_epoch=lambda epoch, bar=bar, line=line: bar.update(
                        line, completed=epoch.epoch, note=f"loss {epoch.loss:.4f}"
                    ),  # type: ignore[misc]
                )
                bar.update(line, total=len(trained.epochs), completed=len(trained.epochs))
            write_run(folder, name, seed, trained)
            metrics, user_metrics = evaluate(trained.model.scorer(), tables, "test", name, seed)
            write_metrics(folder, "test", metrics, user_metrics)
            results["metrics"].append(metrics)
            results["user_metrics"].append(user_metrics)
            results["training"].append(pl.read_parquet(folder / "training.parquet"))
            shown = shown or _as_jifr(trained.model)
    return _write_results(snapshot, destination, results, descriptions, cases)


if __name__ == "__main__":
    run(main, "python -m model.experiment")
