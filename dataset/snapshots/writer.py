"""How a version comes to be, all at once and under a number of its own.

On a disk: its files are gathered in `<name>/.staging-<id>/`, and renamed to `<name>/v0002`, which fails
where that folder exists.

In an object store nothing can be renamed as a whole, so a publisher first takes the number: it
creates `<name>/.publishing/v0002`, which only one can. It writes the files to `<name>/v0002/` and last
`manifest.json`, also create-only. No reader of ours looks at a version without a manifest. A publisher
that finds a number taken uses the next; numbers rise, and those of publishers that died are left out.

What dies half-way leaves a staging folder, or files without a manifest. A publisher removes those that
are older than a day, by the store's own clock; before it writes its manifest it checks that it was not
itself taken for dead. (Parts of an unfinished upload are hidden by S3: let a lifecycle rule of the bucket,
AbortIncompleteMultipartUpload, remove them.)
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
from dataset.files import sha256_of_file
from dataset.snapshots.manifest import FILE_NAME, Manifest, to_bytes, version_folder, version_number
from dataset.storage import Folder

ABANDONED_AFTER = timedelta(days=1)
_CLAIMS = ".publishing"
_STAGING = ".staging-"


class SnapshotWriter(Protocol):
    """Writes the files of one version and commits it; leaving it uncommitted removes them."""

    scratch: Path
    """A folder on this machine where files to add can be made."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, source: Path, name: str) -> str:
        """Add a file under a name; return its SHA-256."""

    def number_after(self, latest: int) -> int:
        """Return the version's number, given the highest published one (0: none)."""

    def commit(self, manifest: Manifest) -> bool:
        """Make the version appear; return False where its number has been taken meanwhile."""


def open_writer(folder: Folder) -> SnapshotWriter:
    """Return a writer of the next version in a dataset's folder."""
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
        _sweep_disk(folder)

    def add(self, source: Path, name: str) -> str:
        target = self.scratch / name
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return sha256_of_file(target)

    def number_after(self, latest: int) -> int:
        return latest + 1

    def commit(self, manifest: Manifest) -> bool:
        (self.scratch / FILE_NAME).write_bytes(to_bytes(manifest))
        _flush(self.scratch)
        destination = self._folder / version_folder(manifest.version)
        try:
            os.rename(self.scratch, destination)  # noqa: PTH104 - Path.rename says nothing of folders
        except OSError:
            if not destination.exists():
                raise
            return False  # a rename onto a filled folder fails on every system
        return True


class _StoreWriter(_Writer):
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._token = uuid.uuid4().hex.encode()
        self._is_settled = True  # whether we know if the manifest is there: never remove what may be published
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
                f"{self._version}: took more than {ABANDONED_AFTER.days} day and was taken for abandoned; publish again"
            )
        self._is_settled = False
        self._is_committed = self._version.create(FILE_NAME, to_bytes(manifest))
        self._is_settled = True
        if not self._is_committed:
            raise StorageError(f"{self._version}: has a manifest that is not ours; publish again")
        return True

    def close(self) -> None:
        super().close()
        with suppress(StorageError):  # what cannot be removed now, a later publisher removes
            if self._is_settled:
                if not self._is_committed:
                    self._version.delete(list(self._version.files()))
                (self._folder / _CLAIMS).delete([version_folder(self._number)])

    def _claim(self) -> int:
        """Take the lowest number above all that are published or taken.

        Raises:
            StorageError: the store overwrites files that were to be created only.
        """
        claims = self._folder / _CLAIMS
        while True:
            found = self._folder.files()
            number = 1 + max((_number_of(name) or 0 for name in found), default=0)
            if claims.create(version_folder(number), self._token):
                break
        if claims.create(version_folder(number), b"probe"):
            raise StorageError(
                f"{self._folder}: the store overwrites what was to be created only (it ignores If-None-Match), so two "
                "publishers could mix their files; publish to a folder or another store"
            )
        self._sweep(number)
        return number

    def _sweep(self, number: int) -> None:
        """Remove what publishers left that died more than a day before we took `number`."""
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
                self._folder.delete(claims)  # first, for that is what its publisher looks for, should it live
                self._folder.delete([] if is_published else [name for name in names if name not in claims])


def _number_of(name: str) -> int | None:
    """Return the version that a file in a dataset's folder belongs to: `v0002/…`, or the claim of one."""
    parts = name.removeprefix(f"{_CLAIMS}/").split("/")
    return version_number(parts[0])


def _sweep_disk(folder: Path) -> None:
    """Remove the staging folders of publishers that died more than a day ago."""
    for staging in folder.glob(f"{_STAGING}*"):
        with suppress(OSError):
            if time.time() - staging.stat().st_mtime > ABANDONED_AFTER.total_seconds():
                shutil.rmtree(staging, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Have all files of a folder written to the disk itself."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
