"""The stages as Prefect tasks: each calls the stage's function, or says why there is nothing to do.

A stage is skipped when its inputs have not changed since it last ended well (`flows.stamps`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task

from crawler.ledger.ledger import Ledger
from crawler.plan import kinds_of
from dataset.building.build import DatasetConfig, build
from dataset.cli import progress
from dataset.description import read_description
from dataset.errors import MissingInputError
from dataset.schema import RAW_TABLES
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot
from dataset.version import code_version
from features.config import ExtractorConfig
from flows.artifacts import show_snapshot
from flows.children import run_stage
from flows.extract_features import extract_features
from flows.runners import LOCAL, task_runner
from flows.stamps import Stamp, digests_of_files

CRAWL_STAGES = ("ratings", "frames", "likes")
_RAW_FILES = (*(f"{name}.parquet" for name in RAW_TABLES), "provenance.json")
_DATASET_FILES = tuple(f"{name}.parquet" for name in ("movies", "frames", "interactions", "frame_likes", "quarantine"))
_FEATURE_FILES = ("frame_features.parquet", "features_quarantine.parquet", "dataset.json")


@task(task_run_name="crawl {stage}")
def crawl(stage: str, home: Path, options: list[str], refresh: bool = False) -> None:
    """Run one stage of the crawler as a child process (Scrapy wants a process of its own).

    Args:
        stage: `ratings`, `frames` or `likes`.
        home: the dataset's folder; the crawl is in `crawl` there.
        options: of `python -m crawler <stage>`.
        refresh: whether to read again what can have changed since it was read.

    Raises:
        StageError: it did not end well; run the flow again to go on where it stopped.
    """
    folder = home / "crawl"
    if not refresh and _crawl_stamp(stage, home, options).is_current() and _is_all_read(folder, stage):
        print(f"Skipped crawling {stage}: the same scope, and every page of it has been read.")
        return
    print(run_stage(["crawler", stage, "--crawl", str(folder), *options, *(["--refresh"] if refresh else [])]))
    _crawl_stamp(stage, home, options).write()


@task
def export_raw(home: Path) -> None:
    """Write the crawl's raw tables to `raw`."""
    folder, raw = home / "crawl", home / "raw"
    inputs = {
        "pages": _pages(folder, CRAWL_STAGES[-1]),
        "private": digests_of_files(folder / name for name in ("pseudonym.key", "forgotten.json")),
        "code_version": code_version(),
    }
    stamp = Stamp(home / "stamps" / "export.json", inputs, tuple(raw / name for name in _RAW_FILES))
    if stamp.is_current():
        print(f"Skipped exporting: the crawl has not changed since {raw} was written.")
        return
    print(run_stage(["crawler", "export", "--crawl", str(folder), "--to", str(raw)]))
    stamp.write()


@task
def build_tables(home: Path, config: DatasetConfig) -> dict[str, Any]:
    """Filter and split the raw tables; return the statistics."""
    raw, dataset = home / "raw", home / "dataset"
    stamp = Stamp(
        home / "stamps" / "build.json",
        {
            "raw": digests_of_files(raw / name for name in _RAW_FILES),
            "config": asdict(config),
            "code_version": code_version(),
        },
        tuple(dataset / name for name in _DATASET_FILES),
    )
    if stamp.is_current() and (dataset / "dataset.json").is_file():
        print("Skipped building: the raw tables and the configuration have not changed.")
        numbers: dict[str, Any] = read_description(dataset)["statistics"]
        return numbers
    numbers = build(raw, dataset, config).description["statistics"]
    stamp.write()
    print(
        f"Dataset: {numbers['n_interactions']:,} interactions of {numbers['n_users']:,} users with "
        f"{numbers['n_movies']:,} movies, {numbers['n_frames']:,} frames."
    )
    return numbers


def extract(home: Path, config: ExtractorConfig, store: Path, runner: str) -> None:
    """Compute the features of the dataset's pictures that the store lacks.

    Args:
        home: the dataset's folder.
        config: the extractor.
        store: where features are kept, by picture.
        runner: where shards are computed, see `flows.runners.task_runner`.
    """
    raw, dataset = home / "raw", home / "dataset"
    tables = (dataset / "frames.parquet", raw / "images.parquet", Path(config.weights))
    stamp = Stamp(
        home / "stamps" / "features.json",
        {"tables": digests_of_files(tables), "extractor": asdict(config)},
        tuple(dataset / name for name in _FEATURE_FILES),
    )
    if stamp.is_current():
        print("Skipped extracting features: the pictures and the extractor have not changed.")
        return
    if runner == LOCAL:
        extract_here(raw, dataset, config, store)
    else:
        on_runner: Any = extract_features.with_options(task_runner=task_runner(runner))
        on_runner(raw, dataset, store, config.name, config.weights, config.precision, config.decoding)
    stamp.write()


@task(task_run_name="extract features")
def extract_here(raw: Path, dataset: Path, config: ExtractorConfig, store: Path) -> None:
    """Extract in this process, decoding, computing and writing side by side."""
    from features.extract import extract as extract_pictures  # torch takes seconds, and only this task needs it
    from features.extract import pictures_of
    from features.extractor import Extractor

    extractor = Extractor(config, memory=store / "weights.json")
    with progress("pictures") as bar:
        total = pictures_of(raw, dataset)["image_sha256"].n_unique()
        line = bar.add_task("Extracting features", total=total, note="")
        done = extract_pictures(raw, dataset, extractor, store, lambda n: bar.update(line, advance=n))
    print(
        f"Features: {done.n_computed:,} pictures computed now, the others known; {done.n_features:,} frames have one "
        f"(weights {config.weights}, {extractor.identity.precision})."
    )


@task
def publish_dataset(dataset: Path, name: str, root: Path) -> Snapshot:
    """Publish a built dataset, unless it equals the newest version, and show it in Prefect's page."""
    snapshot, is_new = publish(dataset, name, root)
    if is_new:
        print(f"Published snapshot {snapshot.label} in {snapshot.path}.")
    else:
        print(f"Nothing changed since snapshot {snapshot.label}; nothing published.")
    show_snapshot(snapshot)
    return snapshot


def _crawl_stamp(stage: str, home: Path, options: list[str]) -> Stamp:
    return Stamp(home / "stamps" / f"crawl-{stage}.json", {"options": options, "pages": _pages(home / "crawl", stage)})


def _is_all_read(crawl_folder: Path, stage: str) -> bool:
    return all(state in ("done", "gone") for _, state, _, _ in _pages(crawl_folder, stage))


def _pages(crawl_folder: Path, stage: str) -> list[tuple[str, str, int, float]]:
    """Return what the ledger says of the pages of a stage and those before it: kind, state, number, last answer.

    Those before count, because a stage reads what the ratings so far ask for.
    """
    so_far = CRAWL_STAGES[: CRAWL_STAGES.index(stage) + 1]
    try:
        with Ledger.read(crawl_folder) as ledger:
            return ledger.progress(kinds_of(*so_far))
    except MissingInputError:
        return []
