"""Published snapshots: immutable, numbered versions of a dataset, in plain Parquet.

    <root>/<name>/v0001/
        movies.parquet  frames.parquet  interactions.parquet  frame_likes.parquet
        frame_features.parquet   (where the dataset has pictures)
        splits/<table>/<split>.parquet   the rows of interactions and frame likes once more, a file a split
        README.md  plots/*.svg   the dataset card
        croissant.json           the same for machines (ML Commons Croissant)
        manifest.json            what each file holds, and where it all comes from

This is the contract, on a disk and in an object store. A version appears all at once
(`dataset.snapshots.writer` says how) and never changes afterwards; `manifest.json` lists the SHA-256 of
every file. `content_digest` is made of the tables' rows and the configuration alone, so equal
content has it on any machine; publishing content that equals the newest version publishes nothing.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from dataset.building.build import read_description
from dataset.errors import InvalidSnapshotError, InvalidTableError, MissingInputError, UsageError
from dataset.files import FileState, writing
from dataset.schema import SNAPSHOT_TABLES
from dataset.snapshots.card import SPLIT_TABLES, split_file, write_card
from dataset.snapshots.contents import TableContent, content_digest, read_contents
from dataset.snapshots.croissant import write_croissant
from dataset.snapshots.manifest import (
    FILE_NAME,
    FORMAT_VERSION,
    Manifest,
    TableEntry,
    from_bytes,
    version_folder,
    version_number,
)
from dataset.snapshots.storage import Folder, remote_address
from dataset.snapshots.writer import SnapshotWriter, open_writer
from dataset.tables import read_table
from dataset.version import code_version

DEFAULT_ROOT = Path("data/snapshots")


@dataclass(frozen=True)
class Snapshot:
    """A published version, on a disk or in an object store."""

    folder: Folder
    manifest: Manifest

    @property
    def path(self) -> Path:
        """Its folder on this machine's disk.

        Raises:
            UsageError: it is in an object store.
        """
        if self.folder.path is None:
            raise _pull_first(self.folder.address)
        return self.folder.path

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The version's number, from 1."""
        return self.manifest.version

    @property
    def content_digest(self) -> str:
        """The SHA-256 of its content: equal for equal rows and configuration."""
        return self.manifest.content_digest

    @property
    def label(self) -> str:
        """What to call it in words, for example `sandbox v0001`."""
        return self.manifest.label

    def has(self, table: str) -> bool:
        """Return whether it holds a table."""
        return table in self.manifest.tables

    def read(self, table: str) -> pl.DataFrame:
        """Read a table and validate it.

        Raises:
            MissingInputError: the snapshot does not hold it.
            InvalidTableError: it is broken.
            UsageError: the snapshot is in an object store.
        """
        if not self.has(table):
            raise MissingInputError(
                f"{self.path}: this snapshot has no table '{table}' (it has {', '.join(self.manifest.tables)})"
                + ("; publish again after `python -m features extract`" if table == "frame_features" else "")
            )
        return read_table(self.path / self.manifest.tables[table].file, SNAPSHOT_TABLES[table])


def publish(
    dataset: Path, name: str, root: str | Path = DEFAULT_ROOT, licence: str | None = None
) -> tuple[Snapshot, bool]:
    """Publish a built dataset as the next version of `name`, unless nothing has changed.

    Args:
        dataset: the dataset folder.
        name: what to publish it as.
        root: the folder of all snapshots, or its address in an object store.
        licence: what others may do with it, for its card; an SPDX name, an address or a sentence.

    Returns:
        The snapshot, and whether it is new (False: it is the newest version as it was).

    Raises:
        MissingInputError, InvalidTableError: `dataset` is not whole.
        PipelineError: `root` cannot be written.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"snapshot name {name!r} cannot be a folder's name; use letters, digits, - and _")
    description = read_description(dataset)
    contents = read_contents(dataset)
    digest = content_digest(contents, description["config"], description.get("extractor"))
    parent = latest(root, name)
    if parent and parent.content_digest == digest:
        return parent, False
    with writing(f"{root}/{name}"), open_writer(Folder.at(root) / name) as writer:
        return _publish(writer, contents, digest, description, name, root, licence)


def open_snapshot(path: Path) -> Snapshot:
    """Open the snapshot in a folder on this machine (or, for a dataset's folder, its newest version).

    Raises:
        UsageError: it is in an object store.
        InvalidSnapshotError: the folder is not a snapshot, or one of a newer format.
    """
    if address := remote_address(path):
        raise _pull_first(address)
    return snapshot_at(path)


def snapshot_at(place: str | Path) -> Snapshot:
    """Open the snapshot at a path or address (or, for the folder of several, the one published last).

    Raises:
        InvalidSnapshotError: there is none, or one that is damaged or of a newer format.
    """
    folder = Folder.at(place)
    found = _open(folder) or _newest(_versions(folder)) or _newest(_all_versions(folder))
    if found is None:
        raise InvalidSnapshotError(
            f"{place}: not a snapshot (no manifest.json there); make one with `python -m dataset publish`"
        )
    return found


def latest(root: str | Path, name: str) -> Snapshot | None:
    """Return the version of `name` with the highest number, None where there is none."""
    versions = reversed(_versions(Folder.at(root) / name))
    return next((snapshot for folder in versions if (snapshot := _open(folder))), None)


def newest_snapshot(root: str | Path = DEFAULT_ROOT) -> Snapshot:
    """Return the snapshot that was published last, of any name, below `root`.

    Raises:
        MissingInputError: there is none.
    """
    newest = _newest(_all_versions(Folder.at(root)))
    if newest is None:
        raise MissingInputError(f"{root}: no snapshot there; `make demo` makes one, or `python -m dataset publish`")
    return newest


def list_snapshots(root: str | Path = DEFAULT_ROOT) -> list[Snapshot | InvalidSnapshotError]:
    """Return all snapshots below `root`, by name and version; in place of one that cannot be read, why."""
    found: list[Snapshot | InvalidSnapshotError] = []
    for folder in _all_versions(Folder.at(root)):
        try:
            found += [snapshot for snapshot in [_open(folder)] if snapshot]
        except InvalidSnapshotError as error:
            found.append(error)
    return found


def verify(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the files of a snapshot, one line a file; empty when all is well.

    The manifest itself was checked when the snapshot was opened.
    """
    expected, present = snapshot.manifest.sha256_of, snapshot.folder.files()
    present.pop(FILE_NAME, None)
    problems = [f"{name}: missing" for name in sorted(expected.keys() - present)]
    problems += [f"{name}: not in the manifest" for name in sorted(present.keys() - expected)]
    for name in sorted(expected.keys() & present):
        if snapshot.folder.sha256(name, present[name].size_bytes) != expected[name]:
            problems.append(f"{name}: its bytes are not the ones that were published (SHA-256 differs)")
    return problems


def _publish(
    writer: SnapshotWriter,
    contents: dict[str, TableContent],
    digest: str,
    description: dict[str, Any],
    name: str,
    root: str | Path,
    licence: str | None,
) -> tuple[Snapshot, bool]:
    """Write the files of a version, then its manifest under the number that is free at that time."""
    tables = {table: _add(writer, content) for table, content in contents.items()}
    files = _add_splits(writer, contents)
    while True:
        parent = latest(root, name)
        if parent and parent.content_digest == digest:
            return parent, False  # somebody else has just published the same
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
            statistics=description["statistics"],
            quarantined=description["quarantined"],
            tables=tables,
            files=files,
            licence=licence,
        )
        written = [*write_card(manifest, contents["interactions"].source, writer.scratch)]
        written.append(write_croissant(manifest, writer.scratch))
        described = {file: writer.add(writer.scratch / file, file) for file in written}
        if writer.commit(replace(manifest, files=files | described)):
            return snapshot_at(version_place(root, name, version)), True


def version_place(root: str | Path, name: str, version: int) -> str:
    """Return the path or address of a version."""
    return f"{str(root).rstrip('/')}/{name}/{version_folder(version)}"


def _add(writer: SnapshotWriter, content: TableContent) -> TableEntry:
    """Add a table's file, which must still be the one that was checked."""
    file = content.source.name
    sha256 = writer.add(content.source, file)
    if content.state != FileState.of(content.source):
        raise InvalidTableError(f"{content.source}: was changed while it was published; publish again")
    return TableEntry(file, content.rows, content.state.size_bytes, sha256, content.content_sha256, content.columns)


def _add_splits(writer: SnapshotWriter, contents: dict[str, TableContent]) -> dict[str, str]:
    """Add the tables with splits once more, a file a split (what Hugging Face `datasets` reads as its splits)."""
    files: dict[str, str] = {}
    for table, splits in SPLIT_TABLES.items():
        for split in splits:
            name = split_file(table, split)
            (writer.scratch / name).parent.mkdir(parents=True, exist_ok=True)
            rows = pl.scan_parquet(contents[table].source, glob=False).filter(pl.col("split").cast(pl.String) == split)
            rows.sink_parquet(writer.scratch / name, compression="zstd")
            files[name] = writer.add(writer.scratch / name, name)
    return files


def _open(folder: Folder) -> Snapshot | None:
    """Open the snapshot whose folder this is, None where there is none."""
    content = folder.read(FILE_NAME)
    return None if content is None else Snapshot(folder, from_bytes(content, f"{folder}/{FILE_NAME}"))


def _versions(folder: Folder) -> list[Folder]:
    """Return the folders `v0001`, `v0002`, … in a dataset's folder, by number; not all need be published."""
    numbers = {number: name for name in folder.folders() if (number := version_number(name)) is not None}
    return [folder / numbers[number] for number in sorted(numbers)]


def _all_versions(root: Folder) -> list[Folder]:
    return [version for name in root.folders() for version in _versions(root / name)]


def _newest(folders: list[Folder]) -> Snapshot | None:
    snapshots = [snapshot for folder in folders if (snapshot := _open(folder))]
    return max(snapshots, key=lambda snapshot: snapshot.manifest.created_at, default=None)


def _pull_first(address: str) -> UsageError:
    return UsageError(
        f"{address}: is in an object store, and this reads snapshots from a disk; "
        f"first `python -m dataset pull {address}`, then give the folder it names"
    )
