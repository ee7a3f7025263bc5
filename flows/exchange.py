"""Hands pictures to workers that see only an object store, and takes their features back.

    <address>/douban-keyframes-<run>/<shard>.pictures.tar   from the flow, deleted when the shard is done
    <address>/douban-keyframes-<run>/<shard>.features.tar   from the worker, deleted when it is in the flow's store

A run deletes its folder at its end. What killed runs left is deleted a week later, by the next run.
"""

import re
import secrets
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataset.errors import InvalidTableError, PipelineError
from dataset.storage import Folder
from features.store import FeatureStore

_NAME = "douban-keyframes-"
_STALE = timedelta(days=7)
_RESULT = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.parquet|failures/[0-9a-f]{64}\.txt")


@dataclass(frozen=True)
class Exchange:
    """The folder of one run.

    Attributes:
        address: its address in an object store. Credentials come from the environment of each machine.
    """

    address: str

    def put_pictures(self, name: str, raw: Path, pictures: Sequence[tuple[str, str]]) -> None:
        """Put the pictures of a shard, given as (image_sha256, path); missing files are left out."""
        with _temporary_tar() as path:
            with tarfile.open(path, "w") as tar:
                for _, picture in pictures:
                    with suppress(FileNotFoundError):
                        tar.add(raw / picture, picture)
            Folder.at(self.address).upload(f"{name}.pictures.tar", path)

    def take_pictures(self, name: str, raw: Path) -> None:
        """Write the pictures of a shard to a folder.

        Raises:
            StorageError: the store lacks them, or cannot be reached.
        """
        raw.mkdir(parents=True)
        with Folder.at(self.address).open(f"{name}.pictures.tar") as file, tarfile.open(fileobj=file) as tar:
            tar.extractall(raw, filter="data")

    def put_features(self, name: str, computed: Path) -> None:
        """Put what a worker has computed: a folder of a feature store."""
        with _temporary_tar() as path:
            with tarfile.open(path, "w") as tar:
                for file in sorted(computed.rglob("*")):
                    if _RESULT.fullmatch(inside := file.relative_to(computed).as_posix()):
                        tar.add(file, inside)
            Folder.at(self.address).upload(f"{name}.features.tar", path)

    def take_features(self, name: str, store: FeatureStore) -> None:
        """Add what a worker has computed to a store, and delete the shard from the exchange.

        Raises:
            InvalidTableError: it is not what a worker puts there.
        """
        folder = Folder.at(self.address)
        with folder.open(f"{name}.features.tar") as file, tarfile.open(fileobj=file) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None or not _RESULT.fullmatch(member.name):
                    raise InvalidTableError(f"{folder}/{name}.features.tar: {member.name!r} is not of a worker's shard")
                store.receive(member.name, content.read())
        folder.delete([f"{name}.pictures.tar", f"{name}.features.tar"])


@contextmanager
def exchange_at(address: str) -> Iterator[Exchange]:
    """Yield a new folder for one run; delete it at the end.

    Raises:
        StorageError: the object store cannot be reached, or refuses us.
    """
    place = Folder.at(address)
    _delete(place, [name for name in place.folders() if name.startswith(_NAME)], older_than=_STALE)
    name = f"{_NAME}{secrets.token_hex(8)}"
    try:
        yield Exchange(f"{address.rstrip('/')}/{name}")
    finally:
        with suppress(PipelineError):  # the run's own error says more
            _delete(place, [name])


def _delete(place: Folder, names: list[str], older_than: timedelta = timedelta(0)) -> None:
    before = datetime.now(UTC) - older_than
    for name in names:
        files = (place / name).files()
        if not older_than or all(file.modified_at < before for file in files.values()):
            (place / name).delete(list(files))


@contextmanager
def _temporary_tar() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="exchange-") as folder:
        yield Path(folder, "shard.tar")
