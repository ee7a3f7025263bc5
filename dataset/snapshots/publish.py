"""Publishes a built dataset as the next version of its name, unless nothing has changed."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import polars as pl

from dataset.dates import LEVELS, Dates, default_dates
from dataset.description import read_proven
from dataset.documents import is_folder_name
from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError, UsageError
from dataset.feature_sets import makers_of_tables
from dataset.files import FileState, explain_write_errors
from dataset.progress import stage
from dataset.risk.figures import RiskFigure, risk_figures
from dataset.schema import TRAIN_LIKES
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.card import SPLIT_TABLES, split_file, write_card
from dataset.snapshots.coarse import coarse_tables, exactness
from dataset.snapshots.contents import TableContent, content_digest, read_contents
from dataset.snapshots.croissant import write_croissant
from dataset.snapshots.losses import require_little_loss
from dataset.snapshots.manifest import FORMAT_VERSION, Manifest, TableEntry, TableFile, version_folder
from dataset.snapshots.publication import GateConfig, PublicationConfig, read_answers
from dataset.snapshots.snapshot import Snapshot, latest, list_snapshots, snapshot_at
from dataset.snapshots.writer import SnapshotWriter, open_writer
from dataset.storage import Folder
from dataset.version import code_version

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Prepared:
    """What is published: the checked tables, their description and digest, how exact dates are, and the risk."""

    contents: dict[str, TableContent]
    description: dict[str, Any]
    digest: str
    dates: Dates
    risk: list[RiskFigure]

    def manifest(
        self, name: str, number: int, parent: Snapshot | None, tables: dict[str, TableEntry], config: PublicationConfig
    ) -> Manifest:
        """Return the manifest of a version with these tables; `files` is still empty."""
        description = self.description
        return Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            version=number,
            parent=parent.version if parent else None,
            content_digest=self.digest,
            created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            code_version=code_version(),
            config=description["config"],
            provenance=description["provenance"],
            extractor=description.get("extractor"),
            feature_sets=description.get("feature_sets") or {},
            item_features=description.get("item_features") or {},
            statistics=description["statistics"],
            quarantined=description["quarantined"],
            tables=tables,
            licence=config.licence,
            publisher=config.publisher,
            contact=config.contact,
            description=config.description,
            answers=read_answers(config.answers),
            dates=self.dates,
            risk_figures=[figure.to_json() for figure in self.risk],
        )


@dataclass(frozen=True)
class _Candidate(Snapshot):
    """A version that is not published yet; its tables are files of a dataset folder."""

    sources: dict[str, Path] = field(default_factory=dict)

    @contextmanager
    def open_file(self, name: str, is_read_whole: bool = True) -> Iterator[IO[bytes]]:
        """Open the file of a table, which was checked already."""
        with self.sources[name].open("rb") as file:
            yield file


@stage("Publishing")
def publish(
    dataset: Path,
    name: str,
    root: str | Path = DEFAULT_ROOT,
    config: PublicationConfig = PublicationConfig(),  # noqa: B008 - it is frozen
    gate: GateConfig | None = None,
) -> tuple[Snapshot, bool]:
    """Publish a built dataset as the next version of `name`, unless the newest version says the same already.

    Dates of people's acts are made as coarse as `config.dates` says (`dataset.dates`): by default, only the month of
    people who were crawled is published.

    A version says the same if it has the same content, and if the licence, publisher, contact, description, answers and
    exactness of dates are the same or are not stated now.

    Args:
        dataset: the dataset folder.
        name: the name of the snapshot.
        root: the folder of all snapshots, or its address in an object store.
        config: what the publisher decides and states.
        gate: when a new version is held; None: never.

    Returns:
        The snapshot, and whether it is new (False: the newest version says the same).

    Raises:
        UsageError: `name` is not a valid folder name.
        HeldError: the version loses too much of its parent, or the crawl raised an alarm, and it is not released.
        MissingInputError, InvalidTableError: `dataset` is incomplete or invalid.
        TooLittleDataError: likes of train pairs are asked for and there are none.
        PipelineError: `root` cannot be written.
    """
    if not is_folder_name(name):
        raise UsageError(f"snapshot name {name!r} is not a valid folder name; use up to 200 letters, digits, - and _")
    description = read_proven(dataset)
    with tempfile.TemporaryDirectory(prefix="douban-keyframes-") as scratch:
        wanted = config.dates or default_dates(description["provenance"])
        files = coarse_tables(dataset, wanted, Path(scratch))
        if not config.train_likes:
            del files[TRAIN_LIKES]
        of_features = {table: dataset / f"{table}.parquet" for table in makers_of_tables(description)}
        contents = read_contents(files | of_features)
        if config.train_likes:
            _require_train_likes(dataset, contents)
        digest = content_digest(contents, description)
        dates = exactness(files, wanted)
        stated = replace(config, dates=dates if config.dates else None)
        parent = latest(root, name)
        if parent and _says_the_same(parent, digest, stated):
            _log.info("not published: the content equals %s", parent.label)
            return parent, False
        prepared = _Prepared(contents, description, digest, dates, _risk(contents, dates))
        if gate is not None:
            require_little_loss(parent, _candidate(prepared, name, parent, stated), gate)
        with explain_write_errors(f"{root}/{name}"), open_writer(Folder.at(root) / name) as writer:
            return _publish(writer, prepared, name, root, stated)


def _candidate(prepared: _Prepared, name: str, parent: Snapshot | None, config: PublicationConfig) -> _Candidate:
    tables = {
        table: TableEntry(
            (TableFile(one.source.name, one.rows, one.state.size_bytes, one.content_sha256),),  # no file is hashed yet
            one.content_sha256,
            one.columns,
        )
        for table, one in prepared.contents.items()
    }
    manifest = prepared.manifest(name, parent.version + 1 if parent else 1, parent, tables, config)
    sources = {one.source.name: one.source for one in prepared.contents.values()}
    return _Candidate(Folder.at(next(iter(sources.values())).parent), manifest, sources=sources)


def finer_versions(snapshot: Snapshot, root: str | Path = DEFAULT_ROOT) -> list[Snapshot]:
    """Return the earlier versions of a snapshot with more exact dates: whoever has one needs no dates of this one."""
    dates = snapshot.manifest.dates
    if dates is None:
        return []
    others = [one for one in list_snapshots(root) if isinstance(one, Snapshot) and one.name == snapshot.name]
    finer = {None, *LEVELS[: LEVELS.index(dates)]}
    return [one for one in others if one.version < snapshot.version and one.manifest.dates in finer]


def _says_the_same(parent: Snapshot, digest: str, config: PublicationConfig) -> bool:
    stated = {key: value for key, value in asdict(config).items() if value is not None and key != "train_likes"}
    if config.answers:
        stated["answers"] = read_answers(config.answers)
    return parent.content_digest == digest and all(getattr(parent.manifest, key) == stated[key] for key in stated)


def _require_train_likes(dataset: Path, contents: dict[str, TableContent]) -> None:
    if TRAIN_LIKES not in contents:
        raise MissingInputError(
            f"{dataset}: has no {TRAIN_LIKES}.parquet, because an older version built it; build it again with "
            "`python -m dataset build`, or publish without --train-likes"
        )
    if not contents[TRAIN_LIKES].rows:
        raise TooLittleDataError(
            f"{dataset}: no train pair has a like, so there is nothing to publish in {TRAIN_LIKES}; publish without "
            "--train-likes"
        )


def _risk(contents: dict[str, TableContent], dates: Dates) -> list[RiskFigure]:
    tables = {name: pl.scan_parquet(content.source, glob=False) for name, content in contents.items()}
    return risk_figures(tables, ("time", "day") if dates == "time" else (dates,))


def _publish(
    writer: SnapshotWriter,
    prepared: _Prepared,
    name: str,
    root: str | Path,
    config: PublicationConfig,
) -> tuple[Snapshot, bool]:
    """Write the files of a version, then its manifest under the next free number."""
    contents = prepared.contents
    tables = {table: _add(writer, content) for table, content in contents.items()}
    files = _add_splits(writer, contents)
    while True:
        parent = latest(root, name)
        if parent and _says_the_same(parent, prepared.digest, config):
            return parent, False  # another publisher has just published the same content
        version = writer.number_after(parent.version if parent else 0)
        manifest = replace(prepared.manifest(name, version, parent, tables, config), files=files)
        documents = write_card(manifest, contents["interactions"].source, writer.scratch)
        documents.append(write_croissant(manifest, writer.scratch))
        described = {file: writer.add(writer.scratch / file, file) for file in documents}
        if writer.commit(replace(manifest, files=files | described)):
            _log.info("published %s v%04d below %s", name, version, root)
            return snapshot_at(version_place(root, name, version)), True


def version_place(root: str | Path, name: str, version: int) -> str:
    """Return the path or address of a version."""
    return f"{str(root).rstrip('/')}/{name}/{version_folder(version)}"


def _add(writer: SnapshotWriter, content: TableContent) -> TableEntry:
    """Add a table's file, which must not have changed since it was checked."""
    file = content.source.name
    sha256 = writer.add(content.source, file)
    if content.state != FileState.of(content.source):
        raise InvalidTableError(f"{content.source}: was changed during publication; publish again")
    files = (TableFile(file, content.rows, content.state.size_bytes, sha256),)
    return TableEntry(files, content.content_sha256, content.columns)


def _add_splits(writer: SnapshotWriter, contents: dict[str, TableContent]) -> dict[str, str]:
    """Add the tables with splits again, one file per split; Hugging Face `datasets` reads these as its splits."""
    files: dict[str, str] = {}
    for table, splits in SPLIT_TABLES.items():
        for split in splits:
            name = split_file(table, split)
            (writer.scratch / name).parent.mkdir(parents=True, exist_ok=True)
            rows = pl.scan_parquet(contents[table].source, glob=False).filter(pl.col("split").cast(pl.String) == split)
            rows.sink_parquet(writer.scratch / name, compression="zstd")
            files[name] = writer.add(writer.scratch / name, name)
    return files
