"""Published records of Zenodo as places that snapshots are pulled from.

Zenodo has no folders: the file `splits/interactions/train.parquet` is `splits--interactions--train.parquet` there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from obstore.store import MemoryStore

from dataset.errors import InvalidSnapshotError, StorageError, UsageError
from dataset.snapshots.manifest import FILE_NAME, from_bytes
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.zenodo.address import record_id
from dataset.snapshots.zenodo.client import Client
from dataset.storage import Folder, StoredFile

_MAX_MANIFEST_BYTES = 64 << 20


def key_of(name: str) -> str:
    """Return the name that a snapshot's file has on Zenodo."""
    return name.replace("/", "--")


@dataclass(frozen=True)
class RecordFolder(Folder):
    """The files of a snapshot in a record.

    Attributes:
        client: makes the requests.
        record: the record's number.
        files_there: the files of the record by their names on Zenodo, as its interface describes them.
        names: the names of the snapshot's files that are looked for.
    """

    client: Client = field(kw_only=True)
    record: str = field(kw_only=True)
    files_there: Mapping[str, Mapping[str, Any]] = field(kw_only=True)
    names: tuple[str, ...] = field(default=(FILE_NAME,), kw_only=True)

    def files(self) -> dict[str, StoredFile]:
        """Return the files of `names` that the record has."""
        written = datetime.fromtimestamp(0).astimezone()
        there = ((name, self.files_there.get(key_of(name))) for name in sorted(self.names))
        return {name: StoredFile(int(file.get("size", 0)), written) for name, file in there if file is not None}

    def read(self, name: str) -> bytes | None:
        """Return a small file's bytes, None if there is no such file."""
        if name not in self.files():
            return None
        content = b""
        for block in self.client.blocks(self._path(name)):
            content += block
            if len(content) > _MAX_MANIFEST_BYTES:
                raise StorageError(f"{self}/{name}: more than {_MAX_MANIFEST_BYTES >> 20} MiB, too large for it")
        return content

    def blocks(self, name: str, size_bytes: int, start: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `start` on, and none beyond `size_bytes`."""
        left = size_bytes - start
        for block in self.client.blocks(self._path(name), start) if left > 0 else ():
            yield block[:left]
            left -= len(block)
            if left <= 0:
                return

    def _path(self, name: str) -> str:
        return f"records/{self.record}/files/{key_of(name)}/content"


def record_at(client: Client) -> Snapshot:
    """Return the snapshot in a published record; for the number of all versions, the newest.

    Raises:
        UsageError: the address names no record.
        StorageError: there is no such record, or Zenodo cannot be reached.
        InvalidSnapshotError: the record is no snapshot, or its manifest is damaged.
    """
    number = record_id(client.address, client.server)
    if number is None:
        raise UsageError(f"{client.address}: names no record; write zenodo:<number> or zenodo:<DOI>")
    record = client.find(f"records/{number}")
    if record is None:
        raise StorageError(f"{client.address}: there is no such record, or it is not published; check the number")
    snapshot = snapshot_in(client, record)
    if snapshot is None:
        raise InvalidSnapshotError(f"{client.address}: not a snapshot of this program (it has no {FILE_NAME})")
    return snapshot


def snapshot_in(client: Client, record: Mapping[str, Any]) -> Snapshot | None:
    """Return the snapshot in a record, None if it has no manifest.

    Raises:
        InvalidSnapshotError: the manifest is damaged.
    """
    number, files = str(record.get("id", "")), record.get("files") or []
    there = {str(file.get("key", file.get("filename", ""))): file for file in files}
    address = f"{client.server.url}/records/{number}"
    folder = RecordFolder(address, None, MemoryStore(), client=client, record=number, files_there=there)
    content = folder.read(FILE_NAME)
    if content is None:
        return None
    manifest = from_bytes(content, f"{address}: {FILE_NAME}")
    names = (FILE_NAME, *manifest.sha256_of)
    return Snapshot(
        RecordFolder(address, None, MemoryStore(), client=client, record=number, files_there=there, names=names),
        manifest,
    )
