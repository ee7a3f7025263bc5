"""`make demo`: the whole pipeline once, on the sandbox's invented world.

It runs the flow `build-dataset` on a Prefect server of its own, then the experiment, and says
at each step what is happening.
"""

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from dataset.cli import ArgumentParser, run, whole_number
from flows.server import prefect_server

DATA = Path("data")
_WIDTH = 72
_PATIENCE = 8  # epochs without a better validation; a study takes the default, which is more


def main(argv: Sequence[str]) -> None:
    """Run the demo."""
    parser = ArgumentParser(prog="python -m flows.demo", description=__doc__)
    parser.add_argument("--port", type=whole_number(1, 65_533), default=8801, help="first of three for the local site")
    port = parser.parse_args(argv).port
    started = time.monotonic()
    _say(
        "A demonstration on an invented world: a local site with made-up people, films and pictures.",
        "Nothing outside this machine is contacted. It takes a few minutes.",
    )
    _heading(1, "Starting Prefect, which runs the steps (about 15 s)")
    api_url = f"http://127.0.0.1:{_free_port()}/api"
    os.environ |= {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str((DATA / "prefect").resolve()),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_LOG_PRINTS": "false",
    }
    with prefect_server(api_url, DATA / "prefect" / "server.log", DATA / "prefect"):
        from flows.build_dataset import build_dataset  # Prefect reads its settings when it is imported

        _heading(2, "Crawling, filtering, extracting features, publishing")
        snapshot = build_dataset(source="sandbox", name="sandbox", data=DATA, weights="random:0", sandbox_port=port)
    from dataset.report.dataset_report import DEFAULT_REPORTS, write_dataset_report
    from model.experiments.config import ExperimentConfig
    from model.experiments.console import console_reporter
    from model.experiments.experiment import run_experiment
    from model.experiments.folders import DEFAULT_EXPERIMENTS, DEFAULT_RUNS
    from model.training.config import TrainingConfig

    _heading(3, "Training JIFR and what it is compared with, and judging them")
    name, raw = f"{snapshot.name}-v{snapshot.version:04d}", DATA / snapshot.name / "raw"
    page = write_dataset_report(snapshot, raw, DEFAULT_REPORTS / name)
    # The demo's tensors are small: runs side by side on one thread each, not one run on all; and little patience.
    config = ExperimentConfig(training=TrainingConfig(patience=_PATIENCE), jobs=min(4, os.cpu_count() or 1), threads=1)
    with console_reporter() as reporter:
        report = run_experiment(snapshot, config, DEFAULT_EXPERIMENTS / name, DEFAULT_RUNS, raw, reporter)
    _say(
        "",
        f"Done in {(time.monotonic() - started) / 60:.1f} minutes. You now have",
        f"  a dataset:  {snapshot.path}",
        "              plain Parquet tables; its README.md says what is in them",
        f"  its page:   {page}",
        "              what was crawled, kept and left out, with charts and pictures",
        f"  a report:   {report}",
        "              open it in a browser: which model recommends best, with pictures",
        "",
        "Next: `python -m model.train --help`, or your own ratings with `python -m dataset import --help`",
        "(both with .venv/bin/python, or after `source .venv/bin/activate`).",
    )


def _heading(number: int, text: str) -> None:
    _say("", f"── {number}/3  {text} ".ljust(_WIDTH, "─"))


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    run(main, "python -m flows.demo")
