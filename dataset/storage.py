"""Folders on a disk or in an object store, behind one interface (obstore).

A place is a path, or the address of a folder in a bucket: `s3://bucket/prefix`, `gs://…`, `az://…`.
Credentials, region and endpoint come from environment variables that obstore reads
(`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`,
`AZURE_STORAGE_ACCOUNT_NAME`, …). A request that fails for a temporary reason is retried, with growing
pauses. Object stores hold only files: a folder is the common prefix of its files' names.
"""

import hashlib
import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from dataset.errors import StorageError, UsageError
from dataset.files import path_below

_log = logging.getLogger(__name__)

T = TypeVar("T")

_BLOCK_BYTES = 8 << 20
_ATTEMPTS = 4
_SCHEMES = ("s3", "gs", "az")
_ADDRESS = re.compile(r"^(?P<scheme>[a-z][a-z0-9+]+):/+(?P<rest>.*)$")
_RETRY: Any = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
_FIXES = {
    "169.254.169.254": "no credentials in the environment; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "metadata.google.internal": "no credentials in the environment; set GOOGLE_APPLICATION_CREDENTIALS",
    "NoSuchBucket": "there is no such bucket; create it first, or correct the address",
    "ContainerNotFound": "there is no such container; create it first, or correct the address",
    "builder error": "plain http is refused; set AWS_ALLOW_HTTP=true if the endpoint uses http on purpose",
    "InvalidAccessKeyId": "the store does not know these credentials; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the store does not know these credentials; check AWS_SECRET_ACCESS_KEY",
}


class _NoSuchFileError(StorageError):
    """The bucket exists but the file does not."""


@dataclass(frozen=True)
class StoredFile:
    """A file in a folder: its size, and when it was last written by the store's clock."""

    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Folder:
    """A folder on a disk or in an object store; a folder that does not exist is empty.

    Attributes:
        address: its address, or its path on a disk.
        path: its path on a disk, None in an object store.
        store: the store that holds it.
        prefix: its name within the store, empty or ending in `/`.
    """

    address: str
    path: Path | None
    store: ObjectStore
    prefix: str = ""

    @classmethod
    def at(cls, place: str | Path) -> "Folder":
        """Return the folder at a path or address.

        Raises:
            UsageError: the address is malformed.
            StorageError: a variable that the store needs is missing or malformed.
        """
        address = remote_address(place)
        if address is None:
            path = Path(place)
            store: ObjectStore = LocalStore(path.absolute()) if path.is_dir() else MemoryStore()
            return cls(str(path), path, store)
        try:
            store = from_url(address, retry_config=_RETRY)  # client_options would override those of the environment
        except (BaseError, ValueError, OSError) as error:
            raise _explain(address, error) from None
        return cls(address, None, store)

    def __truediv__(self, name: str) -> "Folder":
        path = None if self.path is None else self.path / name
        return Folder(f"{self.address.rstrip('/')}/{name}", path, self.store, f"{self.prefix}{name}/")

    def __str__(self) -> str:
        return self.address

    def folders(self) -> list[str]:
        """Return the names of its direct subfolders, sorted."""
        found = self._retry("", lambda: obstore.list_with_delimiter(self.store, self.prefix or None)["common_prefixes"])
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def files(self) -> dict[str, StoredFile]:
        """Return all files in it and its subfolders, by their names relative to it, sorted."""
        if self.path is not None:  # obstore would list what links to folders lead to, even a whole disk
            for parent, folders, _ in os.walk(self.path):
                for name in folders:
                    self._require_inside(str(Path(parent, name).relative_to(self.path)))
        listed: Any = self._retry("", lambda: obstore.list(self.store, self.prefix or None).collect())
        found = {str(meta["path"]): StoredFile(meta["size"], meta["last_modified"]) for meta in listed}
        return {name.removeprefix(self.prefix): found[name] for name in sorted(found)}

    def read(self, name: str) -> bytes | None:
        """Return a small file's bytes, None if there is no such file."""
        self._require_inside(name)
        try:
            return self._retry(name, lambda: bytes(obstore.get(self.store, self.prefix + name).bytes()))
        except _NoSuchFileError:
            return None

    def blocks(self, name: str, size_bytes: int, start: int = 0) -> Iterator[bytes]:
        """Yield a file's bytes from `start` on, in blocks of a few MB; a failed request is retried per block."""
        for begin in range(start, size_bytes, _BLOCK_BYTES):
            end = min(begin + _BLOCK_BYTES, size_bytes)
            yield self.range(name, begin, end)

    def range(self, name: str, start: int, end: int) -> bytes:
        """Return a file's bytes from `start` up to, not including, `end`."""
        self._require_inside(name)
        path = self.prefix + name
        return self._retry(name, lambda: bytes(obstore.get_range(self.store, path, start=start, end=end)))

    def sha256(self, name: str, size_bytes: int) -> str:
        """Return the SHA-256 of a file's bytes."""
        digest = hashlib.sha256()
        for block in self.blocks(name, size_bytes):
            digest.update(block)
        return digest.hexdigest()

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading with random access."""
        self._require_inside(name)
        size: int = self._retry(name, lambda: obstore.head(self.store, self.prefix + name)["size"])
        return io.BufferedReader(_Reader(partial(self.range, name), size), buffer_size=1 << 20)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file unless the name exists; return whether the file now holds our bytes.

        A store may write the file but fail to confirm it; the retry then finds our own file. So
        `content` must differ from what any other writer writes.
        """
        with self._errors(name):
            try:
                obstore.put(self.store, self.prefix + name, content, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                return self.read(name) == content
        return True

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, replacing any of that name."""
        with self._errors(name):
            obstore.put(self.store, self.prefix + name, content, use_multipart=False)

    def upload(self, name: str, source: Path) -> str:
        """Write a file of any size, replacing any of that name; return the SHA-256 of the bytes sent."""
        if source.stat().st_size <= _BLOCK_BYTES:
            content = source.read_bytes()
            self.write(name, content)
            return hashlib.sha256(content).hexdigest()
        for attempt in range(_ATTEMPTS):
            digest = hashlib.sha256()
            with source.open("rb") as file, self._errors(name):
                blocks = _hashed(file, digest)
                try:
                    obstore.put(self.store, self.prefix + name, blocks, chunk_size=_BLOCK_BYTES, max_concurrency=4)
                    break
                except (BaseError, FileNotFoundError):  # obstore cannot retry the last request of a multipart upload
                    if attempt == _ATTEMPTS - 1:
                        raise
        return digest.hexdigest()

    def delete(self, names: list[str]) -> None:
        """Delete files; a missing file is not an error."""
        for name in names:
            with self._errors(name), suppress(NotFoundError, FileNotFoundError):
                obstore.delete(self.store, self.prefix + name)

    def _require_inside(self, name: str) -> None:
        """Refuse to read a file on a disk that is outside of this folder, by its name or by a link."""
        if self.path is not None and path_below(self.path, name) is None:
            raise StorageError(f"{self.path / name}: leads out of the folder; replace the link by the file it names")

    def _retry(self, name: str, request: Callable[[], T]) -> T:
        """Make a reading request, and retry it if the response breaks off: obstore does not always retry then."""
        with self._errors(name):
            for _ in range(_ATTEMPTS - 1):
                try:
                    return request()
                except BaseError as error:
                    if "body" not in str(error):
                        raise
                    _log.info("retrying %s/%s: %s", self.address, name, error)
            return request()

    @contextmanager
    def _errors(self, name: str = "") -> Iterator[None]:
        """Turn errors of obstore into one-line errors."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise _explain(f"{self.address.rstrip('/')}/{name}".rstrip("/"), error) from None


class _Reader(io.RawIOBase):
    """A file in a store, read range by range, as a raw binary stream."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        block = self._read(self._at, end) if end > self._at else b""
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def remote_address(place: str | Path) -> str | None:
    """Return `place` as the address of an object store, None if it is a path.

    `Path("s3://bucket/x")` drops one slash; it is restored.

    Raises:
        UsageError: the address has an unknown scheme or no bucket.
    """
    match = _ADDRESS.match(str(place))
    if match is None:
        return None
    scheme, rest = match["scheme"], match["rest"].rstrip("/")
    if scheme not in _SCHEMES or not rest:
        known = ", ".join(f"{known}://bucket/prefix" for known in _SCHEMES)
        raise UsageError(f"{place}: not an address of an object store; use {known}, or a folder's path")
    return f"{scheme}://{rest}"


def _hashed(file: IO[bytes], digest: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        yield block


def _explain(address: str, error: Exception) -> StorageError:
    text = str(error)
    if isinstance(error, NotFoundError | FileNotFoundError) and not any(sign in text for sign in _FIXES):
        return _NoSuchFileError(f"{address}: no such file; check the address")
    for sign, fix in _FIXES.items():
        if sign in text:
            return StorageError(f"{address}: {fix}")
    if isinstance(error, UnauthenticatedError | PermissionDeniedError | PermissionError):
        return StorageError(f"{address}: access is denied; check the credentials and their permissions")
    first = " ".join(text.split("Debug source")[0].split())
    if "error sending request" in text or "HTTP error" in text:
        return StorageError(f"{address}: cannot be reached ({_short(first)}); check the network and the endpoint")
    return StorageError(f"{address}: the store answered: {_short(first)}")


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
