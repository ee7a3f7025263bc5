"""What computes the features of a shard of pictures: this process, or a worker of a cluster, which needs no Prefect.

A worker sees the same folders (`compute_shard`), or only an object store (`compute_from_exchange`).
"""

import functools
import math
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from dataset.errors import WeightsError
from features.config import ExtractOptions, ExtractorConfig, ExtractorIdentity
from features.store import FeatureStore
from flows.exchange import Exchange

if TYPE_CHECKING:
    from features.extractor import Extractor

_one_at_a_time = threading.Lock()
"""The threads of a worker take turns: they share one network, and one computation uses all cores."""


@dataclass(frozen=True)
class Shard:
    """Pictures that are computed together, with one extractor.

    Attributes:
        pictures: (image_sha256, path) of each.
        config: the extractor.
        expected: the extractor of the flow; the worker's must be the same.
        threads: threads to use; 0: all.
    """

    pictures: Sequence[tuple[str, str]]
    config: ExtractorConfig
    expected: ExtractorIdentity
    threads: int = 0


def compute_shard(shard: Shard, raw: Path, root: Path) -> int:
    """Compute the features of a shard and write them to the store.

    Args:
        shard: what to compute.
        raw: the folder that the pictures' paths are relative to.
        root: the folder of the feature stores.

    Returns:
        How many pictures were computed; 0 if the store had them all.

    Raises:
        WeightsError: this machine's extractor differs from the flow's.
    """
    with _one_at_a_time:
        return _compute(shard, raw, root, root / "weights.json")


def compute_from_exchange(shard: Shard, exchange: Exchange, name: str) -> int:
    """Compute the features of a shard whose pictures are in an exchange, and put them there.

    Args:
        shard: what to compute.
        exchange: holds the pictures of the shard.
        name: the shard's name in the exchange.

    Returns:
        How many pictures were computed.

    Raises:
        WeightsError: this machine's extractor differs from the flow's.
        StorageError: the object store cannot be reached, or lacks the pictures.
    """
    with tempfile.TemporaryDirectory(prefix="shard-") as folder, _one_at_a_time:
        raw, root = Path(folder, "raw"), Path(folder, "features")
        exchange.take_pictures(name, raw)
        n_computed = _compute(shard, raw, root, None)
        exchange.put_features(name, FeatureStore(root, shard.expected).path)
        return n_computed


def _compute(shard: Shard, raw: Path, root: Path, memory: Path | None) -> int:
    import torch  # imported here: serving the flow does not need it, and it takes seconds

    from features.extract import compute

    store = FeatureStore(root, shard.expected)
    if store.has_done([name for name, _ in shard.pictures]):
        return 0  # a worker was lost after it had written the shard
    torch.set_num_threads(shard.threads or _available_threads())
    extractor = _extractor(shard.config, memory)
    if extractor.identity.extractor_id != shard.expected.extractor_id:
        raise WeightsError(
            f"a worker's extractor {extractor.identity} differs from the flow's {shard.expected}; "
            "install the same libraries and weights on all machines"
        )
    rows = pl.DataFrame(shard.pictures, schema={"image_sha256": pl.String, "path": pl.String}, orient="row")
    options = ExtractOptions(shard_time_s=math.inf)  # one shard file, on every worker
    return compute(raw, rows, extractor, store, options, lambda _n: None)


@functools.lru_cache(maxsize=1)
def _extractor(config: ExtractorConfig, memory: Path | None) -> "Extractor":
    """Return this process's extractor."""
    from features.extractor import Extractor

    return Extractor(config, memory=memory)


def _available_threads() -> int:
    """Return the number of threads that Dask gave this process; in a process without Dask, torch's threads."""
    import distributed
    import torch

    with suppress(ValueError):
        return int(distributed.get_worker().state.nthreads)
    return torch.get_num_threads()
