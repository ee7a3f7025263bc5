"""The command `python -m flows.demo` (`make demo`): run the whole pipeline once on the sandbox's invented world.

It runs the flow `build-dataset` on its own Prefect server, then an experiment, and announces each step.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from crawler.sandbox.world import WorldConfig
from dataset.cli import Count, command_line, execute, run, say
from features.config import ExtractorConfig
from flows.demo_time import announcement, measured_speed

if TYPE_CHECKING:
    from dataset.snapshots.snapshot import Snapshot

app = command_line("python -m flows.demo")

DATA = Path("data")
_WIDTH = 72
_PATIENCE = 8  # less than the default, so that training stops earlier
_MODELS = ("jifr", "bpr", "ease", "popular")
_FEATURES = ("main", "shuffled")  # so the report says whether JIFR's pictures add anything


@app.default
def demo(
    *,
    port: Annotated[Count, Field(le=65_532)] = 8801,
    users: Annotated[Count, Field(ge=10)] = WorldConfig.n_users,
    movies: Annotated[Count, Field(ge=10)] = WorldConfig.n_movies,
    extractor: str = ExtractorConfig.name,
    epochs: Count | None = None,
) -> None:
    """Run the whole pipeline once on invented data: crawl, build, publish, train, report.

    Args:
        port: first of four ports for the local site
        users: number of people in the invented world
        movies: number of movies in the invented world
        extractor: the network, as for features extract; its weights are random
        epochs: maximum number of passes over the training data (by default the models' own)
    """
    started = time.monotonic()
    _say(
        "A demo on an invented world: a local site with invented people, movies and pictures.",
        "Nothing outside this machine is contacted. First, a few seconds show how fast this machine is.",
    )
    speed = measured_speed(extractor)
    _say(announcement(speed, users, movies, epochs))
    _heading(1, "Starting Prefect, which runs the steps (about 15 s)")
    # Prefect reads these when it is imported.
    os.environ |= {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_LOG_PRINTS": "false"}
    from flows.build_dataset import build_dataset
    from flows.server.start import prefect_server

    with prefect_server(DATA / "prefect"):
        _heading(2, "Crawling, filtering, extracting features, publishing")
        snapshot = build_dataset(
            data=DATA,
            extractor=extractor,
            weights="random:0",
            sandbox_users=users,
            sandbox_movies=movies,
            sandbox_port=port,
            split="random",  # as in the paper
        )
    _heading(3, "Training JIFR with its pictures and with shuffled ones, BPR and EASE; evaluating them")
    page, report = _write_reports(snapshot, epochs)
    _say(
        "",
        f"Done in {(time.monotonic() - started) / 60:.1f} minutes. You now have",
        f"  a dataset:  {snapshot.path}",
        "              plain Parquet tables; its README.md says what is in them",
        f"  its page:   {page}",
        "              what was crawled, kept and left out, with charts and pictures",
        f"  a report:   {report}",
        "              open it in a browser to see what pictures add, and which model recommends best",
        "",
        "Next: `python -m model.train --help`, or use your own ratings: `python -m dataset import --help`",
        "(use .venv/bin/python, or run `source .venv/bin/activate` first).",
    )


def _write_reports(snapshot: "Snapshot", epochs: int | None) -> tuple[Path, Path]:
    """Return the dataset's page and the report of an experiment on what pictures add to JIFR."""
    from dataset.report.dataset_report import DEFAULT_REPORTS, write_dataset_report
    from model.experiments.config import ExperimentConfig
    from model.experiments.console import console_reporter
    from model.experiments.experiment import run_experiment
    from model.experiments.folders import DEFAULT_EXPERIMENTS, DEFAULT_RUNS
    from model.training.config import TrainingConfig

    name, raw = f"{snapshot.name}-v{snapshot.version:04d}", DATA / snapshot.name / "raw"
    page = write_dataset_report(snapshot, raw, DEFAULT_REPORTS / name)
    # The demo's tensors are small: parallel runs with one thread each are faster than one run on all cores.
    training = TrainingConfig(epochs=epochs or TrainingConfig.epochs, patience=_PATIENCE)
    jobs = min(4, os.cpu_count() or 1)
    config = ExperimentConfig(_MODELS, training=training, jobs=jobs, threads=1, features=_FEATURES)
    with console_reporter() as reporter:
        return page, run_experiment(snapshot, config, DEFAULT_EXPERIMENTS / name, DEFAULT_RUNS, raw, reporter)


def _heading(number: int, text: str) -> None:
    _say("", f"── {number}/3  {text} ".ljust(_WIDTH, "─"))


def _say(*lines: str) -> None:
    say(*lines, sep="\n")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    execute(app, argv)


if __name__ == "__main__":
    run(app)
