"""The flow `extract-features`: shards of pictures, computed in one process or on a cluster.

`python -m flows.extract_features --runner dask` computes the same table as `python -m features extract`. A shard
whose worker is lost is computed again.

The table is bit-identical for any number of workers and lost workers, given the same pictures per shard, the
same threads per shard and similar machines. A shard is a range of the pictures sorted by SHA-256, cut into
batches of one shape. The last bits of a feature depend on its place in the batch and on the number of threads,
not on the worker.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefect import flow

from dataset.cli import say
from dataset.progress import progress
from features.config import ExtractorConfig
from features.store import FeatureStore
from flows.exchange import exchange_at
from flows.parameters.config import ExtractFeaturesConfig
from flows.parameters.form import parameters_of
from flows.runners import executor
from flows.shards import Shard, compute_from_exchange, compute_shard

_MOST_AT_ONCE = 256
"""So many shards are with the workers at once; the pictures of no more are in an exchange."""

_Submit = Callable[[int, Shard], "Future[int]"]
_Take = Callable[[int], None]


@flow(name="extract-features", validate_parameters=True)
@parameters_of(ExtractFeaturesConfig)
def extract_features(config: ExtractFeaturesConfig) -> str:
    """Write the feature table of a dataset's pictures; return a summary in words.

    Raises:
        PipelineError: see `features.extract`.
    """
    from features.extractor import with_decoding_that_fits  # imported here: torch takes seconds

    words = with_decoding_that_fits(config.extractor_config, lambda chosen: _extract(config, chosen))
    say(words)
    return words


def _extract(config: ExtractFeaturesConfig, extractor_config: ExtractorConfig) -> str:
    """Extract with this extractor; return a summary."""
    from features.extract import finish, plan
    from features.extractor import Extractor

    raw, root = config.raw.resolve(), config.store.resolve()  # workers may run in another folder
    extractor = Extractor(extractor_config, memory=root / "weights.json")
    identity = extractor.identity
    shard_config = replace(extractor.config, precision=identity.precision, decoding=extractor.decoding)
    store = FeatureStore(root, identity)
    to_do = plan(raw, config.dataset, store, config.retry)
    pictures = to_do.missing.select("image_sha256", "path")
    shards = [
        Shard(part.rows(), shard_config, identity, config.threads)
        for part in pictures.iter_slices(config.pictures_a_shard)
    ]
    with (
        progress("pictures") as bar,
        executor(config.runner) as workers,
        _way_to(workers, config.exchange, raw, store) as (submit, take),
    ):
        line = bar.add_task("Extracting features", total=pictures.height)
        for number, n_pictures in _computed(shards, submit):
            take(number)
            bar.update(line, advance=n_pictures)
    return finish(raw, config.dataset, to_do, store, config.feature_set).summary(identity)


def _computed(shards: list[Shard], submit: _Submit) -> Iterator[tuple[int, int]]:
    """Yield the number of each shard that is done and its number of pictures, in their order."""
    running: deque[tuple[int, Future[int]]] = deque()
    for number, shard in enumerate(shards):
        running.append((number, submit(number, shard)))
        if len(running) == _MOST_AT_ONCE:
            done, future = running.popleft()
            future.result()
            yield done, len(shards[done].pictures)
    for number, future in running:
        future.result()
        yield number, len(shards[number].pictures)


@contextmanager
def _way_to(workers: Executor, address: str | None, raw: Path, store: FeatureStore) -> Iterator[tuple[_Submit, _Take]]:
    """Yield how a shard is sent to the workers, and how its features come back: through the folders, or an exchange."""
    if address is None:
        root = store.path.parent
        yield lambda _, shard: workers.submit(compute_shard, shard, raw, root), lambda _: None
        return
    with exchange_at(address) as exchange:

        def submit(number: int, shard: Shard) -> "Future[int]":
            exchange.put_pictures(str(number), raw, shard.pictures)
            return workers.submit(compute_from_exchange, shard, exchange, str(number))

        yield submit, lambda number: exchange.take_features(str(number), store)
