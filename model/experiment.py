"""`python -m model.experiment`: train and evaluate several models with several seeds, and write a report.

What it writes is described in `experiments/experiment.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dataset.cli import FLAT, command_line, execute, run, say
from dataset.errors import MissingInputError
from model.experiments.config import ExperimentConfig
from model.experiments.folders import DEFAULT_EXPERIMENTS, DEFAULT_RUNS

app = command_line("python -m model.experiment")


@app.default
def experiment(
    *,
    config: Annotated[ExperimentConfig, FLAT] = ExperimentConfig(),  # noqa: B008 - frozen
    settings: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    snapshot: Path | None = None,
    raw: Path | None = None,
    to: Path | None = None,
    runs: Path = DEFAULT_RUNS,
) -> None:
    """Train and evaluate several models, and write a report; to continue a stopped experiment, run it again.

    Args:
        config: the models and seeds
        settings: a training setting for all models as KEY=VALUE, for example epochs=50; may be repeated
        snapshot: a snapshot's folder (the newest if absent)
        raw: the folder of raw tables and pictures (data/<name>/raw if absent)
        to: the folder to write (data/experiments/<name>-<version> if absent)
        runs: the parent of all run folders
    """
    from model.experiments.console import console_reporter
    from model.experiments.experiment import run_experiment
    from model.experiments.run_folder import data_name, find_snapshot
    from model.experiments.settings import apply_settings, read_settings

    (training,) = apply_settings(read_settings(None, settings), config.training)
    opened = find_snapshot(snapshot, next(iter(config.features), None))
    pictures = raw or Path("data") / opened.name / "raw"
    if raw and not (raw / "images.parquet").is_file():
        raise MissingInputError(f"{raw}: no images.parquet there; --raw takes the folder of raw tables")
    destination = to or DEFAULT_EXPERIMENTS / data_name(opened, config.features)
    with console_reporter() as reporter:
        report = run_experiment(opened, replace(config, training=training), destination, runs, pictures, reporter)
    say(f"The report is {report}; the tables are beside it.")
    say(f"For a paper: tables in LaTeX, Markdown and CSV, methods and BibTeX in {report.parent / 'tables'};")
    say(f"  charts in PDF and SVG in {report.parent / 'charts'}.")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
