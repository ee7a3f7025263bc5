"""The parameters of each flow, as one frozen config.

A config is the only place that documents its flow's parameters: names, defaults, choices and bounds.
The flow's form in Prefect (`parameters_of`) and its TOML file (`read_toml`) are made from it. A default
that belongs to a stage comes from that stage's own config.
"""

import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crawler.sandbox.world import WorldConfig
from dataset.building.build import DatasetConfig
from dataset.building.split import SplitConfig
from dataset.errors import MissingInputError, UsageError
from features.config import ExtractorConfig
from features.store import DEFAULT_ROOT as FEATURE_STORE
from flows.runners import LOCAL

DEFAULT_SANDBOX_PORT = 8801
PICTURES_A_SHARD = 256

SnapshotName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Extractor = Annotated[str, Field(description="architecture[:node] of torchvision")]
Weights = Annotated[str, Field(description="torchvision's name, random:<seed>, or the file of a state dict")]
Precision = Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 where it is native")]
Decoding = Annotated[Literal["fast", "full"], Field(description="fast: decode large JPEGs at a fraction of their size")]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class FlowConfig(BaseModel):
    """The parameters of a flow; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read_toml(cls, path: Path) -> Self:
        """Read the parameters from a TOML file with one `name = value` per line.

        Raises:
            MissingInputError: the file cannot be read.
            UsageError: it is not TOML, or a parameter is unknown or out of bounds.
        """
        try:
            return cls(**tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            raise UsageError(f"{path}: {explain(error)}") from None
        except ValueError as error:
            raise UsageError(f"{path}: not a TOML file ({error})") from None


class BuildConfig(FlowConfig):
    """The parameters of `build-dataset`.

    Raises:
        UsageError: `douban` without a contact or without ids to start from.
    """

    source: Literal["sandbox", "douban", "import"] = Field(
        "sandbox", description="sandbox: the local invented site; douban: the real site; import: existing raw tables"
    )
    name: SnapshotName = Field("sandbox", description="name of the dataset and of its folder")
    data: Path = Field(Path("data"), description="folder for everything the pipeline keeps")
    contact: str | None = Field(None, description="e-mail or URL for the User-Agent; required for douban")
    movies: tuple[str, ...] | None = Field(None, description="movie ids to start from; the sandbox has its own")
    users: tuple[str, ...] | None = Field(None, description="user ids to start from")
    refresh: bool = Field(False, description="read again the pages that may have changed")
    site_urls: str | None = Field(None, description="three addresses (movie,www,images) of another site of this kind")
    delay_s: float = Field(0.0, ge=0, description="seconds between requests; at least 5 on a real host")
    extractor: Extractor = ExtractorConfig.name
    weights: Weights = ExtractorConfig.weights
    precision: Precision = "auto"
    runner: str = Field(
        LOCAL,
        pattern=r"^(local|dask(:.+)?)$",
        description="where features are computed: local, dask, dask:<address>",
    )
    k: int = Field(DatasetConfig.k_user, ge=0, description="the k of the k-core, for users and movies")
    seed: int = Field(SplitConfig.seed, ge=0, description="seed of the split")
    sandbox_seed: int = Field(WorldConfig.seed, ge=0, description="seed of the sandbox's world")
    sandbox_users: int = Field(WorldConfig.n_users, ge=10, description="number of users in the sandbox")
    sandbox_movies: int = Field(WorldConfig.n_movies, ge=10, description="number of movies in the sandbox")
    sandbox_port: int = Field(DEFAULT_SANDBOX_PORT, ge=1, le=65533, description="first of the sandbox's three ports")

    @model_validator(mode="after")
    def _require_contact_and_ids(self) -> Self:
        if self.source == "douban" and not (self.contact and (self.movies or self.users)):
            raise UsageError("source douban needs a contact (for the User-Agent) and movies or users to start from")
        return self

    @property
    def home(self) -> Path:
        """The dataset's folder."""
        return self.data / self.name

    @property
    def site_file(self) -> Path:
        """Where a running sandbox writes its addresses."""
        return self.home / "site.json"

    @property
    def world(self) -> WorldConfig:
        """The world of the sandbox."""
        return WorldConfig(seed=self.sandbox_seed, n_users=self.sandbox_users, n_movies=self.sandbox_movies)

    @property
    def crawl_options(self) -> dict[str, Any]:
        """The options of `python -m crawler <stage>` that say what is crawled and how politely."""
        site: dict[str, Any] = {"site": "sandbox", "site_file": self.site_file}
        if self.source == "douban":
            site = {"site_urls": self.site_urls} if self.site_urls else {"site": "douban"}
            site["contact"] = self.contact
        return {**site, "movies": self.movies, "users": self.users, "k": self.k, "delay_s": self.delay_s}

    @property
    def dataset_config(self) -> DatasetConfig:
        """How the raw tables become a dataset."""
        return DatasetConfig(k_user=self.k, k_item=self.k, split=SplitConfig(seed=self.seed))

    @property
    def extractor_config(self) -> ExtractorConfig:
        """Which extractor computes the features."""
        return ExtractorConfig(self.extractor, self.weights, self.precision)


class ExtractFeaturesConfig(FlowConfig):
    """The parameters of `extract-features`."""

    raw: Path = Field(Path("data/sandbox/raw"), description="the raw folder with the pictures")
    dataset: Path | None = Field(
        Path("data/sandbox/dataset"), description="the built dataset; none: every picture of the raw folder"
    )
    store: Path = Field(FEATURE_STORE, description="where features are kept, by picture; all workers must see it")
    extractor: Extractor = ExtractorConfig.name
    weights: Weights = ExtractorConfig.weights
    precision: Precision = "auto"
    decoding: Decoding = "fast"
    retry: bool = Field(False, description="try only the pictures that failed before")
    pictures_a_shard: int = Field(PICTURES_A_SHARD, ge=1, description="pictures per task")
    threads: int = Field(0, ge=0, description="threads per shard; 0: all that its process has")

    @property
    def extractor_config(self) -> ExtractorConfig:
        """Which extractor computes the features."""
        return ExtractorConfig(self.extractor, self.weights, self.precision, self.decoding)


class PublishConfig(FlowConfig):
    """The parameters of `publish-snapshot`."""

    dataset: Path = Field(description="the dataset folder (python -m dataset build)")
    name: SnapshotName = Field(description="name of the snapshot")
    root: Path = Field(Path("data/snapshots"), description="folder of all snapshots")


class RunExperimentConfig(FlowConfig):
    """The parameters of `run-experiment`."""

    snapshot: Path | None = Field(None, description="a snapshot's folder; none: the newest snapshot")
    models: list[str] | None = Field(None, min_length=1, description="names of models; none: all")
    seeds: list[int] = Field([0], min_length=1, description="one run per model and seed")
    epochs: int | None = Field(None, ge=1, description="maximum number of epochs; none: the model's default")
    jobs: int | None = Field(None, ge=1, description="runs at a time; none: by cores and memory")
    raw: Path | None = Field(None, description="raw folder with the gallery's pictures")
    experiments: Path = Field(Path("data/experiments"), description="folder of all experiments")
    runs: Path = Field(Path("data/runs"), description="folder of all runs")


def parameters_of(config: type[FlowConfig]) -> Callable[[_Function], _Function]:
    """Return a decorator that gives a function `f(**parameters)` the signature of a config.

    Prefect reads the names, types, bounds and defaults of a flow's form from its signature, and the
    descriptions from the docstring's `Args`.
    """

    def decorate(function: _Function) -> _Function:
        described = [f"    {name}: {field.description}" for name, field in config.model_fields.items()]
        function.__signature__ = inspect.signature(config)  # type: ignore[attr-defined]
        function.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Args:", *described])
        return function

    return decorate


def explain(error: ValidationError) -> str:
    """Return what is wrong with which parameters, in one line."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
