"""Opens and lists published snapshots: immutable, numbered versions of a dataset in plain Parquet.

    <root>/<name>/v0001/
        movies.parquet  frames.parquet  interactions.parquet  frame_likes.parquet
        frame_likes_train.parquet   (if its publisher asked for it)
        frame_features.parquet   (if the dataset has features; frame_features-<name>.parquet for further sets)
        item_features-<modality>.parquet   (if its items have features, such as those of their texts)
        splits/<table>/<split>.parquet   the rows of interactions and frame_likes again, one file per split
        README.md  plots/*.svg   the dataset card
        croissant.json           the card for machines (ML Commons Croissant)
        manifest.json            the content, origin and SHA-256 of every file

The layout is the same on a disk and in an object store. A version appears atomically (see
`dataset.snapshots.writer`) and never changes afterwards. `content_digest` depends only on the tables'
rows and the configuration, so equal content has the same digest on any machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa

from dataset.claims import require_plausible
from dataset.errors import InvalidSnapshotError, InvalidTableError, MissingInputError, UsageError
from dataset.feature_sets import MAIN, is_feature_table, split_arm, table_of_set
from dataset.files import path_below, sha256_of_file
from dataset.schema import schema_of
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.manifest import (
    FILE_NAME,
    Manifest,
    from_bytes,
    version_number,
)
from dataset.storage import Folder, remote_address
from dataset.tables import read_published


@dataclass(frozen=True)
class Fold:
    """One of `k` parts of the train and validation splits, number `number` of 1 to k, as the seed deals them."""

    number: int
    k: int
    seed: int = 0


@dataclass(frozen=True)
class Snapshot:
    """A published version, on a disk or in an object store.

    Attributes:
        folder: where it is.
        manifest: its manifest.
        feature_set: the name of the feature set that models read; None is the main set.
        arm: what models are given in place of its features, one of `feature_sets.ARMS`; None for the features.
        fold: the fold of train and validation that models read in place of the splits; None for the splits.
    """

    folder: Folder
    manifest: Manifest
    feature_set: str | None = None
    arm: str | None = None
    fold: Fold | None = None

    @property
    def path(self) -> Path:
        """Its folder on a local disk.

        Raises:
            UsageError: the snapshot is in an object store.
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
        """The SHA-256 of its rows and configuration: equal content has the same digest."""
        return self.manifest.content_digest

    @property
    def label(self) -> str:
        """Its name and version, for example `sandbox v0001`."""
        return self.manifest.label

    @property
    def feature_table(self) -> str | None:
        """The table of the feature set that models read, None if there are no features."""
        table = table_of_set(self.feature_set)
        return table if self.has(table) else None

    @property
    def features(self) -> str | None:
        """The name of what models read, for `with_features`: `clip`, `shuffled`, `clip:shuffled`; None: main set."""
        return ":".join(filter(None, (self.feature_set, self.arm))) or None

    @property
    def extractor(self) -> dict[str, Any] | None:
        """What made the features that models read, None if there are none."""
        return self.manifest.extractors.get(self.feature_set)

    def with_features(self, name: str | None) -> "Snapshot":
        """Return the same snapshot with the feature set that models read.

        Args:
            name: the name of the set, or `main`; None: the main set, or the only one. With an arm, as in
                `clip:shuffled`; an arm alone is of the main set, or of the only one.

        Raises:
            UsageError: there is no such set or arm, or there are several sets and none is the main one.
        """
        sets = self.manifest.extractors
        named = [one for one in sets if one is not None]
        if name is not None and name not in named:
            name, arm = split_arm(name)
            if arm and not sets:
                raise UsageError(f"{self}: has no frame features, so nothing can take their place ({arm})")
            if arm:
                return replace(self.with_features(name), arm=arm)
        if name == MAIN and None in sets and MAIN not in named:
            return replace(self, feature_set=None, arm=None)
        if name is None and None not in sets and len(named) == 1:
            return replace(self, feature_set=named[0], arm=None)
        if name is None and None not in sets and named:
            raise UsageError(f"{self}: has the feature sets {', '.join(named)}; name one with --features")
        if name is not None and name not in named:
            has = f"it has {', '.join(named)}" if named else "it has none with a name"
            raise UsageError(f"{self}: no feature set {name!r}; {has} (`python -m features import --name` adds one)")
        return replace(self, feature_set=name, arm=None)

    def with_fold(self, fold: Fold | None) -> "Snapshot":
        """Return the same snapshot with the fold that models read in place of its splits; None for its splits."""
        return replace(self, fold=fold)

    def __str__(self) -> str:
        return str(self.folder)

    def has(self, table: str) -> bool:
        """Return whether it has a table."""
        return table in self.manifest.tables

    def read(self, table: str) -> pl.DataFrame:
        """Read a table and validate it.

        Raises:
            MissingInputError: the snapshot has no such table.
            InvalidSnapshotError: a file is not the published one.
            InvalidTableError: the table is invalid.
            UsageError: the snapshot is in an object store, or only a later version of the code knows the table.
        """
        if not self.has(table):
            raise MissingInputError(
                f"{self.path}: this snapshot has no table '{table}' (it has {', '.join(self.manifest.tables)})"
                + ("; publish again after `python -m features …`" if is_feature_table(table) else "")
            )
        self.require_published(table)
        return read_published(self.paths_of(table), schema_of(table))

    @contextmanager
    def open_file(self, name: str, is_read_whole: bool = True) -> Iterator[IO[bytes]]:
        """Open one of its Parquet files, on a disk or in an object store.

        Args:
            name: the file.
            is_read_whole: whether it is read into memory as a whole, so that it has to fit.

        Raises:
            InvalidTableError: the file cannot be read as Parquet inside this context.
            StorageError: the object store cannot be reached.
        """
        if self.folder.path is not None:
            require_plausible(self.path / name, is_read_whole)
        try:
            with self.folder.open(name) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise InvalidTableError(
                f"{self.folder}/{name}: cannot be read as Parquet ({error}); "
                f"check it with `python -m dataset verify {self.folder}`"
            ) from None

    def paths_of(self, table: str) -> list[Path]:
        """Return the Parquet files of a table, in the order of the rows.

        Raises:
            UsageError: the snapshot is in an object store.
            InvalidSnapshotError: a file is missing or leads out of the snapshot's folder.
        """
        return [self._path(name) for name in self.manifest.tables[table].names]

    def require_published(self, table: str) -> None:
        """Check that the bytes of a table's files are the published ones.

        Raises:
            UsageError: the snapshot is in an object store.
            InvalidSnapshotError: they are not.
        """
        for file in self.manifest.tables[table].files:
            if sha256_of_file(self._path(file.name)) != file.sha256:
                raise InvalidSnapshotError(
                    f"{self.path / file.name}: its bytes are not the ones that were published (SHA-256 differs); "
                    "get the snapshot from its source, or publish, again"
                )

    def _path(self, name: str) -> Path:
        path = path_below(self.path, name)
        if path is None or not path.is_file():
            reason = "leads out of the snapshot's folder" if path is None else "missing"
            raise InvalidSnapshotError(f"{self.path / name}: {reason}; get the snapshot from its source again")
        return self.path / name


def open_snapshot(path: str | Path) -> Snapshot:
    """Open the snapshot in a local folder; for a folder of several snapshots, the one published last.

    Raises:
        UsageError: the snapshot is in an object store.
        InvalidSnapshotError: the folder is not a snapshot, or its format is newer than this code.
    """
    if address := remote_address(path):
        raise _pull_first(address)
    return snapshot_at(path)


def snapshot_at(place: str | Path) -> Snapshot:
    """Open the snapshot at a path or address; for a folder of several snapshots, the one published last.

    Raises:
        InvalidSnapshotError: there is no snapshot, or it is damaged or has a newer format.
    """
    folder = Folder.at(place)
    found = _open(folder) or _newest(_versions(folder)) or _newest(_all_versions(folder))
    if found is None:
        raise InvalidSnapshotError(
            f"{place}: not a snapshot (no manifest.json there); create one with `python -m dataset publish`"
        )
    return found


def latest(root: str | Path, name: str) -> Snapshot | None:
    """Return the highest version of `name`, None if there is none."""
    versions = reversed(_versions(Folder.at(root) / name))
    return next((snapshot for folder in versions if (snapshot := _open(folder))), None)


def newest_snapshot(root: str | Path = DEFAULT_ROOT) -> Snapshot:
    """Return the snapshot below `root` that was published last, of any name.

    Raises:
        MissingInputError: there is no snapshot.
    """
    newest = _newest(_all_versions(Folder.at(root)))
    if newest is None:
        raise MissingInputError(f"{root}: no snapshot; create one with `make demo` or `python -m dataset publish`")
    return newest


def list_snapshots(root: str | Path = DEFAULT_ROOT) -> list[Snapshot | InvalidSnapshotError]:
    """Return all snapshots below `root`, by name and version; an unreadable one is replaced by its error."""
    found: list[Snapshot | InvalidSnapshotError] = []
    for folder in _all_versions(Folder.at(root)):
        try:
            found += [snapshot for snapshot in [_open(folder)] if snapshot]
        except InvalidSnapshotError as error:
            found.append(error)
    return found


def _open(folder: Folder) -> Snapshot | None:
    """Open the snapshot in exactly this folder, None if there is none."""
    content = folder.read(FILE_NAME)
    return None if content is None else Snapshot(folder, from_bytes(content, f"{folder}/{FILE_NAME}"))


def _versions(folder: Folder) -> list[Folder]:
    """Return the folders `v0001`, `v0002`, … in a dataset's folder, by number, published or not."""
    numbers = {number: name for name in folder.folders() if (number := version_number(name)) is not None}
    return [folder / numbers[number] for number in sorted(numbers)]


def _all_versions(root: Folder) -> list[Folder]:
    return [version for name in root.folders() for version in _versions(root / name)]


def _newest(folders: list[Folder]) -> Snapshot | None:
    snapshots = [snapshot for folder in folders if (snapshot := _open(folder))]
    return max(snapshots, key=lambda snapshot: snapshot.manifest.created_at, default=None)


def _pull_first(address: str) -> UsageError:
    return UsageError(
        f"{address}: is in an object store, but this needs a local snapshot; "
        f"run `python -m dataset pull {address}` first and use the folder it prints"
    )
