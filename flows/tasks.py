"""The stages as Prefect tasks: each task calls the stage's function, or says why the stage is skipped.

A stage is skipped when its inputs and outputs have not changed since it last succeeded (`flows.stamps`).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task

from crawler.ledger.ledger import Ledger
from crawler.plan import STAGES, kinds_of
from dataset.building.build import DatasetConfig, build
from dataset.cli import say
from dataset.description import TABLE_FILES, read_description
from dataset.errors import HeldError, MissingInputError, PipelineError, RefusedError
from dataset.feature_sets import files_of_set
from dataset.placeholders.fingerprints import FILE_NAME as FINGERPRINTS
from dataset.schema import OPTIONAL_RAW_TABLES, RAW_TABLES
from dataset.snapshots.losses import losses
from dataset.snapshots.publication import GateConfig, PublicationConfig
from dataset.snapshots.publish import publish, version_place
from dataset.snapshots.snapshot import Snapshot, snapshot_at
from dataset.version import code_version
from dataset.wording import wording_of
from features.config import ExtractorConfig
from flows.children import StageError, options_from, run_stage
from flows.extraction import extract_features
from flows.messages.artifacts import show_held, show_snapshot
from flows.messages.events import HELD, PAUSED, PUBLISHED, REFUSED, emit
from flows.messages.options import in_parameters
from flows.runners import LOCAL
from flows.stamps import Stamp, digests_of_files

_MOST_LOSSES = 5
_RAW_FILES = (
    *(f"{name}.parquet" for name in (*RAW_TABLES, *OPTIONAL_RAW_TABLES)),
    FINGERPRINTS,
    "provenance.json",
)


@task(task_run_name="crawl {stage}")
def crawl(stage: str, home: Path, options: dict[str, Any], refresh: bool = False) -> None:
    """Run one stage of the crawler as a child process, because Scrapy needs its own process.

    Args:
        stage: `ratings`, `frames` or `likes`.
        home: the dataset's folder; the crawl is in its folder `crawl`.
        options: options of `python -m crawler <stage>`, by name.
        refresh: whether to request pages again if they may have changed.

    Raises:
        StageError: the stage failed; run the flow again to continue where it stopped.
    """
    folder = home / "crawl"
    if not refresh and _crawl_stamp(stage, home, options).is_current() and _is_all_read(folder, stage):
        say(f"Skipped crawling {stage}: the scope is the same, and all its pages have been read.")
        return

    def hear(line: str) -> None:
        if line.startswith("PAUSED: "):
            emit(PAUSED, home.name, stage=stage, reason=line)

    try:
        say(run_stage(["crawler", stage, *options_from(crawl=folder, **options, refresh=refresh)], hear))
    except StageError as error:
        if error.exit_status == RefusedError.exit_status:
            emit(REFUSED, home.name, stage=stage, reason=str(error))
        raise
    _crawl_stamp(stage, home, options).write()


@task
def export_raw(home: Path) -> None:
    """Export the crawl to the raw tables in the folder `raw`."""
    folder, raw = home / "crawl", home / "raw"
    inputs = {
        "pages": _pages(folder, STAGES[-1]),
        "private": digests_of_files(folder / name for name in ("pseudonym.key", "forgotten.json")),
        "code_version": code_version(),
    }
    stamp = Stamp(home / "stamps" / "export.json", inputs, tuple(raw / name for name in _RAW_FILES))
    if stamp.is_current():
        say(f"Skipped exporting: the crawl has not changed since {raw} was written.")
        return
    say(run_stage(["crawler", "export", *options_from(crawl=folder, to=raw)]))
    stamp.write()


@task
def build_tables(home: Path, config: DatasetConfig) -> dict[str, Any]:
    """Build the dataset from the raw tables; return its statistics."""
    raw, dataset = home / "raw", home / "dataset"
    stamp = Stamp(
        home / "stamps" / "build.json",
        {
            "raw": digests_of_files(raw / name for name in _RAW_FILES),
            "config": asdict(config),
            "code_version": code_version(),
        },
        tuple(dataset / name for name in TABLE_FILES),
    )
    if stamp.is_current() and (dataset / "dataset.json").is_file():
        say("Skipped building: the raw tables and the configuration have not changed.")
        statistics: dict[str, Any] = read_description(dataset)["statistics"]
        return statistics
    built = build(raw, dataset, config)
    statistics, wording = built.description["statistics"], wording_of(built.description["provenance"])
    stamp.write()
    say(
        f"Dataset: {statistics['n_interactions']:,} interactions of {statistics['n_users']:,} users with "
        f"{statistics['n_movies']:,} {wording.items}, {statistics['n_frames']:,} frames."
    )
    for note in built.notes:
        say(wording.of_tables(note))
    return statistics


def extract(
    home: Path,
    config: ExtractorConfig,
    store: Path,
    runner: str,
    feature_set: str | None = None,
    exchange: str | None = None,
) -> None:
    """Compute the features of the dataset's pictures that the store lacks, and write the dataset's feature table.

    Args:
        home: the dataset's folder.
        config: the extractor.
        store: the folder of the feature store.
        runner: where the shards are computed, see `flows.runners.executor`.
        feature_set: the name of the feature set; None is the main set.
        exchange: address in an object store through which workers get pictures and return features.
    """
    raw, dataset = home / "raw", home / "dataset"
    tables = (dataset / "frames.parquet", raw / "images.parquet", Path(config.weights))
    stamp = Stamp(
        home / "stamps" / ("features.json" if feature_set is None else f"features-{feature_set}.json"),
        {"tables": digests_of_files(tables), "extractor": asdict(config)},
        tuple(dataset / name for name in (*files_of_set(feature_set), "dataset.json")),
    )
    if stamp.is_current():
        say("Skipped extracting features: the pictures and the extractor have not changed.")
        return
    if runner == LOCAL:
        extract_here(raw, dataset, config, store, feature_set)
    else:
        extract_features(
            raw=raw,
            dataset=dataset,
            store=store,
            extractor=config.name,
            weights=config.weights,
            precision=config.precision,
            decoding=config.decoding,
            runner=runner,
            exchange=exchange,
            feature_set=feature_set,
        )
    stamp.write()


@task(task_run_name="extract features")
def extract_here(
    raw: Path, dataset: Path, config: ExtractorConfig, store: Path, feature_set: str | None = None
) -> None:
    """Extract the features in this process, which decodes, computes and writes in parallel."""
    from features.extract import extract as extract_pictures  # imported here: torch takes seconds
    from features.extractor import Extractor, with_decoding_that_fits

    def work(chosen: ExtractorConfig) -> str:
        extractor = Extractor(chosen, memory=store / "weights.json")
        done = extract_pictures(raw, dataset, extractor, store, name=feature_set)
        return (
            f"Features: computed {done.n_computed:,} pictures, the others were in the store; {done.n_features:,} "
            f"frames have a feature (weights {extractor.identity.weights}, {extractor.identity.precision})."
        )

    say(with_decoding_that_fits(config, work))


@task
def publish_dataset(
    dataset: Path,
    name: str,
    root: str | Path,
    config: PublicationConfig = PublicationConfig(),  # noqa: B008 - it is frozen
    gate: GateConfig = GateConfig(),  # noqa: B008
) -> Snapshot:
    """Publish a built dataset unless it equals the newest version; show the snapshot in Prefect's page.

    Raises:
        HeldError: the version loses too much of the one before; Prefect's page shows what.
    """
    try:
        snapshot, is_new = publish(dataset, name, root, config, gate)
    except HeldError as error:
        held = HeldError(in_parameters(str(error)), error.changes)
        show_held(held, name)
        emit(HELD, name, reason=str(held))
        raise held from None
    if is_new:
        lost = _lost_by(snapshot, root)
        emit(PUBLISHED, name, version=snapshot.version, digest=snapshot.content_digest, lost=lost)
        say(
            f"Published snapshot {snapshot.label} in {snapshot.folder}, with the dates of people's acts by "
            f"{snapshot.manifest.dates}."
        )
    else:
        say(f"Nothing changed since snapshot {snapshot.label}; nothing published.")
    show_snapshot(snapshot)
    return snapshot


def _lost_by(snapshot: Snapshot, root: str | Path) -> str:
    """Return in words what a version has lost of the one before, and say it; nothing if there is none."""
    if snapshot.manifest.parent is None:
        return ""
    try:
        parent = snapshot_at(version_place(root, snapshot.name, snapshot.manifest.parent))
        lost = "; ".join(map(str, losses(parent, snapshot)[:_MOST_LOSSES]))
    except PipelineError:  # a damaged parent is no fault of this version
        return ""
    if lost:
        say(f"It has lost {lost} of {parent.label}.")
    return lost


def _crawl_stamp(stage: str, home: Path, options: dict[str, Any]) -> Stamp:
    users = options.get("users_file")
    inputs = {
        "options": options,
        "pages": _pages(home / "crawl", stage),
        **({"users": digests_of_files([users])} if users else {}),
    }
    return Stamp(home / "stamps" / f"crawl-{stage}.json", inputs)


def _is_all_read(crawl_folder: Path, stage: str) -> bool:
    return all(state in ("done", "gone", "unavailable") for _, state, _, _ in _pages(crawl_folder, stage))


def _pages(crawl_folder: Path, stage: str) -> list[tuple[str, str, int, float]]:
    """Return the pages of a stage and of the stages before it as (kind, state, count, time of the last answer).

    The earlier stages are included, because the ratings decide which pages the later stages read.
    """
    so_far = STAGES[: STAGES.index(stage) + 1]
    try:
        with Ledger.read(crawl_folder) as ledger:
            return ledger.progress(kinds_of(*so_far))
    except MissingInputError:
        return []
