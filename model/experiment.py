"""Train and judge several models with several seeds on one snapshot, with a report: `python -m model.experiment`.

Writes the run folders (see `runs`) and, into the experiment's folder:

    report.html               one file that needs no network
    charts/                   its charts as SVG and PNG, for papers
    experiment.json           every run's whole description
    metrics, user_metrics, held_out_ranks, slices, comparisons, training, costs, recommendations,
    cases, case_frames, case_movies (.parquet)

An experiment that was stopped goes on with what is missing (see `experiment_runs`).
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dataframely as dy
import polars as pl
import torch

from dataset.cli import ArgumentParser, run, whole_number
from dataset.errors import MissingInputError, UsageError
from dataset.files import write_json
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import read_table, write_table
from model.data.tensors import held_out_items
from model.evaluation.config import EvaluationConfig
from model.evaluation.results import EVALUATION_TABLES
from model.evaluation.uncertainty import compare
from model.experiments.memory import available_memory_bytes
from model.experiments.run_folder import DEFAULT_RUNS, describe_run, find_snapshot, open_run, run_folder
from model.experiments.runner import RunTask, do_all, load_data
from model.experiments.settings import apply_settings, read_settings
from model.models.registry import MODELS, default_config
from model.recommend import recommend
from model.report.cases import write_cases
from model.report.page import write_report
from model.schema import Comparison, Cost, Recommendation, Training, UserMetric
from model.training.config import TrainingConfig

DEFAULT_EXPERIMENTS = Path("data/experiments")
_CORES_A_RUN = 4
_GIB = 1 << 30


@dataclass(frozen=True)
class ExperimentConfig:
    """Which models are trained and how; models that need features are left out without them.

    Attributes:
        models: names of `registry.MODELS`; the gallery shows the first one's view.
        seeds: one run a model and seed.
        training: the same for all models.
        evaluation: the same for all models.
        jobs: runs at a time; None chooses by cores and memory.
        threads: CPU threads of a run; None shares the cores out.
    """

    models: tuple[str, ...] = tuple(MODELS)
    seeds: tuple[int, ...] = (0,)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    jobs: int | None = None
    threads: int | None = None


def run_experiment(
    snapshot: Snapshot, config: ExperimentConfig, destination: Path, runs: Path, raw: Path | None
) -> Path:
    """Do all runs that are not done, write the tables of all, and return the path of the report.

    Args:
        snapshot: what to train on.
        config: the models and seeds.
        destination: the experiment's folder.
        runs: the folder of all run folders.
        raw: the raw folder with the pictures for the gallery, None for a report without pictures.

    Raises:
        UsageError: an unknown model, or none that the snapshot has the features for.
    """
    tasks = _tasks(snapshot, config, runs)
    jobs, threads = _shares(snapshot, config, len(tasks))
    do_all(tasks, jobs, threads)
    _write_tables(tasks, destination)
    write_json(destination / "experiment.json", {"runs": [task.description for task in tasks]})
    shown = tasks[0]
    data = load_data(shown.snapshot, snapshot.content_digest)
    opened = {task.model_name: open_run(task.folder, shown.snapshot) for task in tasks if task.seed == shown.seed}
    known = held_out_items(data.tables, data.ids, "test").known
    table = recommend(
        opened[shown.model_name].model.scorer(), data.training, data.ids, torch.arange(len(data.ids.users)), known, k=10
    )
    write_table(table, Recommendation, destination / "recommendations.parquet")
    write_cases(destination, {name: one.model for name, one in opened.items()}, shown.seed, data.tables, data.ids)
    return write_report(destination, snapshot, raw)


def _tasks(snapshot: Snapshot, config: ExperimentConfig, runs: Path) -> list[RunTask]:
    for name in config.models:
        default_config(name)  # refuses unknown names before anything runs
    names = [
        name for name in config.models if snapshot.has("frame_features") or not MODELS[name].model_class.needs_features
    ]
    if not names:
        raise UsageError(f"{snapshot.path}: no frame features, so none of {', '.join(config.models)} can run; add bpr")
    return [
        RunTask(
            run_folder(runs, name, snapshot, seed),
            snapshot.path,
            describe_run(name, default_config(name), config.training, seed, snapshot),
            default_config(name),
            config.training,
            config.evaluation,
        )
        for name in dict.fromkeys(names)
        for seed in dict.fromkeys(config.seeds)
    ]


def _shares(snapshot: Snapshot, config: ExperimentConfig, n_tasks: int) -> tuple[int, int]:
    """Return how many runs go at a time, and the threads of each: a run for every four cores, as memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = config.jobs
    if jobs is None:
        features = snapshot.manifest.tables.get("frame_features")
        needed = _GIB + (4 * features.size_bytes if features else 0)
        jobs = max(1, min(n_tasks, cores // _CORES_A_RUN, available_memory_bytes() // needed))
    return jobs, config.threads or max(1, cores // jobs)


def _write_tables(tasks: Sequence[RunTask], destination: Path) -> None:
    """Write the tables of all runs, and the comparisons where there are two models."""
    schemas: dict[str, type[dy.Schema]] = {"training": Training, "costs": Cost, **EVALUATION_TABLES}
    for name, schema in schemas.items():
        parts = [read_table(task.folder / f"{name}.parquet", schema) for task in tasks]
        write_table(pl.concat(parts), schema, destination / f"{name}.parquet")
    (destination / "comparisons.parquet").unlink(missing_ok=True)
    if len({task.model_name for task in tasks}) > 1:
        judged = read_table(destination / "user_metrics.parquet", UserMetric)
        write_table(compare(judged), Comparison, destination / "comparisons.parquet")


def main(argv: Sequence[str]) -> None:
    """Run an experiment from the command line."""
    arguments = _parser().parse_args(argv)
    (training,) = apply_settings(read_settings(None, arguments.set), TrainingConfig())
    config = ExperimentConfig(
        tuple(arguments.models.split(",")), arguments.seeds, training, jobs=arguments.jobs, threads=arguments.threads
    )
    snapshot = find_snapshot(arguments.snapshot)
    raw = arguments.raw or Path("data") / snapshot.name / "raw"
    if arguments.raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")
    destination = arguments.to or DEFAULT_EXPERIMENTS / f"{snapshot.name}-v{snapshot.version:04d}"
    report = run_experiment(snapshot, config, destination, arguments.runs, raw)
    print(f"The report is {report}; the tables are beside it.")


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(whole_number(0)(seed) for seed in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.experiment",
        description="Train and judge several models, and write a report. Stopped, it goes on with what is missing.",
    )
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--seeds", type=_seeds, default="0", help="whole numbers, separated by commas")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of training for all models, for example epochs=50; may repeat",
    )
    parser.add_argument("--jobs", type=whole_number(), help="runs at a time (one for every four cores if absent)")
    parser.add_argument("--threads", type=whole_number(), help="of a run (its share of the cores if absent)")
    parser.add_argument("--snapshot", type=Path, help="a snapshot's folder (the newest if absent)")
    parser.add_argument("--raw", type=Path, help="the raw folder with pictures (data/<name>/raw if absent)")
    parser.add_argument("--to", type=Path, help="the folder to write (data/experiments/<name>-<version> if absent)")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, help="the folder of all runs")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.experiment")
