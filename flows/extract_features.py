"""The flow `extract-features`: shards of pictures as tasks, in one process or on a cluster.

`python -m flows.extract_features --runner dask` does what `python -m features extract` does. A
shard whose worker is lost is done again.

The table is the same to the last bit whatever the number of workers and of losses, for the same
pictures a shard and threads a shard on like machines: a shard is a run of the pictures sorted by
SHA-256, cut into batches of one shape, and a feature's last bits depend on its place in the batch
and on the number of threads, not on which worker computes it.
"""

import functools
import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import polars as pl
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from pydantic import Field

from dataset.cli import ArgumentParser, progress, run, whole_number
from dataset.errors import WeightsError
from features.config import DEFAULT_STORE, IMAGENET, ExtractorConfig, ExtractorIdentity
from features.store import FeatureStore
from flows.runners import LOCAL, task_runner
from flows.server import prefect_server

if TYPE_CHECKING:
    from features.extractor import Extractor

PICTURES_A_SHARD = 256

_one_at_a_time = threading.Lock()
"""A worker's threads share one network, which keeps all of them busy by itself."""


def _alone() -> threading.Lock:
    """Return the lock; a task's body goes to workers by value, and a lock that it names cannot."""
    return _one_at_a_time


@task(task_run_name="shard {number}", cache_policy=NO_CACHE, retries=1)
def extract_shard(
    number: int,
    raw: Path,
    pictures: list[tuple[str, str]],
    config: ExtractorConfig,
    known: ExtractorIdentity,
    root: Path,
    threads: int = 0,
) -> int:
    """Compute the features of some (image_sha256, path) into the store; return how many were left to compute.

    Raises:
        WeightsError: this machine's extractor is not the one that the flow began with.
    """
    import torch  # takes seconds, which serving the flow does not

    from features.config import ExtractOptions
    from features.extract import compute

    with _alone():
        store = FeatureStore(root, known)
        if store.has_done([name for name, _ in pictures]):
            return 0  # a worker was lost after it had written the shard
        torch.set_num_threads(threads or _threads_at_hand())
        extractor = _extractor(config, root)
        if extractor.identity.extractor_id != known.extractor_id:
            raise WeightsError(
                f"a worker's extractor {extractor.identity} is not the flow's {known}; "
                "give all machines the same torch, torchvision and weights"
            )
        rows = pl.DataFrame(pictures, schema={"image_sha256": pl.String, "path": pl.String}, orient="row")
        options = ExtractOptions(shard_time_s=math.inf)  # one shard, the same whoever makes it
        return compute(raw, rows, extractor, store, options, lambda _n: None)


@flow(name="extract-features", validate_parameters=True)
def extract_features(
    raw: Annotated[Path, Field(description="the raw folder with the pictures")],
    dataset: Annotated[Path | None, Field(description="the built dataset; none: every picture of the raw folder")],
    store: Annotated[Path, Field(description="where features are kept, by picture")] = DEFAULT_STORE,
    extractor: Annotated[str, Field(description="architecture[:node] of torchvision")] = ExtractorConfig.name,
    weights: Annotated[str, Field(description="torchvision's name, random:<seed>, or a file")] = IMAGENET,
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 where native")] = "auto",
    decoding: Annotated[Literal["fast", "full"], Field(description="fast: large JPEGs at a fraction")] = "fast",
    retry: Annotated[bool, Field(description="try again the pictures that failed, and only them")] = False,
    pictures_a_shard: Annotated[int, Field(ge=1, description="pictures in one task")] = PICTURES_A_SHARD,
    threads: Annotated[int, Field(ge=0, description="threads of a shard; 0: all its process has")] = 0,
) -> str:
    """Write the feature table of a dataset's pictures; return what was done, in words.

    Raises:
        PipelineError: see `features.extract`.
    """
    from features.extract import finish, plan
    from features.extractor import Extractor

    raw, root = raw.resolve(), store.resolve()  # workers may run in another folder
    whole = Extractor(ExtractorConfig(extractor, weights, precision, decoding), memory=root / "weights.json")
    config = replace(whole.config, precision=whole.identity.precision)
    feature_store = FeatureStore(root, whole.identity)
    to_do = plan(raw, dataset, feature_store, retry)
    shards = [part.rows() for part in to_do.missing.select("image_sha256", "path").iter_slices(pictures_a_shard)]
    with progress("pictures") as bar:
        line = bar.add_task("Extracting features", total=to_do.missing.height, note="")
        futures = [
            extract_shard.submit(number, raw, rows, config, whole.identity, root, threads)
            for number, rows in enumerate(shards)
        ]
        for rows, future in zip(shards, futures, strict=True):
            future.result()
            bar.update(line, advance=len(rows))
    words = finish(raw, dataset, to_do, feature_store).summary(whole.identity)
    print(words)
    return words


@functools.lru_cache(maxsize=1)
def _extractor(config: ExtractorConfig, root: Path) -> "Extractor":
    """Return this process's extractor."""
    from features.extractor import Extractor

    return Extractor(config, memory=root / "weights.json")


def _threads_at_hand() -> int:
    """Return how many threads Dask has given this process; all that torch has where it is no worker of Dask's."""
    import distributed
    import torch

    with suppress(ValueError):
        return int(distributed.get_worker().state.nthreads)
    return torch.get_num_threads()


def main(argv: Sequence[str]) -> None:
    """Run the flow once, on the Prefect server in use or one of our own."""
    parser = ArgumentParser(prog="python -m flows.extract_features", description="Extract features on many machines.")
    parser.add_argument("--raw", type=Path, default=Path("data/sandbox/raw"), help="the raw folder with the pictures")
    parser.add_argument("--dataset", type=Path, default=Path("data/sandbox/dataset"), help="the built dataset")
    parser.add_argument(
        "--all-pictures", action="store_true", help="every picture of the raw folder, without a dataset"
    )
    parser.add_argument("--store", type=Path, default=DEFAULT_STORE, help="where features are kept; all workers see it")
    parser.add_argument("--extractor", default=ExtractorConfig.name, help="architecture[:node] of torchvision")
    parser.add_argument("--weights", default=IMAGENET, help="torchvision's name, random:<seed>, or a file")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"], help="auto: bf16 where native")
    parser.add_argument("--decoding", default="fast", choices=["fast", "full"], help="of large JPEGs")
    parser.add_argument("--retry", action="store_true", help="try again the pictures that failed, and only them")
    parser.add_argument("--pictures-a-shard", type=whole_number(), default=PICTURES_A_SHARD, help="pictures a task")
    parser.add_argument(
        "--threads",
        type=whole_number(0),
        default=0,
        help="of a shard (0: all); the same number gives the same bits",
    )
    parser.add_argument("--runner", default=LOCAL, help="local, dask (processes on this machine) or dask:<address>")
    options = vars(parser.parse_args(argv))
    runner = task_runner(options.pop("runner"))
    if options.pop("all_pictures"):
        options["dataset"] = None
    api_url = str(get_current_settings().api.url or "http://127.0.0.1:4200/api")
    with (
        prefect_server(api_url, Path("data/prefect/server.log")),
        temporary_settings({PREFECT_API_URL: api_url}),
    ):
        extract_features.with_options(task_runner=runner)(**options)


if __name__ == "__main__":
    run(main, "python -m flows.extract_features")
