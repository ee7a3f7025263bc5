"""The flow `build-dataset`: crawl, export, build, extract features, publish.

Run again, it goes on where it stopped, skips the stages whose inputs have not changed, and
publishes nothing when nothing has changed.
"""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from crawler.sandbox.world import WorldConfig
from dataset.building.build import DatasetConfig
from dataset.building.split import SplitConfig
from dataset.errors import UsageError
from dataset.snapshots.snapshot import Snapshot
from features.config import IMAGENET, ExtractorConfig
from flows.limits import only_crawl_of
from flows.runners import LOCAL
from flows.sandbox import sandbox_site, use_known_key
from flows.tasks import CRAWL_STAGES, build_tables, crawl, export_raw, extract, publish_dataset

DEFAULT_SANDBOX_PORT = 8801


@flow(name="build-dataset", validate_parameters=True)
def build_dataset(
    source: Annotated[
        Literal["sandbox", "douban", "import"],
        Field(description="sandbox: the local invented site; douban: the real one; import: the raw tables as they are"),
    ] = "sandbox",
    name: Annotated[str, Field(description="name of the dataset and of its folder", pattern=r"^[A-Za-z0-9_-]+$")] = (
        "sandbox"
    ),
    data: Annotated[Path, Field(description="folder for everything the pipeline keeps")] = Path("data"),
    contact: Annotated[str | None, Field(description="e-mail or URL in the User-Agent; needed for douban")] = None,
    movies: Annotated[list[str] | None, Field(description="movie ids to start from; the sandbox has its own")] = None,
    users: Annotated[list[str] | None, Field(description="user ids to start from")] = None,
    refresh: Annotated[bool, Field(description="read again what can have changed since it was read")] = False,
    site_urls: Annotated[
        str | None, Field(description="three addresses (movie,www,images) of another site of the same make")
    ] = None,
    delay_s: Annotated[float, Field(ge=0, description="seconds between requests; never below 5 on a real host")] = 0.0,
    extractor: Annotated[str, Field(description="architecture[:node] of torchvision")] = ExtractorConfig.name,
    weights: Annotated[str, Field(description="IMAGENET1K_V1, random:<seed>, or a file")] = IMAGENET,
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 where native")] = "auto",
    runner: Annotated[
        str,
        Field(description="where features are computed: local, dask, dask:<address>", pattern=r"^(local|dask(:.+)?)$"),
    ] = LOCAL,
    k: Annotated[int, Field(ge=0, description="the k of the k-core, for users and movies")] = 5,
    seed: Annotated[int, Field(ge=0, description="seed of the split")] = 0,
    sandbox_seed: Annotated[int, Field(ge=0, description="seed of the sandbox's world")] = WorldConfig.seed,
    sandbox_users: Annotated[int, Field(ge=10, description="users of the sandbox's world")] = WorldConfig.n_users,
    sandbox_movies: Annotated[int, Field(ge=10, description="movies of the sandbox's world")] = WorldConfig.n_movies,
    sandbox_port: Annotated[int, Field(ge=1, le=65533, description="first of three ports")] = DEFAULT_SANDBOX_PORT,
) -> Snapshot:
    """Build a dataset and publish it as a snapshot, unless it equals the newest one.

    Returns:
        The new snapshot, or the newest one when nothing has changed.

    Raises:
        UsageError: `douban` without a contact or without ids to start from.
        PipelineError: a stage failed; run the flow again to go on where it stopped.
    """
    if source == "douban" and not (contact and (movies or users)):
        raise UsageError("source douban needs a contact (for the User-Agent) and movies or users to start from")
    home = data / name
    options = [f"--k={k}", f"--delay-s={delay_s}"]
    options += [f"--movies={','.join(movies)}"] if movies else []
    options += [f"--users={','.join(users)}"] if users else []
    if source == "sandbox":
        _crawl_sandbox(home, (sandbox_seed, sandbox_users, sandbox_movies, sandbox_port), options, refresh)
    if source == "douban":
        where = f"--site-urls={site_urls}" if site_urls else "--site=douban"
        with only_crawl_of("douban"):
            _crawl_all(home, [where, f"--contact={contact}", *options], refresh)
    if source != "import":
        export_raw(home)
    numbers = build_tables(home, DatasetConfig(k_user=k, k_item=k, split=SplitConfig(seed=seed)))
    if numbers["n_frames"] > numbers["n_frames_without_picture"]:
        extract(home, ExtractorConfig(extractor, weights, precision), data / "features", runner)
    return publish_dataset(home / "dataset", name, data / "snapshots")


def _crawl_sandbox(home: Path, world_and_port: tuple[int, int, int, int], options: list[str], refresh: bool) -> None:
    """Start the sandbox for as long as the crawl takes; see `sandbox_site` for the world and the port."""
    use_known_key(home / "crawl")
    site_file = home / "site.json"
    with only_crawl_of("sandbox"), sandbox_site(site_file, *world_and_port):
        _crawl_all(home, ["--site=sandbox", f"--site-file={site_file}", *options], refresh)


def _crawl_all(home: Path, options: list[str], refresh: bool) -> None:
    for stage in CRAWL_STAGES:
        crawl(stage, home, options, refresh)
