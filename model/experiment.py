"""`python -m model.experiment`: train and judge several models with several seeds, and write a report.

What it writes is described in `experiments/experiment.py`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset.cli import ArgumentParser, run, whole_number
from dataset.errors import MissingInputError
from model.experiments.console import console_reporter
from model.experiments.experiment import DEFAULT_EXPERIMENTS, ExperimentConfig, run_experiment
from model.experiments.run_folder import DEFAULT_RUNS, find_snapshot
from model.experiments.settings import apply_settings, read_settings
from model.models.registry import MODELS
from model.training.trainer import TrainingConfig


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
    with console_reporter() as reporter:
        report = run_experiment(snapshot, config, destination, arguments.runs, raw, reporter)
    print(f"The report is {report}; the tables are beside it.")


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(whole_number(0)(seed) for seed in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m model.experiment",
        description="Train and judge several models, and write a report. If it was stopped, it continues where it was.",
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
    parser.add_argument("--jobs", type=whole_number(), help="runs at the same time (one per four cores if absent)")
    parser.add_argument("--threads", type=whole_number(), help="CPU threads per run (its share of the cores if absent)")
    parser.add_argument("--snapshot", type=Path, help="a snapshot's folder (the newest if absent)")
    parser.add_argument("--raw", type=Path, help="the raw folder with pictures (data/<name>/raw if absent)")
    parser.add_argument("--to", type=Path, help="the folder to write (data/experiments/<name>-<version> if absent)")
    parser.add_argument("--runs", type=Path, default=DEFAULT_RUNS, help="the parent of all run folders")
    return parser


if __name__ == "__main__":
    run(main, "python -m model.experiment")
