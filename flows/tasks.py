"""The stages as Prefect tasks: read tables, call the stage's function, write tables, say what came of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import task

from dataset.build import DatasetConfig, build
from dataset.cli import progress
from dataset.errors import PipelineError
from dataset.snapshot import Snapshot, publish
from features.extract import extract, pictures_of
from features.extractor import Extractor


class StageError(PipelineError):
    """A stage that runs as a child process has failed; its last line says why."""


@task(task_run_name="crawl {stage}")
def crawl(stage: str, crawl_folder: Path, options: list[str]) -> None:
    """Run one stage of the crawler as a child process (Scrapy wants a process of its own).

    Raises:
        StageError: it did not end well; run the flow again to go on where it stopped.
    """
    print(_run_child(["crawler", stage, "--crawl", str(crawl_folder), *options]))


@task
def export_raw(crawl_folder: Path, raw: Path) -> None:
    """Write the crawl's raw tables."""
    print(_run_child(["crawler", "export", "--crawl", str(crawl_folder), "--to", str(raw)]))


@task
def build_tables(raw: Path, dataset: Path, config: DatasetConfig) -> dict[str, Any]:
    """Filter and split the raw tables; return the statistics."""
    numbers: dict[str, Any] = build(raw, dataset, config).description["statistics"]
    print(
        f"Dataset: {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} movies, {numbers['n_frames']:,} frames."
    )
    return numbers


@task
def extract_features(raw: Path, dataset: Path, weights: str, precision: str, store: Path) -> None:
    """Compute the features of the dataset's pictures that the store lacks."""
    extractor = Extractor(weights, precision)
    with progress("pictures") as bar:
        total = pictures_of(raw, dataset)["image_sha256"].n_unique()
        line = bar.add_task("Extracting features", total=total, note="")
        done = extract(raw, dataset, extractor, store, lambda n: bar.update(line, advance=n))
    print(
        f"Features: {done.n_computed:,} pictures computed now, the others known; {done.n_features:,} frames have one "
        f"(weights {weights}, {extractor.identity.precision})."
    )


@task
def publish_snapshot(dataset: Path, name: str, root: Path) -> Snapshot:
    """Publish the dataset, unless it equals the newest version."""
    snapshot, is_new = publish(dataset, name, root)
    if is_new:
        print(f"Published snapshot {snapshot.label} in {snapshot.path}.")
    else:
        print(f"Nothing changed since snapshot {snapshot.label}; nothing published.")
    return snapshot


def _run_child(arguments: list[str]) -> str:
    """Run `python -m <arguments>`, its progress on our stderr where that is a terminal; return what it says it did.

    Raises:
        StageError: with the child's last line.
    """
    stderr = None if sys.stderr.isatty() else subprocess.PIPE
    done = subprocess.run(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False
    )
    if done.returncode:
        last_line = (done.stderr or "its message is above").strip().splitlines()[-1:]
        raise StageError(
            f"`python -m {' '.join(arguments[:2])}` ended with exit status {done.returncode}: {' '.join(last_line)}"
        )
    return done.stdout.partition("\nNext:")[0].strip()
