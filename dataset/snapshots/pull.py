"""Pulls a snapshot from an object store, Zenodo or another disk to a local disk and verifies it.

Files are written to `<root>/<name>/.pull-v0002-<digest>/`, each as `<file>.part` until it is complete and
its SHA-256 matches the manifest. An interrupted pull resumes in the middle of the file. When all files
are complete, the folder is renamed to `v0002`. Linux and macOS only, because of the lock on the folder.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from dataset.errors import AlreadyPublishedError, InvalidSnapshotError, PipelineError
from dataset.files import exclusive_lock
from dataset.snapshots import DEFAULT_ROOT
from dataset.snapshots.manifest import FILE_NAME, version_folder
from dataset.snapshots.snapshot import Snapshot, open_snapshot

_log = logging.getLogger(__name__)

_READ_BYTES = 1 << 20
Advance = Callable[[int], None]
"""Called with the number of bytes just received, or already present from an earlier pull."""


def pull(source: Snapshot, root: Path = DEFAULT_ROOT, advance: Advance = lambda _: None) -> tuple[Snapshot, bool]:
    """Pull a snapshot into `<root>/<name>/<version>`, unless it is already there.

    Returns:
        The local snapshot, and whether it was pulled (False: it was already there).

    Raises:
        AlreadyPublishedError: the folder holds a different snapshot with the same number.
        InvalidSnapshotError: a received file is not the published one.
        PipelineError: `root` cannot be written, or another pull is writing there.
    """
    manifest = source.manifest
    destination = root / manifest.name / version_folder(manifest.version)
    if destination.exists():
        present = open_snapshot(destination)
        if not present.manifest.is_copy_of(manifest):
            raise AlreadyPublishedError(
                f"{destination}: holds a different {manifest.label} (content {present.content_digest[:12]}, not "
                f"{manifest.content_digest[:12]}); choose another folder with --to"
            )
        return present, False
    staging = destination.with_name(f".pull-{destination.name}-{manifest.content_digest[:12]}")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        lock = staging.with_name(f"{staging.name}.lock")
        with exclusive_lock(lock, f"{staging}: another pull is writing there; wait until it ends"):
            for name, size in file_sizes(source).items():
                _fetch(source, name, size, staging / name, advance)
            (staging / FILE_NAME).write_bytes(source.folder.read(FILE_NAME) or b"")
            os.rename(staging, destination)  # noqa: PTH104 - the docs of Path.rename do not cover folders
    except OSError as error:
        raise PipelineError(
            f"{staging}: cannot be written ({error.strerror or error}); free some space or choose another folder with "
            "--to, then run the same command again to resume"
        ) from error
    _log.info("pulled %s to %s", manifest.label, destination)
    return open_snapshot(destination), True


def file_sizes(source: Snapshot) -> dict[str, int]:
    """Return the size in bytes of each file that a snapshot's manifest lists.

    Raises:
        InvalidSnapshotError: a file is missing.
    """
    present = source.folder.files()
    if missing := sorted(source.manifest.sha256_of.keys() - present):
        raise InvalidSnapshotError(
            f"{source.folder}: {', '.join(missing)} missing; get the snapshot from another place"
        )
    return {name: present[name].size_bytes for name in source.manifest.sha256_of}


def _fetch(source: Snapshot, name: str, size: int, target: Path, advance: Advance) -> None:
    """Fetch one file, resuming where an earlier pull stopped."""
    if target.is_file():  # it was verified before it was renamed to this
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
            "pull again; if that does not help, get the snapshot from another place"
        )
    part.replace(target)
