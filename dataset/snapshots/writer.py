"""Writes the files of a snapshot version, and publishes them atomically under the next number.

On a disk, the files are collected in `<name>/.staging-<id>/`, which is then renamed to `<name>/v0002`;
the rename fails if that folder exists.

An object store cannot rename a folder, so a publisher first claims the number: it creates
`<name>/.publishing/v0002`, which only one publisher can. It then writes the files to `<name>/v0002/`
and, last, creates `manifest.json`. Readers ignore a version without a manifest. If a number is taken,
the publisher claims the next one, so numbers increase; the number of a publisher that died stays unused.

A publisher that dies leaves a staging folder, or files without a manifest. Later publishers remove
them after a day, by the store's clock. Before a publisher writes its manifest, it checks that its own
claim has not been removed. (S3 hides the parts of an unfinished upload: add the lifecycle rule
AbortIncompleteMultipartUpload to the bucket to remove them.)
"""

import os
import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dataset.errors import StorageError
from dataset.files import copy_file, sha256_of_file
from dataset.snapshots.manifest import FILE_NAME, Manifest, to_bytes, version_folder, version_number
from dataset.storage import Folder

ABANDONED_AFTER = timedelta(days=1)
_CLAIMS = ".publishing"
_STAGING = ".staging-"


class SnapshotWriter(Protocol):
    """Writes the files of one version and commits it; on exit without a commit, removes them."""

    scratch: Path
    """A local folder in which to create files before adding them."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, source: Path, name: str) -> str:
        """Add a file under a name and return its SHA-256."""

    def number_after(self, latest: int) -> int:
        """Return the number for this version, given the highest published one (0: none)."""

    def commit(self, manifest: Manifest) -> bool:
        """Publish the version; return False if its number has been taken in the meantime."""


def open_writer(folder: Folder) -> SnapshotWriter:
    """Return a writer for the next version in a dataset's folder."""
    return _DiskWriter(folder.path) if folder.path is not None else _StoreWriter(folder)


class _Writer:
    scratch: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)


class _DiskWriter(_Writer):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scratch = folder / f"{_STAGING}{uuid.uuid4().hex[:12]}"
        self.scratch.mkdir(parents=True)
        _remove_old_staging(folder)

    def add(self, source: Path, name: str) -> str:
        target = self.scratch / name
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(source, target)
        return sha256_of_file(target)

    def number_after(self, latest: int) -> int:
        return latest + 1

    def commit(self, manifest: Manifest) -> bool:
        (self.scratch / FILE_NAME).write_bytes(to_bytes(manifest))
        _flush(self.scratch)
        destination = self._folder / version_folder(manifest.version)
        try:
            os.rename(self.scratch, destination)  # noqa: PTH104 - the docs of Path.rename do not cover folders
        except OSError:
            if not destination.exists():
                raise
            return False  # a rename onto a folder with files fails on every system
        return True


class _StoreWriter(_Writer):
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._token = uuid.uuid4().hex.encode()
        self._is_settled = True  # False while the manifest may or may not exist: then remove nothing
        self._is_committed = False
        self._number = self._claim()
        self._version = folder / version_folder(self._number)
        self.scratch = Path(tempfile.mkdtemp(prefix="douban-keyframes-"))

    def add(self, source: Path, name: str) -> str:
        return self._version.upload(name, source)

    def number_after(self, latest: int) -> int:
        return self._number

    def commit(self, manifest: Manifest) -> bool:
        if (self._folder / _CLAIMS).read(version_folder(self._number)) != self._token:
            raise StorageError(
                f"{self._version}: took over {ABANDONED_AFTER.days} day and was removed as abandoned; publish again"
            )
        self._is_settled = False
        self._is_committed = self._version.create(FILE_NAME, to_bytes(manifest))
        self._is_settled = True
        if not self._is_committed:
            raise StorageError(f"{self._version}: another publisher wrote its manifest; publish again")
        return True

    def close(self) -> None:
        super().close()
        with suppress(StorageError):  # a later publisher removes what cannot be removed now
            if self._is_settled:
                if not self._is_committed:
                    self._version.delete(list(self._version.files()))
                (self._folder / _CLAIMS).delete([version_folder(self._number)])

    def _claim(self) -> int:
        """Claim the lowest number above all published and claimed ones.

        Raises:
            StorageError: the store overwrites existing files on a create-only request.
        """
        claims = self._folder / _CLAIMS
        while True:
            found = self._folder.files()
            number = 1 + max((_number_of(name) or 0 for name in found), default=0)
            if claims.create(version_folder(number), self._token):
                break
        if claims.create(version_folder(number), b"probe"):
            raise StorageError(
                f"{self._folder}: the store ignores If-None-Match (never overwrite), so two publishers could mix their "
                "files; publish to a folder or another store"
            )
        self._remove_abandoned(number)
        return number

    def _remove_abandoned(self, number: int) -> None:
        """Remove the files of publishers that died more than a day before we claimed `number`."""
        found = self._folder.files()
        now = found[f"{_CLAIMS}/{version_folder(number)}"].modified_at
        left: dict[int, list[str]] = {}
        for name in found:
            if (owner := _number_of(name)) and owner != number:
                left.setdefault(owner, []).append(name)
        for owner, names in left.items():
            is_published = f"{version_folder(owner)}/{FILE_NAME}" in found
            if now - max(found[name].modified_at for name in names) > ABANDONED_AFTER:
                claims = [name for name in names if name.startswith(_CLAIMS)]
                self._folder.delete(claims)  # first, because its publisher checks the claim if it is still alive
                self._folder.delete([] if is_published else [name for name in names if name not in claims])


def _number_of(name: str) -> int | None:
    """Return the version that a file in a dataset's folder belongs to: a file of `v0002/…`, or its claim."""
    parts = name.removeprefix(f"{_CLAIMS}/").split("/")
    return version_number(parts[0])


def _remove_old_staging(folder: Path) -> None:
    """Remove the staging folders of publishers that died more than a day ago."""
    for staging in folder.glob(f"{_STAGING}*"):
        with suppress(OSError):
            if time.time() - staging.stat().st_mtime > ABANDONED_AFTER.total_seconds():
                shutil.rmtree(staging, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Flush all files of a folder to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
