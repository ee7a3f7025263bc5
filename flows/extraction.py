"""The flow `extract-features`: shards of pictures as tasks, in one process or on a cluster.

`python -m flows.extract_features --runner dask` computes the same table as `python -m features extract`. A shard
whose worker is lost is computed again.

The table is bit-identical for any number of workers and lost workers, given the same pictures per shard, the
same threads per shard and similar machines. A shard is a range of the pictures sorted by SHA-256, cut into
batches of one shape. The last bits of a feature depend on its place in the batch and on the number of threads,
not on the worker.
"""

import functools
import math
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from dataset.cli import say
from dataset.errors import WeightsError
from dataset.progress import progress
from features.config import ExtractOptions, ExtractorConfig, ExtractorIdentity
from features.store import FeatureStore
from flows.config import ExtractFeaturesConfig, parameters_of

if TYPE_CHECKING:
    from features.extractor import Extractor

_one_at_a_time = threading.Lock()
"""The threads of a worker take turns: they share one network, and one computation uses all cores."""


def _lock() -> threading.Lock:
    """Return the lock. A task's body is pickled for the workers, and a lock that it names cannot be pickled."""
    return _one_at_a_time


@task(task_run_name="shard {number}", cache_policy=NO_CACHE, retries=1)
def extract_shard(
    number: int,
    raw: Path,
    pictures: list[tuple[str, str]],
    config: ExtractorConfig,
    expected: ExtractorIdentity,
    root: Path,
    threads: int = 0,
) -> int:
    """Compute the features of pictures, given as (image_sha256, path), and write them to the store.

    Returns:
        How many pictures were computed; 0 if the store had them all.

    Raises:
        WeightsError: this machine's extractor differs from the flow's.
    """
    import torch  # imported here: serving the flow does not need it, and it takes seconds

    from features.extract import compute

    with _lock():
        store = FeatureStore(root, expected)
        if store.has_done([name for name, _ in pictures]):
            return 0  # a worker was lost after it had written the shard
        torch.set_num_threads(threads or _available_threads())
        extractor = _extractor(config, root)
        if extractor.identity.extractor_id != expected.extractor_id:
            raise WeightsError(
                f"a worker's extractor {extractor.identity} differs from the flow's {expected}; "
                "install the same libraries and weights on all machines"
            )
        rows = pl.DataFrame(pictures, schema={"image_sha256": pl.String, "path": pl.String}, orient="row")
        options = ExtractOptions(shard_time_s=math.inf)  # one shard file, on every worker
        return compute(raw, rows, extractor, store, options, lambda _n: None)


@flow(name="extract-features", validate_parameters=True)
@parameters_of(ExtractFeaturesConfig)
def extract_features(config: ExtractFeaturesConfig) -> str:
    """Write the feature table of a dataset's pictures; return a summary in words.

    Raises:
        PipelineError: see `features.extract`.
    """
    from features.extract import finish, plan
    from features.extractor import Extractor

    raw, root = config.raw.resolve(), config.store.resolve()  # workers may run in another folder
    extractor = Extractor(config.extractor_config, memory=root / "weights.json")
    identity = extractor.identity
    shard_config = replace(extractor.config, precision=identity.precision, decoding=extractor.decoding)
    store = FeatureStore(root, identity)
    to_do = plan(raw, config.dataset, store, config.retry)
    pictures = to_do.missing.select("image_sha256", "path")
    shards = [part.rows() for part in pictures.iter_slices(config.pictures_a_shard)]
    with progress("pictures") as bar:
        line = bar.add_task("Extracting features", total=pictures.height)
        futures = [
            extract_shard.submit(number, raw, rows, shard_config, identity, root, config.threads)
            for number, rows in enumerate(shards)
        ]
        for rows, future in zip(shards, futures, strict=True):
            future.result()
            bar.update(line, advance=len(rows))
    words = finish(raw, config.dataset, to_do, store, config.feature_set).summary(identity)
    say(words)
    return words


@functools.lru_cache(maxsize=1)
def _extractor(config: ExtractorConfig, root: Path) -> "Extractor":
    """Return this process's extractor."""
    from features.extractor import Extractor

    return Extractor(config, memory=root / "weights.json")


def _available_threads() -> int:
    """Return the number of threads that Dask gave this process; in a process without Dask, torch's threads."""
    import distributed
    import torch

    with suppress(ValueError):
        return int(distributed.get_worker().state.nthreads)
    return torch.get_num_threads()
