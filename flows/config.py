"""The parameters of each flow, as one frozen config.

A config is the only place that defines its flow's parameters: names, defaults, choices, bounds and
descriptions. From it come the flow's form in Prefect (`parameters_of`), the options of a command line
(`dataset.cli.FLAT`), and the check of a TOML file (`read_toml`). Defaults that belong to a stage
come from the stage's own config.
"""

import functools
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from crawler.commands.options import separated
from crawler.commands.sources import sources_of
from crawler.sandbox.world import WorldConfig
from crawler.scope import PREFERRED
from dataset.building.build import DatasetConfig
from dataset.building.split import SplitConfig, Strategy
from dataset.cli import Count, CountOrZero
from dataset.dates import Dates
from dataset.errors import MissingInputError, UsageError
from dataset.feature_sets import require_set_name
from dataset.snapshots.publication import GateConfig, PublicationConfig
from features.config import DEFAULT_STORE, ExtractorConfig
from flows.allowed import check_run
from flows.runners import LOCAL

PICTURES_A_SHARD = 256

SnapshotName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
SandboxSize = Annotated[int, Field(ge=10)]

_STRICT = ConfigDict(extra="forbid")
_Config = TypeVar("_Config")
_Result = TypeVar("_Result")


def _attributes(config: type) -> dict[str, str]:
    """Return the descriptions in the `Attributes` section of a config's docstring."""
    _, _, section = (inspect.getdoc(config) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section.partition("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


_of_extractor = _attributes(ExtractorConfig)
Extractor = Annotated[str, Parameter(help=_of_extractor["name"])]
Weights = Annotated[str, Parameter(help=_of_extractor["weights"])]
Precision = Annotated[Literal["auto", "fp32", "bf16"], Parameter(help=_of_extractor["precision"])]
Decoding = Annotated[Literal["auto", "fast", "full", "gpu"], Parameter(help=_of_extractor["decoding"])]

_of_publication = _attributes(PublicationConfig)
Licence = Annotated[str | None, Parameter(help=_of_publication["licence"])]
Publisher = Annotated[str | None, Parameter(help=_of_publication["publisher"])]
Contact = Annotated[str | None, Parameter(help=_of_publication["contact"])]
TrainLikes = Annotated[bool, Parameter(help=_of_publication["train_likes"])]
PublishedDates = Annotated[Dates | None, Parameter(help=_of_publication["dates"])]

_of_gate = _attributes(GateConfig)
MaxLoss = Annotated[float, Field(ge=0, le=1), Parameter(help=_of_gate["max_loss"])]
Release = Annotated[str | None, Field(pattern="^[0-9a-f]{12,64}$"), Parameter(help=_of_gate["release"])]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BuildConfig:
    """The parameters of `build-dataset`.

    Attributes:
        source: sandbox: the local invented site; douban: the real site; import: existing raw tables
        name: name of the dataset and of its folder
        data: folder for everything the pipeline keeps
        contact: e-mail or URL for the User-Agent; required for douban
        movies: movie ids to start from; the sandbox has its own
        users: user ids to start from; Prefect's database keeps them, so a file is better
        users_file: text file with more user ids to start from, one per line
        refresh: request pages again if they may have changed
        site_urls: base addresses of another site with the same pages: movie,www,images, and mobile if it has JSON
        via: where each topic is read: html, json or auto, or pairs such as movie=json,collection=list; none: html in
            the sandbox, auto elsewhere
        delay_s: seconds between requests; at least 5 on a real host
        runner: where features are computed: local, dask, dask:<address>
        feature_set: name of a further feature set, beside the main one
        k: the k of the k-core, for users and movies
        seed: seed of the split
        drop_placeholders: leave out frames whose picture says nothing about its movie (tiny, blank, or shared by many)
        sandbox_seed: seed of the sandbox's world
        sandbox_users: number of users in the sandbox
        sandbox_movies: number of movies in the sandbox
        sandbox_port: first of the sandbox's four ports
        split: how the pairs are split into train, validation and test; with stable, a pair keeps its place when the
            dataset grows
        allow_missing: go on although pages failed, if they are at most this share of their stage's pages, such as 0.01

    Raises:
        UsageError: `douban` without a contact or without ids to start from, or an unknown source in `via`.
    """

    source: Literal["sandbox", "douban", "import"] = "sandbox"
    name: SnapshotName = "sandbox"
    data: Path = Path("data")
    contact: str | None = None
    movies: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    users_file: Path | None = None
    refresh: bool = False
    site_urls: str | None = None
    via: str | None = None
    delay_s: Annotated[float, Field(ge=0)] = 0.0
    extractor: Extractor = ExtractorConfig.name
    weights: Weights = ExtractorConfig.weights
    precision: Precision = "auto"
    runner: Annotated[str, Field(pattern=r"^(local|dask(:.+)?)$")] = LOCAL
    feature_set: str | None = None
    k: CountOrZero = DatasetConfig.k_user
    seed: CountOrZero = SplitConfig.seed
    drop_placeholders: bool = DatasetConfig.drop_placeholders
    sandbox_seed: CountOrZero = WorldConfig.seed
    sandbox_users: SandboxSize = WorldConfig.n_users
    sandbox_movies: SandboxSize = WorldConfig.n_movies
    sandbox_port: Annotated[int, Field(ge=1, le=65532)] = 8801
    dates: PublishedDates = None
    split: Strategy = "stable"
    allow_missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_loss: MaxLoss = GateConfig.max_loss
    release: Release = None

    def __post_init__(self) -> None:
        """Refuse to crawl the real site without a contact and ids, and names of sources or sets that cannot exist."""
        require_set_name(self.feature_set)
        if self.source == "douban" and not (self.contact and (self.movies or self.users or self.users_file)):
            raise UsageError("source douban needs a contact (for the User-Agent) and movies or users to start from")
        sources_of(separated(self.via or ""), PREFERRED, has_json=True)

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
        """The options of `python -m crawler <stage>`: what to crawl, and how politely."""
        # Of a film that is gone, only the HTML says so: the JSON, as the real one, calls it not public.
        site: dict[str, Any] = {"site": "sandbox", "site_file": self.site_file, "via": self.via or "html"}
        if self.source == "douban":
            site = {"site_urls": self.site_urls} if self.site_urls else {"site": "douban"}
            site |= {"contact": self.contact, "via": self.via or None}
        start = {"movies": self.movies, "users": self.users, "users_file": self.users_file}
        missing = {"allow_missing": self.allow_missing or None}
        return {**site, **start, "k": self.k, "delay_s": self.delay_s, **missing}

    @property
    def dataset_config(self) -> DatasetConfig:
        """How the raw tables become a dataset."""
        return DatasetConfig(
            k_user=self.k,
            k_item=self.k,
            split=SplitConfig(seed=self.seed, strategy=self.split),
            drop_placeholders=self.drop_placeholders,
        )

    @property
    def extractor_config(self) -> ExtractorConfig:
        """Which extractor computes the features."""
        return ExtractorConfig(self.extractor, self.weights, self.precision)

    @property
    def publication(self) -> PublicationConfig:
        """How exact the published dates are."""
        return PublicationConfig(dates=self.dates)

    @property
    def gate(self) -> GateConfig:
        """When a new version is held."""
        return GateConfig(self.max_loss, self.release)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ExtractFeaturesConfig:
    """The parameters of `extract-features`.

    Attributes:
        raw: the raw folder with the pictures
        dataset: the built dataset; none: every picture of the raw folder
        store: the feature store, which holds features by picture; all workers must see it
        retry: compute only the pictures that failed before
        pictures_a_shard: pictures per task
        threads: threads per shard (0: all); the same number gives the same bits
        feature_set: name of a further feature set, beside the main one

    Raises:
        UsageError: no feature set can have this name.
    """

    raw: Path = Path("data/sandbox/raw")
    dataset: Path | None = Path("data/sandbox/dataset")
    store: Path = DEFAULT_STORE
    extractor: Extractor = ExtractorConfig.name
    weights: Weights = ExtractorConfig.weights
    precision: Precision = "auto"
    decoding: Decoding = "auto"
    retry: bool = False
    pictures_a_shard: Count = PICTURES_A_SHARD
    threads: CountOrZero = 0
    feature_set: str | None = None

    def __post_init__(self) -> None:
        """Check the name of the feature set."""
        require_set_name(self.feature_set)

    @property
    def extractor_config(self) -> ExtractorConfig:
        """Which extractor computes the features."""
        return ExtractorConfig(self.extractor, self.weights, self.precision, self.decoding)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PublishConfig:
    """The parameters of `publish-snapshot`.

    Attributes:
        dataset: the dataset folder (python -m dataset build)
        name: name of the snapshot
        root: folder of all snapshots
    """

    dataset: Path
    name: SnapshotName
    root: Path = Path("data/snapshots")
    licence: Licence = None
    publisher: Publisher = None
    contact: Contact = None
    dates: PublishedDates = None
    train_likes: TrainLikes = False
    max_loss: MaxLoss = GateConfig.max_loss
    release: Release = None

    @property
    def publication(self) -> PublicationConfig:
        """What the publisher decides, and states on the card."""
        return PublicationConfig(self.licence, self.publisher, self.contact, self.dates, self.train_likes)

    @property
    def gate(self) -> GateConfig:
        """When a new version is held."""
        return GateConfig(self.max_loss, self.release)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RunExperimentConfig:
    """The parameters of `run-experiment`.

    Attributes:
        snapshot: a snapshot's folder; none: the newest snapshot
        models: names of models; none: those of `python -m model.experiment`
        seeds: each model is trained once per seed
        epochs: maximum number of epochs; none: the model's default
        jobs: runs at the same time; none: as cores and memory allow
        features: names of feature sets to compare; main is the set without a name; none: only main
        raw: raw folder with the pictures for the report
        experiments: folder of all experiments
        runs: folder of all runs
    """

    snapshot: Path | None = None
    models: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    epochs: Count | None = None
    jobs: Count | None = None
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    raw: Path | None = None
    experiments: Path = Path("data/experiments")
    runs: Path = Path("data/runs")


def read_toml(config: type[_Config], path: Path) -> _Config:
    """Read a config from a TOML file with one `name = value` per line.

    Raises:
        MissingInputError: the file cannot be read.
        UsageError: it is not TOML, or a parameter is unknown, missing or out of bounds.
    """
    try:
        return config(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"{path}: {'; '.join(problems)}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not a TOML file ({error})") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def parameters_of(config: type) -> Callable[[Callable[[Any], _Result]], Callable[..., _Result]]:
    """Return a decorator that makes of a function `f(config)` a function with the config's fields as parameters.

    Prefect reads the names, types, bounds and defaults of a flow's form from its signature, and the
    descriptions from the docstring's `Args`. A run of a deployment is refused if a parameter is not allowed
    (`flows.allowed`).
    """
    described = [f"    {name}: {text}" for name, text in descriptions(config).items()]

    def decorate(function: Callable[[Any], _Result]) -> Callable[..., _Result]:
        @functools.wraps(function)
        def with_parameters(**parameters: Any) -> _Result:
            chosen = config(**parameters)
            check_run(chosen)
            return function(chosen)

        with_parameters.__signature__ = inspect.signature(config)  # type: ignore[attr-defined]
        with_parameters.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Args:", *described])
        return with_parameters

    return decorate


def descriptions(config: type) -> dict[str, str]:
    """Return the description of each field of a config: from the docstring's `Attributes`, or from its type."""
    documented = _attributes(config)
    helps = {
        name: next(str(one.help) for one in parameter.annotation.__metadata__ if isinstance(one, Parameter))
        for name, parameter in inspect.signature(config).parameters.items()
        if name not in documented
    }
    return documented | helps
