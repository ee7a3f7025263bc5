"""Extracts features in three steps: plan what the store lacks, compute it, write the feature table.

The steps are separate functions, so that the workers of a cluster can share the second one.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from dataset.building.dataset_folder import Addition, add_feature_set, frames_sha256
from dataset.description import require_only_features
from dataset.errors import TooLittleDataError
from dataset.feature_sets import files_of_set
from dataset.folders import link_or_copy, replaced_folder
from dataset.pictures.pool import PicturePool
from dataset.progress import progress, stage
from dataset.schema import Image, Quarantine, SnapshotFrame
from dataset.shards.references import reading_order
from dataset.tables import quarantine_rows, read_table, write_table
from features.ahead import one_ahead
from features.batches import Batch, BatchMaker
from features.config import ExtractOptions, ExtractorIdentity
from features.decoding import MISSING, CropReader, Decoded
from features.extractor import Extractor
from features.store import FeatureStore
from features.table import write_features

_log = logging.getLogger(__name__)

FOLDER = "features"
"""The folder in a raw folder for the features of all its pictures."""
SHARD_SIZE = 1024
_PICTURES_TO_CHECK = 4
_WRITERS = 3
_COMPILE_FROM = 200_000
"""On a GPU, a network without fused convolutions is compiled from this many pictures on; it takes 20 seconds."""

Advance = Callable[[int], None]
"""Called with the number of pictures just completed."""


@dataclass(frozen=True)
class Plan:
    """The pictures of an extraction, and those to compute.

    Attributes:
        images: `frame_id`, `movie_id` (or null), `image_sha256`, `path` of all requested pictures.
        missing: `image_sha256`, `path` of the distinct pictures to compute, sorted by SHA-256; those in shards come
            last, in the order of their places.
        corrupt: the names of corrupt shards; their pictures are among the missing.
        n_failed_before: pictures that failed in an earlier run and are not retried.
        frames_sha256: the SHA-256 of the dataset's frames, None without a dataset.
    """

    images: pl.DataFrame
    missing: pl.DataFrame
    corrupt: list[str]
    n_failed_before: int
    frames_sha256: str | None = None


@dataclass(frozen=True)
class Extracted:
    """The result of an extraction. `n_computed` is 0 if the store already had all features."""

    n_features: int
    n_computed: int
    n_unreadable: int
    corrupt: list[str]
    table: Path
    quarantine: Path
    n_failed_before: int

    def summary(self, identity: ExtractorIdentity) -> str:
        """Return a summary in words."""
        words = (
            f"{self.n_features:,} frames have their {identity.architecture} {identity.node} feature in {self.table}: "
            f"{self.n_computed:,} pictures computed now, the rest from the store (weights {identity.weights}, "
            f"{identity.precision})."
        )
        if self.corrupt:
            words += (
                f" {len(self.corrupt):,} corrupt shards were renamed to .corrupt, and their pictures computed again."
            )
        if self.n_unreadable:
            words += f" {self.n_unreadable:,} pictures have no feature; see {self.quarantine}"
            again = f" ({self.n_failed_before:,} failed before; --retry retries them)"
            words += (again if self.n_failed_before else "") + "."
        return words


def pictures_of(raw: Path, dataset: Path | None) -> pl.DataFrame:
    """Return `frame_id`, `movie_id`, `image_sha256`, `path` of a dataset's pictures, sorted by SHA-256.

    Args:
        raw: the raw folder.
        dataset: the dataset folder whose frames to use; None: all pictures of the raw folder.

    Raises:
        TooLittleDataError: there are no pictures.
    """
    frames = read_table((dataset or raw) / "frames.parquet", SnapshotFrame).select("frame_id", "movie_id")
    images = read_table(raw / "images.parquet", Image).select("frame_id", "image_sha256", "path")
    images = images.join(frames, on="frame_id", how="inner" if dataset else "left")
    if images.is_empty():
        raise TooLittleDataError(
            f"{raw}: no picture of the {frames.height:,} frames in {dataset or raw}; crawl frames or import with "
            "--pictures (models without pictures, such as --model bpr, need no features)"
        )
    return images.sort("image_sha256", "frame_id")


@stage("Looking for features in the store")
def plan(raw: Path, dataset: Path | None, store: FeatureStore, retry: bool = False) -> Plan:
    """Find the pictures whose features the store lacks. This needs neither the network nor its weights.

    Args:
        raw: the raw folder with `images.parquet`.
        dataset: the dataset folder; None: all pictures of the raw folder.
        store: the feature store.
        retry: retry the pictures that failed, and only these.

    Raises:
        TooLittleDataError: there are no pictures.
        MissingInputError, InvalidTableError: the dataset is incomplete or invalid.
        UsageError: the dataset folder holds other files.
    """
    if dataset is None:
        require_only_features(raw / FOLDER)
    of_frames = frames_sha256(dataset) if dataset else None
    images = pictures_of(raw, dataset)
    distinct = images.unique("image_sha256", keep="first", maintain_order=True).select("image_sha256", "path")
    shards, corrupt = store.shards_of(distinct["image_sha256"])
    known = pl.Series([name for names in shards.values() for name in names], dtype=pl.String)
    missing = distinct.filter(~pl.col("image_sha256").is_in(known.implode()))
    has_failed = pl.col("image_sha256").is_in(pl.Series(list(store.failures()), dtype=pl.String).implode())
    to_do = missing.filter(has_failed if retry else ~has_failed)
    _log.info("%d pictures, %d of them to compute", distinct.height, to_do.height)
    order = [reading_order(path) for path in to_do["path"]]
    if any(order):
        to_do = to_do[sorted(range(to_do.height), key=order.__getitem__)]
    return Plan(images, to_do, corrupt, 0 if retry else missing.height - to_do.height, of_frames)


def compute(
    raw: Path,
    pictures: pl.DataFrame,
    extractor: Extractor,
    store: FeatureStore,
    options: ExtractOptions,
    advance: Advance,
) -> int:
    """Compute the features of pictures, write them to the store, and return how many were computed.

    Decoding, the network and writing run at the same time. A picture that cannot be decoded is recorded
    as a failure and does not stop the others. Decoder processes need Linux or macOS.

    Args:
        raw: the folder that paths are relative to.
        pictures: `image_sha256`, `path`.
        extractor: the extractor.
        store: the feature store.
        options: how to compute.
        advance: called with the progress.

    Raises:
        WeightsError: the features differ too much from reference features (see `Extractor.check`).
        PipelineError: the decoder processes do not start, or the system is Windows.
    """
    if pictures.is_empty():
        return 0
    options = options.resolve(extractor.device.type, _memory_bytes(extractor.device))
    pool = PicturePool(options.n_decoders, options.timeout_s)
    reader = CropReader(pool, raw, extractor.geometry)
    maker = BatchMaker(reader, extractor.decoding, extractor.device, options.batch_size)
    rows = pictures.select("image_sha256", "path").rows()
    n_done = 0
    with (
        closing(_ShardWriter(store, advance, options.shard_time_s)) as writer,
        closing(one_ahead(maker.batches(rows))) as batches,
        pool,  # closed first: then nothing waits for a picture any more
    ):
        running: tuple[Batch, Tensor] | None = None
        for batch in batches:
            for picture in batch.failures:
                _record_failure(picture, store)
                advance(1)
            if not batch.names:
                continue
            if not n_done and extractor.device.type == "cuda" and pictures.height >= _COMPILE_FROM:
                extractor.compile(batch.crops)
            features = extractor.forward(batch.crops)
            if not n_done:
                _check(extractor, reader, batch, features, dict(rows))
            n_done += len(batch.names)
            if running is not None:  # copy it to the host while the device computes the next batch
                writer.add(*running)
            running = (batch, features)
        if running is not None:
            writer.add(*running)
        writer.finish()
    return n_done


@stage("Writing the feature table")
def finish(raw: Path, dataset: Path | None, plan: Plan, store: FeatureStore, name: str | None = None) -> Extracted:
    """Write a feature set: its table and its quarantine; for a dataset, record the extractor.

    The tables are written to the dataset folder (`dataset.building.dataset_folder`) or, without a dataset, to
    `features` in the raw folder. This folder is replaced as a whole: it has the old features or the new ones, also
    after a kill. `n_computed` counts the plan's missing pictures that now have a feature.

    Args:
        raw: the raw folder.
        dataset: the dataset folder; None: all pictures of the raw folder.
        plan: what `plan` returned.
        store: the feature store.
        name: the name of the feature set; None is the main set.

    Raises:
        InvalidTableError: the dataset was built again since the plan was made.
    """
    if dataset is None or plan.frames_sha256 is None:
        features = raw / FOLDER
        require_only_features(features)
        with replaced_folder(features) as folder:
            for file in features.glob("*.parquet"):  # of other feature sets
                link_or_copy(file, folder / file.name)
            return _write_tables(folder, features, plan, store, name)
    shown = dataset

    def write(folder: Path) -> tuple[Extracted, Addition]:
        return _write_tables(folder, shown, plan, store, name), Addition(asdict(store.identity))

    return add_feature_set(dataset, name, plan.frames_sha256, write)


def _write_tables(folder: Path, shown: Path, plan: Plan, store: FeatureStore, name: str | None) -> Extracted:
    """Write the two tables to a folder that will be at `shown`."""
    shards, corrupt = store.shards_of(plan.images["image_sha256"].unique())
    known = pl.Series([name for names in shards.values() for name in names], dtype=pl.String).implode()
    featured = plan.images.filter(pl.col("image_sha256").is_in(known))
    table_file, quarantine_file = files_of_set(name)
    n_rows = write_features(featured, shards, store, folder / table_file)
    unreadable = plan.images.filter(~pl.col("image_sha256").is_in(known))
    _write_quarantine(folder / quarantine_file, unreadable, store.failures())
    n_computed = plan.missing.filter(pl.col("image_sha256").is_in(known)).height
    n_unreadable = unreadable["image_sha256"].n_unique()
    paths = shown / table_file, shown / quarantine_file
    return Extracted(n_rows, n_computed, n_unreadable, plan.corrupt + corrupt, *paths, plan.n_failed_before)


def extract(
    raw: Path,
    dataset: Path | None,
    extractor: Extractor,
    root: Path,
    advance: Advance = lambda n: None,
    options: ExtractOptions | None = None,
    retry: bool = False,
    name: str | None = None,
) -> Extracted:
    """Run all three steps: write a feature set of a dataset's pictures, computing only what the store lacks."""
    store = FeatureStore(root, extractor.identity)
    to_do = plan(raw, dataset, store, retry)
    with progress("pictures") as bar:
        task = bar.add_task("Extracting features", total=to_do.missing.height)

        def advance_both(n: int) -> None:
            bar.advance(task, n)
            advance(n)

        compute(raw, to_do.missing, extractor, store, options or ExtractOptions(), advance_both)
    return finish(raw, dataset, to_do, store, name)


def _memory_bytes(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0


def _record_failure(picture: Decoded, store: FeatureStore) -> None:
    if not picture.reason.startswith(MISSING):  # do not record it: the file may come back
        store.add_failure(picture.image_sha256, picture.reason)
    _log.info("picture %s: %s", picture.path, picture.reason)


def _check(extractor: Extractor, reader: CropReader, batch: Batch, features: Tensor, paths: dict[str, str]) -> None:
    """Compare the features of the first pictures with reference features (see `Extractor.check`)."""
    few = [(name, paths[name]) for name in batch.names[:_PICTURES_TO_CHECK]]
    full_crops = [picture.crop for picture in reader.decode(few, fast=False, ahead=1)]
    places = [place for place, full in enumerate(full_crops) if full is not None]
    if places:
        crops = batch.crops[places].cpu().numpy()
        extractor.check(crops, features[places], np.stack([full for full in full_crops if full is not None]))


class _ShardWriter:
    """Collects features and writes them as shards in separate threads."""

    def __init__(self, store: FeatureStore, advance: Advance, shard_time_s: float) -> None:
        self._store, self._advance, self._shard_time_s = store, advance, shard_time_s
        self._names: list[str] = []
        self._features: list[npt.NDArray[np.float16]] = []
        self._threads = ThreadPoolExecutor(_WRITERS, "writer")
        self._writing: deque[Future[None]] = deque()
        self._last_time = time.monotonic()

    def add(self, batch: Batch, features: Tensor) -> None:
        """Add the features of a batch, (B, width); wait for the device if necessary."""
        names = batch.names
        self._names += names
        self._features.append(features[: len(names)].half().cpu().numpy())
        self._advance(len(names))
        if len(self._names) >= SHARD_SIZE or time.monotonic() - self._last_time > self._shard_time_s:
            self._write()

    def finish(self) -> None:
        """Write the last shard and wait until all are on disk."""
        if self._names:
            self._write()
        while self._writing:
            self._writing.popleft().result()

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()

    def _write(self) -> None:
        if len(self._writing) == _WRITERS:
            self._writing.popleft().result()
        self._writing.append(self._threads.submit(self._store.add, self._names, np.concatenate(self._features)))
        self._names, self._features = [], []
        self._last_time = time.monotonic()


def _write_quarantine(path: Path, unreadable: pl.DataFrame, failures: dict[str, str]) -> None:
    """Write the pictures without a feature and the reasons."""
    reasons = pl.DataFrame(
        {"image_sha256": list(failures), "detail": list(failures.values())},
        schema={"image_sha256": pl.String, "detail": pl.String},
    )
    rows = unreadable.join(reasons, on="image_sha256", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("detail").fill_null(MISSING))
    write_table(quarantine_rows(rows, "images", "picture cannot be decoded"), Quarantine, path)
