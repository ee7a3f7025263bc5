"""Compute the features of a dataset's pictures that the store lacks, and write its feature table."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dataset.build import read_description
from dataset.errors import TooLittleDataError
from dataset.files import write_json
from dataset.interactions import quarantined
from dataset.schema import Frame, FrameFeature, Image, Quarantine
from dataset.tables import read_table, write_table
from features.extractor import Extractor
from features.images import UnreadablePicture, read_picture
from features.store import FeatureStore

BATCH_SIZE = 16
SHARD_SIZE = 256
_PICTURES_TO_CHECK = 4

Advance = Callable[[int], None]
"""Called with the number of pictures that have just been done."""


@dataclass(frozen=True)
class Extracted:
    """What an extraction did. `n_computed` is 0 when the store knew all pictures."""

    n_features: int
    n_computed: int
    n_unreadable: int
    cosine_to_fp32: float


def pictures_of(raw: Path, dataset: Path) -> pl.DataFrame:
    """Return the `Image` rows of the frames of a dataset, sorted by SHA-256.

    Raises:
        TooLittleDataError: the dataset has no picture.
    """
    frames = read_table(dataset / "frames.parquet", Frame)
    images = read_table(raw / "images.parquet", Image).join(frames.select("frame_id"), on="frame_id", how="semi")
    if images.is_empty():
        raise TooLittleDataError(
            f"{raw}: no picture of the {frames.height:,} frames in {dataset}; crawl frames or import with --pictures "
            "(models without pictures, such as --model bpr, run all the same)"
        )
    return images.sort("image_sha256", "frame_id")


def extract(raw: Path, dataset: Path, extractor: Extractor, root: Path, advance: Advance) -> Extracted:
    """Write `<dataset>/frame_features.parquet`, computing only what the store lacks.

    Pictures that cannot be decoded go to `<dataset>/features_quarantine.parquet` with their reason.

    Args:
        raw: the raw folder with `images.parquet` and the picture files.
        dataset: the dataset folder.
        extractor: what computes.
        root: the folder of all feature stores.
        advance: told of progress, in distinct pictures.
    """
    images = pictures_of(raw, dataset)
    store = FeatureStore(root, extractor.identity)
    distinct = images.unique("image_sha256", keep="first", maintain_order=True)
    missing = distinct.filter(~pl.col("image_sha256").is_in(list(store.known())))
    advance(distinct.height - missing.height)
    unreadable: dict[str, str] = {}
    cosine = 1.0
    shard: list[tuple[str, np.ndarray]] = []
    for number, (names, inputs) in enumerate(_batches(raw, missing, extractor, unreadable)):
        if number == 0:
            cosine = extractor.check_precision(inputs[:_PICTURES_TO_CHECK])
        shard += zip(names, extractor.features(inputs).numpy().astype(np.float16), strict=True)
        if len(shard) >= SHARD_SIZE:
            _flush(store, shard)
        advance(len(names))
    _flush(store, shard)
    features = images.select("frame_id", "image_sha256").join(store.read(images["image_sha256"]), on="image_sha256")
    write_table(features, FrameFeature, dataset / "frame_features.parquet")
    _write_quarantine(dataset, images, unreadable)
    write_json(dataset / "dataset.json", {**read_description(dataset), "extractor": asdict(extractor.identity)})
    return Extracted(features.height, missing.height - len(unreadable), len(unreadable), cosine)


def _batches(
    raw: Path, images: pl.DataFrame, extractor: Extractor, unreadable: dict[str, str]
) -> Iterator[tuple[list[str], Tensor]]:
    """Yield batches of (SHA-256 names, (B, 3, 224, 224) inputs), decoded one batch ahead in threads."""

    def load(row: tuple[str, str]) -> tuple[str, Tensor | None, str]:
        try:
            return row[0], extractor.preprocess(read_picture(raw / row[1])), ""
        except UnreadablePicture as reason:
            return row[0], None, str(reason)

    batches = images.select("image_sha256", "path").iter_slices(BATCH_SIZE)
    with ThreadPoolExecutor(max_workers=2) as pool:
        submitted = ([pool.submit(load, row) for row in batch.rows()] for batch in batches)
        ahead = next(submitted, None)
        for following in chain(submitted, [None]):
            loaded = [future.result() for future in ahead or []]
            ahead = following
            unreadable.update((name, reason) for name, tensor, reason in loaded if tensor is None)
            good = [(name, tensor) for name, tensor, _ in loaded if tensor is not None]
            if good:
                yield [name for name, _ in good], torch.stack([tensor for _, tensor in good])


def _flush(store: FeatureStore, shard: list[tuple[str, np.ndarray]]) -> None:
    if shard:
        store.add([name for name, _ in shard], np.stack([feature for _, feature in shard]))
        shard.clear()


def _write_quarantine(dataset: Path, images: pl.DataFrame, unreadable: dict[str, str]) -> None:
    reasons = pl.DataFrame(
        list(unreadable.items()), schema={"image_sha256": pl.String, "detail": pl.String}, orient="row"
    )
    rows = quarantined(images.join(reasons, on="image_sha256"), "images", "picture cannot be decoded")
    write_table(rows, Quarantine, dataset / "features_quarantine.parquet")
