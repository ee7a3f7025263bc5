"""Train and judge several models on one snapshot, and write the report: `python -m model.experiment`.

Writes the run folders (see `runs`) and, into the experiment's folder, the tables of all runs
(`training`, `metrics`, `user_metrics`, `held_out_ranks`, `slices`, `comparisons`,
`recommendations`) and `report.html`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import torch

from dataset.cli import ArgumentParser, progress, run
from dataset.errors import MissingInputError, UsageError
from dataset.files import write_text
from dataset.schema import Comparison, Metric, Recommendation, Training, UserMetric
from dataset.snapshot import Snapshot
from dataset.tables import write_table
from model.evaluate import evaluate
from model.interactions import HeldOutItems, Ids, Tables, TrainingData, held_out_items, index_ids, training_data
from model.jifr import JIFR
from model.recommend import recommend
from model.recommender import Recommender, TrainableRecommender
from model.registry import MODELS, default_config
from model.report.gallery import Case, Thumbnails, choose_cases
from model.report.page import ReportData, render_report
from model.results import EVALUATION_TABLES
from model.runs import (
    DEFAULT_RUNS,
    describe_run,
    find_snapshot,
    read_tables,
    run_folder,
    start_run,
    write_evaluation,
    write_run,
)
from model.training import TrainedRun, TrainingConfig, train_model, training_table
from model.uncertainty import compare

DEFAULT_EXPERIMENTS = Path("data/experiments")


@dataclass(frozen=True)
class ExperimentConfig:
    """Which models are trained, with which seeds; models that need features are left out without them."""

    models: tuple[str, ...] = tuple(MODELS)
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class _Data:
    """A snapshot, and what its tables become for training and judging."""

    snapshot: Snapshot
    tables: Tables
    ids: Ids
    training: TrainingData
    validation: HeldOutItems


@dataclass
class _Results:
    """What the runs of an experiment have given so far."""

    tables: dict[type[dy.Schema], list[pl.DataFrame]] = field(
        default_factory=lambda: {Training: []} | {schema: [] for schema in EVALUATION_TABLES.values()}
    )
    runs: list[dict[str, Any]] = field(default_factory=list)
    shown: Recommender | None = None  # whose recommendations are written: the first model's, first seed


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
    data = _Data(snapshot, tables, ids, training_data(tables, ids), held_out_items(tables, ids, "validation"))
    for name in config.models:
        default_config(name)  # refuses unknown names before anything runs
    names = [name for name in config.models if snapshot.has("frame_features") or not MODELS[name].make.needs_features]
    if not names:
        raise UsageError(f"{snapshot.path}: no frame features, but {', '.join(config.models)} need them; add bpr")
    results = _Results()
    for name in names:
        for seed in config.seeds:
            _run(name, seed, data, runs, results)
    written = {
        schema: write_table(pl.concat(parts), schema, destination / f"{file}.parquet")
        for (schema, parts), file in zip(results.tables.items(), ("training", *EVALUATION_TABLES), strict=True)
    }
    if len(names) > 1:
        write_table(compare(written[UserMetric]), Comparison, destination / "comparisons.parquet")
    cases = _recommend(results.shown, data, destination, raw)
    report = ReportData(snapshot.manifest, written[Metric], written[Training], results.runs, cases)
    write_text(destination / "report.html", render_report(report))
    return destination / "report.html"


def _run(name: str, seed: int, data: _Data, runs: Path, results: _Results) -> None:
    """Train and judge one model, write its run folder, and add to the results."""
    folder, config, training = run_folder(runs, name, data.snapshot, seed), default_config(name), TrainingConfig()
    description = describe_run(name, config, training, seed, data.snapshot)
    start_run(folder, description)
    trained = _train_with_progress(name, seed, training, data)
    write_run(folder, name, seed, trained)
    evaluation = evaluate(trained.model.scorer(), data.tables, "test", name, seed)
    write_evaluation(folder, "test", evaluation)
    results.tables[Training].append(training_table(name, seed, trained.epochs))
    for table, schema in EVALUATION_TABLES.items():
        results.tables[schema].append(getattr(evaluation, table))
    results.runs.append(description)
    results.shown = results.shown or trained.model


def _train_with_progress(name: str, seed: int, training: TrainingConfig, data: _Data) -> TrainedRun:
    validation = data.validation if len(data.validation.positives.values) else None
    if not issubclass(MODELS[name].make, TrainableRecommender):
        return train_model(data.training, validation, name, default_config(name), training, seed)
    with progress("epochs") as bar:
        line = bar.add_task(f"Training {name}", total=training.epochs, note="")
        trained = train_model(
            data.training,
            validation,
            name,
            default_config(name),
            training,
            seed,
            on_epoch=lambda epoch: bar.update(line, completed=epoch.epoch, note=f"loss {epoch.loss:.4f}"),
        )
        bar.update(line, total=len(trained.epochs), completed=len(trained.epochs))
    return trained


def _recommend(shown: Recommender | None, data: _Data, destination: Path, raw: Path | None) -> list[Case]:
    """Write the recommendations of the first model, and choose the gallery's cases where it is JIFR."""
    if shown is None:
        return []
    known = held_out_items(data.tables, data.ids, "test").known
    users = torch.arange(len(data.ids.users))
    table = recommend(shown.scorer(), data.training, data.ids, users, known, k=10)
    write_table(table, Recommendation, destination / "recommendations.parquet")
    if not isinstance(shown, JIFR):
        return []
    return choose_cases(shown, data.tables, data.ids, table, Thumbnails(raw))


def main(argv: Sequence[str]) -> None:
    """Run an experiment from the command line."""
    arguments = _parser().parse_args(argv)
    try:
        seeds = tuple(int(seed) for seed in arguments.seeds.split(","))
    except ValueError:
        raise UsageError(f"--seeds {arguments.seeds!r} must be whole numbers, such as 0,1,2") from None
    config = ExperimentConfig(tuple(arguments.models.split(",")), seeds)
    snapshot = find_snapshot(arguments.snapshot)
    raw = arguments.raw or Path("data") / snapshot.name / "raw"
    if arguments.raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")
    destination = arguments.to or DEFAULT_EXPERIMENTS / f"{snapshot.name}-v{snapshot.version:04d}"
    report = run_experiment(snapshot, config, destination, arguments.runs, raw)
    print(f"The report is {report}; the tables are beside it.")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.experiment", description="Train and judge several models, and write a report."
    )
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--seeds", default="0", help="whole numbers, separated by commas")
    parser.add_argument("--snapshot", type=Path, help="a snapshot's folder (the newest if absent)")
    parser.add_argument("--raw", type=Path, help="the raw folder with pictures (data/<name>/raw if absent)")
    parser.add_argument("--to", type=Path, help="the folder to write (data/experiments/<name>-<version> if absent)")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, help="the folder of all runs")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.experiment")
