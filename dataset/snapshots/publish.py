"""Publishes a built dataset as the next version of its name, unless nothing has changed."""

import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from dataset.description import read_proven
from dataset.documents import is_folder_name
from dataset.errors import InvalidTableError, UsageError
from dataset.feature_sets import extractors_of
from dataset.files import FileState, explain_write_errors
from dataset.snapshots.card import SPLIT_TABLES, split_file, write_card
from dataset.snapshots.contents import TableContent, content_digest, read_contents
from dataset.snapshots.croissant import write_croissant
from dataset.snapshots.manifest import FORMAT_VERSION, Manifest, TableEntry, TableFile, version_folder
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.snapshot import DEFAULT_ROOT, Snapshot, latest, snapshot_at
from dataset.snapshots.writer import SnapshotWriter, open_writer
from dataset.storage import Folder
from dataset.version import code_version

_log = logging.getLogger(__name__)


def publish(
    dataset: Path,
    name: str,
    root: str | Path = DEFAULT_ROOT,
    config: PublicationConfig = PublicationConfig(),  # noqa: B008 - it is frozen
) -> tuple[Snapshot, bool]:
    """Publish a built dataset as the next version of `name`, unless the newest version says the same already.

    A version says the same if it has the same content, and if the licence, publisher and contact are the same or are
    not stated now.

    Args:
        dataset: the dataset folder.
        name: the name of the snapshot.
        root: the folder of all snapshots, or its address in an object store.
        config: what to state on the card.

    Returns:
        The snapshot, and whether it is new (False: the newest version says the same).

    Raises:
        UsageError: `name` is not a valid folder name.
        MissingInputError, InvalidTableError: `dataset` is incomplete or invalid.
        PipelineError: `root` cannot be written.
    """
    if not is_folder_name(name):
        raise UsageError(f"snapshot name {name!r} is not a valid folder name; use up to 200 letters, digits, - and _")
    description = read_proven(dataset)
    contents = read_contents(dataset, extractors_of(description))
    digest = content_digest(contents, description)
    parent = latest(root, name)
    if parent and _says_the_same(parent, digest, config):
        _log.info("not published: the content equals %s", parent.label)
        return parent, False
    with explain_write_errors(f"{root}/{name}"), open_writer(Folder.at(root) / name) as writer:
        return _publish(writer, contents, digest, description, name, root, config)


def _says_the_same(parent: Snapshot, digest: str, config: PublicationConfig) -> bool:
    stated = {key: value for key, value in asdict(config).items() if value is not None}
    return parent.content_digest == digest and all(getattr(parent.manifest, key) == stated[key] for key in stated)


def _publish(
    writer: SnapshotWriter,
    contents: dict[str, TableContent],
    digest: str,
    description: dict[str, Any],
    name: str,
    root: str | Path,
    config: PublicationConfig,
) -> tuple[Snapshot, bool]:
    """Write the files of a version, then its manifest under the next free number."""
    tables = {table: _add(writer, content) for table, content in contents.items()}
    files = _add_splits(writer, contents)
    while True:
        parent = latest(root, name)
        if parent and _says_the_same(parent, digest, config):
            return parent, False  # another publisher has just published the same content
        version = writer.number_after(parent.version if parent else 0)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            version=version,
            parent=parent.version if parent else None,
            content_digest=digest,
            created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            code_version=code_version(),
            config=description["config"],
            provenance=description["provenance"],
            extractor=description.get("extractor"),
            feature_sets=description.get("feature_sets") or {},
            statistics=description["statistics"],
            quarantined=description["quarantined"],
            tables=tables,
            files=files,
            licence=config.licence,
            publisher=config.publisher,
            contact=config.contact,
        )
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
