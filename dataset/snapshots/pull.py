"""A snapshot from an object store (or another disk), whole and verified, on this machine's disk.

Files come into `<root>/<name>/.pull-v0002-<digest>/`, each under `<file>.part` until it is whole and its
SHA-256 is the manifest's. A pull that was interrupted goes on in the middle of the file where it stopped.
When every file is there, the folder is renamed to `v0002`.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset.errors import AlreadyPublishedError, InvalidSnapshotError, PipelineError
from dataset.snapshots.manifest import FILE_NAME, version_folder
from dataset.snapshots.snapshot import DEFAULT_ROOT, Snapshot, open_snapshot

_READ_BYTES = 1 << 20
Advance = Callable[[int], None]
"""Called with the number of bytes that have just come, or were there already."""


def pull(source: Snapshot, root: Path = DEFAULT_ROOT, advance: Advance = lambda _: None) -> tuple[Snapshot, bool]:
    """Fetch a snapshot into `<root>/<name>/<version>`, unless it is there.

    Returns:
        The snapshot on the disk, and whether it was fetched (False: it was there).

    Raises:
        AlreadyPublishedError: the folder holds another snapshot of that number.
        InvalidSnapshotError: a file that came is not the one that was published.
        PipelineError: `root` cannot be written, or another pull is writing there.
    """
    manifest = source.manifest
    destination = root / manifest.name / version_folder(manifest.version)
    if destination.exists():
        there = open_snapshot(destination)
        if there.manifest != manifest:
            raise AlreadyPublishedError(
                f"{destination}: holds another {manifest.label} (content {there.content_digest[:12]}, not "
                f"{manifest.content_digest[:12]}); pull to another --to"
            )
        return there, False
    staging = destination.with_name(f".pull-{destination.name}-{manifest.content_digest[:12]}")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with _alone(staging):
            for name, size in sizes(source).items():
                _fetch(source, name, size, staging / name, advance)
            (staging / FILE_NAME).write_bytes(source.folder.read(FILE_NAME) or b"")
            os.rename(staging, destination)  # noqa: PTH104 - Path.rename says nothing of folders
    except OSError as error:
        raise PipelineError(
            f"{staging}: cannot be written ({error.strerror or error}); make room or choose another --to, "
            "then run the same command again to go on"
        ) from error
    return open_snapshot(destination), True


def sizes(source: Snapshot) -> dict[str, int]:
    """Return the bytes of each file of a snapshot that its manifest lists.

    Raises:
        InvalidSnapshotError: a file is missing.
    """
    present = source.folder.files()
    if missing := sorted(source.manifest.sha256_of.keys() - present):
        raise InvalidSnapshotError(f"{source.folder}: {', '.join(missing)} missing; take it from another place")
    return {name: present[name].size_bytes for name in source.manifest.sha256_of}


def _fetch(source: Snapshot, name: str, size: int, target: Path, advance: Advance) -> None:
    """Fetch one file, from where an earlier pull stopped."""
    if target.is_file():  # it was verified before it got this name
        advance(size)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    digest = hashlib.sha256()
    with part.open("ab+") as file:
        if file.tell() > size:
            file.truncate(0)
        file.seek(0)
        while block := file.read(_READ_BYTES):
            digest.update(block)
        advance(file.tell())
        for block in source.folder.blocks(name, size, start=file.tell()):
            digest.update(block)
            file.write(block)
            advance(len(block))
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != source.manifest.sha256_of[name]:
        part.unlink()
        raise InvalidSnapshotError(
            f"{source.folder}/{name}: its bytes are not the ones that were published (SHA-256 differs); "
            "pull again, and if that does not help, take the snapshot from another place"
        )
    part.replace(target)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other pulls out of a folder; the lock goes with the process."""
    lock = folder.with_name(f"{folder.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PipelineError(f"{folder}: another pull is writing there; wait until it ends") from None
        yield
        lock.unlink(missing_ok=True)
