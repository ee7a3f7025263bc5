"""The flow `build-dataset`: crawl, export, build, extract features, publish.

Run again, it goes on where it stopped, and publishes nothing when nothing has changed.
"""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from crawler.sandbox.world import WorldConfig
from dataset.build import DatasetConfig
from dataset.errors import UsageError
from dataset.snapshot import Snapshot
from dataset.split import SplitConfig
from features.extractor import IMAGENET
from flows.sandbox import sandbox_site, use_known_key
from flows.tasks import build_tables, crawl, export_raw, extract_features, publish_snapshot

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
    weights: Annotated[str, Field(description="IMAGENET1K_V1, random:<seed>, or a file")] = IMAGENET,
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 where native")] = "auto",
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
    raw, dataset = home / "raw", home / "dataset"
    start = [f"--movies={','.join(movies)}"] if movies else []
    start += [f"--users={','.join(users)}"] if users else []
    if source == "sandbox":
        use_known_key(home / "crawl")
        with sandbox_site(home / "site.json", sandbox_seed, sandbox_users, sandbox_movies, sandbox_port):
            _crawl_all(home / "crawl", ["--site=sandbox", f"--site-file={home / 'site.json'}", f"--k={k}", *start])
    if source == "douban":
        _crawl_all(home / "crawl", ["--site=douban", f"--contact={contact}", f"--k={k}", *start])
    if source != "import":
        export_raw(home / "crawl", raw)
    numbers = build_tables(raw, dataset, DatasetConfig(k_user=k, k_item=k, split=SplitConfig(seed=seed)))
    if numbers["n_frames"] > numbers["n_frames_without_picture"]:
        extract_features(raw, dataset, weights, precision, data / "features")
    return publish_snapshot(dataset, name, data / "snapshots")


def _crawl_all(crawl_folder: Path, options: list[str]) -> None:
    for stage in ("ratings", "frames", "likes"):
        crawl(stage, crawl_folder, options)
