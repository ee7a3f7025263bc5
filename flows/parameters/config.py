"""The parameters of each flow, as one frozen config.

A config is the only place that defines its flow's parameters: names, defaults, choices, bounds and
descriptions. From it come the flow's form in Prefect (`flows.parameters.form`), the options of a command line
(`dataset.cli.FLAT`), and the check of a settings file (`flows.serving.settings`). Defaults that belong to a stage
come from the stage's own config.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from crawler.commands.options import PhotoKind, ScopeOptions, separated
from crawler.commands.sources import sources_of
from crawler.sandbox.world import WorldConfig
from crawler.scope import PREFERRED
from dataset.building.build import DatasetConfig
from dataset.building.split import SplitConfig, Strategy
from dataset.cli import Count, CountOrZero
from dataset.errors import UsageError
from dataset.feature_sets import require_set_name
from dataset.snapshots.publication import GateConfig, PublicationConfig
from features.config import DEFAULT_STORE, ExtractorConfig
from flows.parameters.form import Group, in_words
from flows.parameters.types import (
    Answers,
    Contact,
    Decoding,
    Description,
    Exchange,
    Extractor,
    Licence,
    MaxLoss,
    Precision,
    PublishedDates,
    Publisher,
    Release,
    Root,
    Runner,
    SandboxSize,
    SnapshotName,
    TrainLikes,
    Weights,
)
from flows.runners import LOCAL

PICTURES_A_SHARD = 256

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BuildConfig:
    """The parameters of `build-dataset`.

    Attributes:
        source: sandbox: the local invented site; douban: the real site; import: existing raw tables
        name: name of the dataset and of its folder, such as lab
        data: folder for everything the pipeline keeps, such as data or /srv/lab
        contact: e-mail or web address for the User-Agent and the card, such as you@example.org; required for douban
        site_urls: base addresses of another site with the same pages: movie,www,images, and mobile if it has JSON
        via: where each topic is read: html, json or auto, or pairs such as movie=json,collection=list; none: html in
            the sandbox, auto elsewhere
        delay_s: seconds between requests; at least 5 on a real host
        refresh: request pages again if they may have changed; runs that a schedule starts always do
        movies: movie ids to start from, such as 1292052; the sandbox has its own
        movies_file: text file with more movie ids to start from, one per line
        users: user ids to start from; Prefect's database keeps them, so a file is better
        users_file: text file with more user ids to start from, one per line
        max_users: take at most this many users
        max_movies: take at most this many movies, the most-rated ones
        photo_kinds: which pictures become frames: some of still, poster, wallpaper
        runner: where features are computed: local, dask (processes on this machine), dask:<address>
        exchange: address in an object store, such as s3://bucket/exchange, through which workers of a cluster get the
            pictures and return the features; none: they see the same folders
        feature_set: name of a further feature set, beside the main one, such as small
        allow_missing: go on although pages failed, if they are at most this share of their stage's pages, such as 0.01
        k: the k of the k-core, for users and movies
        split: how the pairs are split into train, validation and test; with stable, a pair keeps its place when the
            dataset grows
        seed: seed of the split
        drop_placeholders: leave out frames whose picture says nothing about its movie (tiny, blank, or shared by many)
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots; none: snapshots in `data`
        sandbox_seed: seed of the sandbox's world
        sandbox_users: number of users in the sandbox
        sandbox_movies: number of movies in the sandbox
        sandbox_port: first of the sandbox's four ports

    Raises:
        UsageError: `douban` without a contact or without ids to start from, or an unknown source in `via`.
    """

    source: Annotated[Literal["sandbox", "douban", "import"], Group("The dataset")] = "sandbox"
    name: SnapshotName = "sandbox"
    data: Path = Path("data")
    contact: Annotated[str | None, Group("The site")] = None
    site_urls: str | None = None
    via: str | None = None
    delay_s: Annotated[float, Field(ge=0)] = 0.0
    refresh: bool = False
    movies: Annotated[tuple[str, ...] | None, Group("The scope")] = None
    movies_file: Path | None = None
    users: tuple[str, ...] | None = None
    users_file: Path | None = None
    max_users: Count | None = None
    max_movies: Count | None = None
    photo_kinds: Annotated[tuple[PhotoKind, ...], Field(min_length=1)] = ScopeOptions.photo_kinds
    allow_missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    k: Annotated[CountOrZero, Group("The tables")] = DatasetConfig.k_user
    split: Strategy = "stable"
    seed: CountOrZero = SplitConfig.seed
    drop_placeholders: bool = DatasetConfig.drop_placeholders
    extractor: Annotated[Extractor, Group("Features")] = ExtractorConfig.name
    weights: Weights = ExtractorConfig.weights
    precision: Precision = "auto"
    runner: Runner = LOCAL
    exchange: Exchange | None = None
    feature_set: str | None = None
    root: Annotated[Root | None, Group("The snapshot")] = None
    licence: Licence = None
    publisher: Publisher = None
    description: Description = None
    answers: Answers = None
    dates: PublishedDates = None
    max_loss: MaxLoss = GateConfig.max_loss
    release: Release = None
    sandbox_seed: Annotated[CountOrZero, Group("The sandbox")] = WorldConfig.seed
    sandbox_users: SandboxSize = WorldConfig.n_users
    sandbox_movies: SandboxSize = WorldConfig.n_movies
    sandbox_port: Annotated[int, Field(ge=1, le=65532)] = 8801

    def __post_init__(self) -> None:
        """Refuse to crawl the real site without a contact and ids, and names of sources or sets that cannot exist."""
        require_set_name(self.feature_set)
        if self.source == "douban" and not (self.contact and self._seeds):
            raise UsageError("source douban needs a contact (for the User-Agent) and movies or users to start from")
        sources_of(separated(self.via or ""), PREFERRED, has_json=True)
        _publication(self, self._public_contact, None)  # checked before a crawl of weeks, not after it

    def require_files(self) -> None:
        """Check the files and the network that the parameters name, before a crawl of weeks and not after it.

        A run of a deployment may first have to be refused, so this is no part of making the object.

        Raises:
            MissingInputError: the file of answers cannot be read.
            MissingExtraError: the extractor's library is not installed.
            UsageError: what it answers is wrong, or there is no such extractor.
            WeightsError: there are no such weights.
        """
        _ = self.publication
        is_default = (self.extractor, self.weights) == (ExtractorConfig.name, ExtractorConfig.weights)
        if self.runner == LOCAL and not is_default:
            from features.backbones.opening import open_backbone  # imported here: torch takes seconds

            open_backbone(self.extractor, self.weights)

    @property
    def _seeds(self) -> Any:
        return self.movies or self.movies_file or self.users or self.users_file

    @property
    def home(self) -> Path:
        """The dataset's folder."""
        return self.data / self.name

    @property
    def snapshots(self) -> str:
        """The folder or address of all snapshots."""
        return self.root or str(self.data / "snapshots")

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
        missing = {"allow_missing": self.allow_missing or None}
        seeds = ("movies", "movies_file", "users", "users_file")
        limits = ("max_users", "max_movies", "photo_kinds", "k", "delay_s")
        return site | {name: getattr(self, name) for name in (*seeds, *limits)} | missing

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
        """What the publisher decides, and states on the card."""
        return _publication(self, self._public_contact, self.answers)

    @property
    def _public_contact(self) -> str | None:
        """The contact, which the card has only beside a publisher's name."""
        return self.contact if self.publisher else None

    @property
    def gate(self) -> GateConfig:
        """When a new version is held."""
        return GateConfig(self.max_loss, self.release)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExtractFeaturesConfig:
    """The parameters of `extract-features`.

    Attributes:
        raw: the raw folder with the pictures
        dataset: the built dataset; none: every picture of the raw folder
        store: the feature store, which holds features by picture
        retry: compute only the pictures that failed before
        pictures_a_shard: pictures per task
        threads: threads per shard (0: all); the same number gives the same bits
        runner: local, dask (processes on this machine) or dask:<address>
        exchange: address in an object store, such as s3://bucket/exchange, through which workers of a cluster get the
            pictures and return the features; none: they see the same folders
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
    runner: Runner = LOCAL
    exchange: Exchange | None = None
    feature_set: str | None = None

    def __post_init__(self) -> None:
        """Check the name of the feature set."""
        require_set_name(self.feature_set)

    @property
    def extractor_config(self) -> ExtractorConfig:
        """Which extractor computes the features."""
        return ExtractorConfig(self.extractor, self.weights, self.precision, self.decoding)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PublishConfig:
    """The parameters of `publish-snapshot`.

    Attributes:
        dataset: the dataset folder (python -m dataset build), such as data/lab/dataset
        name: name of the snapshot, such as lab
        root: folder or address (s3://bucket/prefix, gs://, az://) of all snapshots

    Raises:
        UsageError: a statement for the card is wrong.
    """

    dataset: Path
    name: SnapshotName
    root: Root = "data/snapshots"
    licence: Licence = None
    publisher: Publisher = None
    contact: Contact = None
    dates: PublishedDates = None
    description: Description = None
    answers: Answers = None
    train_likes: TrainLikes = False
    max_loss: MaxLoss = GateConfig.max_loss
    release: Release = None

    def __post_init__(self) -> None:
        """Check what the card will state."""
        _publication(self, self.contact, None)

    def require_files(self) -> None:
        """Check the files that the parameters name; a run of a deployment may first have to be refused.

        Raises:
            MissingInputError: the file of answers cannot be read.
            UsageError: what it answers is wrong.
        """
        _ = self.publication

    @property
    def publication(self) -> PublicationConfig:
        """What the publisher decides, and states on the card."""
        return _publication(self, self.contact, self.answers, self.train_likes)

    @property
    def gate(self) -> GateConfig:
        """When a new version is held."""
        return GateConfig(self.max_loss, self.release)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunExperimentConfig:
    """The parameters of `run-experiment`.

    Attributes:
        snapshot: a snapshot's folder, or an address (s3://bucket/prefix/name, or with /v0003), from which it is pulled
            into data/snapshots; none: the newest snapshot
        models: names of models, your own as package.module:Class; none: those of `python -m model.experiment`
        seeds: each model is trained once per seed
        epochs: maximum number of epochs; none: the model's default
        jobs: runs at the same time; none: as cores and memory allow
        features: feature sets (main: without a name), or shuffled, noise, constant, mean in its place; none: only main
        raw: raw folder with the pictures for the report
        experiments: folder of all experiments
        runs: folder of all runs
    """

    snapshot: Root | None = None
    models: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    epochs: Count | None = None
    jobs: Count | None = None
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    raw: Path | None = None
    experiments: Path = Path("data/experiments")
    runs: Path = Path("data/runs")


def _publication(
    config: BuildConfig | PublishConfig, contact: str | None, answers: Path | None, train_likes: bool = False
) -> PublicationConfig:
    stated = {name: getattr(config, name) for name in ("licence", "publisher", "dates", "description")}
    try:
        return PublicationConfig(**stated, contact=contact, answers=answers, train_likes=train_likes)
    except ValidationError as error:
        raise UsageError(in_words(error)) from None
