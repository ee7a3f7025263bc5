"""From pictures to a feature table: find out what the store lacks, compute it, write the table.

The three steps are functions of their own, so that a cluster can share the second one.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from torch import Tensor

from dataset.description import read_description
from dataset.errors import TooLittleDataError, UsageError
from dataset.files import write_json
from dataset.schema import Frame, Image, Quarantine
from dataset.tables import quarantine_rows, read_table, write_table
from features.config import ExtractorIdentity
from features.decoding import PICTURE_TIMEOUT_S, Decoded, DecoderPool
from features.extractor import Extractor
from features.store import FeatureStore
from features.table import write_features

SHARD_SIZE = 1024
_PICTURES_TO_CHECK = 4
_BATCHES_AHEAD = 4
_COMPILE_FROM = 20_000
"""Pictures from which on a GPU's network is compiled; it takes about a minute."""

Advance = Callable[[int], None]
"""Called with the number of pictures that have just been done."""


@dataclass(frozen=True)
class ExtractOptions:
    """How to compute: nothing here changes a feature, but for its last bits (`batch_size`).

    Attributes:
        batch_size: pictures in one forward pass; 0: by device.
        n_decoders: decoder processes; 0: by device.
        timeout_s: after which a picture is given up.
        shard_time_s: a shard is written after so much time, or `SHARD_SIZE` pictures: what a kill can cost.
    """

    batch_size: int = 0
    n_decoders: int = 0
    timeout_s: float = PICTURE_TIMEOUT_S
    shard_time_s: float = 20.0

    def resolve(self, device_type: str) -> "ExtractOptions":
        """Return the options without zeros.

        Raises:
            UsageError: one is negative.
        """
        if min(self.batch_size, self.n_decoders) < 0:
            raise UsageError("batch size and number of decoders must be 0 (by device) or more")
        on_gpu, n_cores = device_type == "cuda", os.cpu_count() or 1
        # one process decodes some 200 pictures a second: more than any CPU extracts, far less than a GPU does
        n_decoders = self.n_decoders or (max(2, n_cores - 1) if on_gpu else 2)
        return replace(self, batch_size=self.batch_size or (128 if on_gpu else 16), n_decoders=n_decoders)


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        images: `frame_id`, `movie_id` or null, `image_sha256`, `path` of every picture asked for.
        missing: `image_sha256`, `path` of the distinct pictures to compute, by SHA-256.
        corrupt: the names of shards that were broken; their pictures are among the missing.
        n_failed_before: pictures that could not be decoded before and are not tried again.
    """

    images: pl.DataFrame
    missing: pl.DataFrame
    corrupt: list[str]
    n_failed_before: int


@dataclass(frozen=True)
class Extracted:
    """What an extraction did. `n_computed` is 0 when the store knew all pictures."""

    n_features: int
    n_computed: int
    n_unreadable: int
    corrupt: list[str]
    table: Path
    n_failed_before: int

    def summary(self, identity: ExtractorIdentity) -> str:
        """Say what was done."""
        words = (
            f"{self.n_features:,} frames have their {identity.architecture} {identity.node} feature in {self.table}: "
            f"{self.n_computed:,} pictures computed now, the rest known (weights {identity.weights}, "
            f"{identity.precision})."
        )
        if self.corrupt:
            words += (
                f" {len(self.corrupt):,} corrupt shards were set aside as .corrupt, and their pictures computed again."
            )
        if self.n_unreadable:
            quarantine = self.table.with_name("features_quarantine.parquet")
            words += f" {self.n_unreadable:,} pictures have none; {quarantine} says why"
            again = f" ({self.n_failed_before:,} failed before: --retry tries them again)"
            words += (again if self.n_failed_before else "") + "."
        return words


def pictures_of(raw: Path, dataset: Path | None) -> pl.DataFrame:
    """Return `frame_id`, `movie_id`, `image_sha256`, `path` of a dataset's pictures, sorted by SHA-256.

    Args:
        raw: the raw folder.
        dataset: the dataset whose frames count; None: all pictures of the raw folder.

    Raises:
        TooLittleDataError: there is no picture.
    """
    frames = read_table((dataset or raw) / "frames.parquet", Frame).select("frame_id", "movie_id")
    images = read_table(raw / "images.parquet", Image).select("frame_id", "image_sha256", "path")
    images = images.join(frames, on="frame_id", how="inner" if dataset else "left")
    if images.is_empty():
        raise TooLittleDataError(
            f"{raw}: no picture of the {frames.height:,} frames in {dataset or raw}; crawl frames or import with "
            "--pictures (models without pictures, such as --model bpr, run all the same)"
        )
    return images.sort("image_sha256", "frame_id")


def plan(raw: Path, dataset: Path | None, store: FeatureStore, retry: bool = False) -> Plan:
    """Find out what is missing in the store. Needs no network, no weights and no picture.

    Args:
        raw: the raw folder with `images.parquet`.
        dataset: the dataset's folder; None: all pictures of the raw folder.
        store: where features are kept.
        retry: try again the pictures that failed, and only them.
    """
    images = pictures_of(raw, dataset)
    distinct = images.unique("image_sha256", keep="first", maintain_order=True).select("image_sha256", "path")
    shards, corrupt = store.shards_of(distinct["image_sha256"])
    known = pl.Series([name for names in shards.values() for name in names], dtype=pl.String)
    missing = distinct.filter(~pl.col("image_sha256").is_in(known.implode()))
    has_failed = pl.col("image_sha256").is_in(pl.Series(list(store.failures()), dtype=pl.String).implode())
    to_do = missing.filter(has_failed if retry else ~has_failed)
    return Plan(images, to_do, corrupt, 0 if retry else missing.height - to_do.height)


def compute(
    raw: Path,
    pictures: pl.DataFrame,
    extractor: Extractor,
    store: FeatureStore,
    options: ExtractOptions,
    advance: Advance,
) -> int:
    """Compute the features of pictures into the store; return how many have one now.

    Decoding, the network and writing go on at the same time. A picture that cannot be decoded is
    written down as a failure; it stops nothing.

    Args:
        raw: the folder that paths are relative to.
        pictures: `image_sha256`, `path`.
        extractor: what computes.
        store: where features go.
        options: how.
        advance: told of progress.

    Raises:
        WeightsError: the features differ too much from plain ones (`Extractor.check`).
    """
    if pictures.is_empty():
        return 0
    options = options.resolve(extractor.device.type)
    fast = extractor.config.decoding == "fast"
    n_done = 0
    with (
        DecoderPool(raw, extractor.geometry, options.n_decoders, options.timeout_s) as pool,
        closing(_ShardWriter(store, advance, options.shard_time_s)) as writer,
    ):
        decoded = pool.decode(pictures.select("image_sha256", "path").rows(), fast, _BATCHES_AHEAD * options.batch_size)
        running: tuple[list[str], Tensor] | None = None
        for names, crops in _batches(decoded, options.batch_size, store, advance):
            if not n_done and extractor.device.type == "cuda" and pictures.height >= _COMPILE_FROM:
                extractor.compile(crops)
            started = extractor.forward(crops)
            if not n_done:
                _check(extractor, pool, pictures, names, crops, started)
            n_done += len(names)
            if running is not None:  # its copy to the host waits while the device is at the next batch
                writer.add(*running)
            running = (names, started)
        if running is not None:
            writer.add(*running)
        writer.finish()
    return n_done


def finish(raw: Path, dataset: Path | None, plan: Plan, store: FeatureStore) -> Extracted:
    """Write `frame_features.parquet`, `features_quarantine.parquet` and, in a dataset, who made the features.

    The tables go into the dataset's folder, or into the raw one where there is none. `n_computed`
    is how many of the pictures that the plan lacked have a feature now.
    """
    folder = dataset or raw
    shards, corrupt = store.shards_of(plan.images["image_sha256"].unique())
    known = pl.Series([name for names in shards.values() for name in names], dtype=pl.String).implode()
    featured = plan.images.filter(pl.col("image_sha256").is_in(known))
    n_rows = write_features(featured, shards, store, folder / "frame_features.parquet")
    unreadable = plan.images.filter(~pl.col("image_sha256").is_in(known))
    _write_quarantine(folder, unreadable, store.failures())
    if dataset is not None:
        description = read_description(dataset)
        described = {**description, "extractor": asdict(store.identity)}
        if described != description:
            write_json(dataset / "dataset.json", described)
    n_computed = plan.missing.filter(pl.col("image_sha256").is_in(known)).height
    n_unreadable = unreadable["image_sha256"].n_unique()
    table = folder / "frame_features.parquet"
    return Extracted(n_rows, n_computed, n_unreadable, plan.corrupt + corrupt, table, plan.n_failed_before)


def extract(
    raw: Path,
    dataset: Path | None,
    extractor: Extractor,
    root: Path,
    advance: Advance,
    options: ExtractOptions | None = None,
    retry: bool = False,
) -> Extracted:
    """Write the feature table of a dataset's pictures, computing only what the store lacks: all three steps."""
    store = FeatureStore(root, extractor.identity)
    to_do = plan(raw, dataset, store, retry)
    compute(raw, to_do.missing, extractor, store, options or ExtractOptions(), advance)
    return finish(raw, dataset, to_do, store)


def _batches(
    decoded: Iterator[Decoded], batch_size: int, store: FeatureStore, advance: Advance
) -> Iterator[tuple[list[str], npt.NDArray[np.uint8]]]:
    """Yield (names, crops) of up to `batch_size` pictures; crops are filled up to (batch_size, S, S, 3).

    Every batch has the same shape, so that a picture's feature depends on its place alone and not
    on how many others were with it. (A matrix product's last bits depend on the place of a row.)
    """

    def readable() -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        for picture in decoded:
            if picture.crop is not None:
                yield picture.image_sha256, picture.crop
                continue
            if not picture.reason.startswith("the file is missing"):  # nothing to remember: it may come back
                store.add_failure(picture.image_sha256, picture.reason)
            advance(1)

    pictures = readable()
    while batch := list(islice(pictures, batch_size)):
        blank = [np.zeros_like(batch[0][1])] * (batch_size - len(batch))
        yield [name for name, _ in batch], np.stack([crop for _, crop in batch] + blank)


def _check(
    extractor: Extractor,
    pool: DecoderPool,
    pictures: pl.DataFrame,
    names: list[str],
    crops: npt.NDArray[np.uint8],
    features: Tensor,
) -> None:
    """Compare this extractor's features of the first pictures with those of the plain way."""
    few = names[:_PICTURES_TO_CHECK]
    rows = pictures.filter(pl.col("image_sha256").is_in(few)).select("image_sha256", "path").rows()
    plain = {picture.image_sha256: picture.crop for picture in pool.decode(rows, fast=False, ahead=len(rows))}
    both = [(place, full) for place, name in enumerate(few) if (full := plain.get(name)) is not None]
    if both:
        places = [place for place, _ in both]
        extractor.check(crops[places], features[places], np.stack([full for _, full in both]))


class _ShardWriter:
    """Gathers features and writes them as shards, in a thread of its own."""

    def __init__(self, store: FeatureStore, advance: Advance, shard_time_s: float) -> None:
        self._store, self._advance, self._shard_time_s = store, advance, shard_time_s
        self._names: list[str] = []
        self._features: list[npt.NDArray[np.float16]] = []
        self._thread = ThreadPoolExecutor(1, "writer")
        self._writing: Future[None] | None = None
        self._last_time = time.monotonic()

    def add(self, names: list[str], features: Tensor) -> None:
        """Take (B, width) features, of which the first ones are of `names`; wait for the device if need be."""
        self._names += names
        self._features.append(features[: len(names)].cpu().numpy().astype(np.float16))
        self._advance(len(names))
        if len(self._names) >= SHARD_SIZE or time.monotonic() - self._last_time > self._shard_time_s:
            self._write()

    def finish(self) -> None:
        """Write what is left, and wait until it is on disk."""
        if self._names:
            self._write()
        if self._writing is not None:
            self._writing.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _write(self) -> None:
        if self._writing is not None:
            self._writing.result()
        self._writing = self._thread.submit(self._store.add, self._names, np.concatenate(self._features))
        self._names, self._features = [], []
        self._last_time = time.monotonic()


def _write_quarantine(folder: Path, unreadable: pl.DataFrame, failures: dict[str, str]) -> None:
    """Write the pictures without a feature, with the reason, into `features_quarantine.parquet`."""
    reasons = pl.DataFrame(
        {"image_sha256": list(failures), "detail": list(failures.values())},
        schema={"image_sha256": pl.String, "detail": pl.String},
    )
    rows = unreadable.join(reasons, on="image_sha256", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("detail").fill_null("the file is missing"))
    write_table(
        quarantine_rows(rows, "images", "picture cannot be decoded"), Quarantine, folder / "features_quarantine.parquet"
    )
