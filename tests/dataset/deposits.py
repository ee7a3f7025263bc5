"""Snapshots to deposit, and a fake Zenodo that takes them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_zenodo import FakeZenodo

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.pull import pull
from dataset.snapshots.snapshot import Snapshot
from dataset.snapshots.zenodo.address import Server
from dataset.snapshots.zenodo.client import Client
from dataset.snapshots.zenodo.deposit import Deposited, deposit
from dataset.snapshots.zenodo.metadata import Creator
from dataset.snapshots.zenodo.record import record_at

JANE = Creator("Doe, Jane", "Lab of Examples", "0000-0002-1825-0097")


TOKEN = "writer-token"


@pytest.fixture(scope="module")
def versions(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """Two versions of a dataset; the first has a table more, the likes of train pairs."""
    folder, found = tmp_path_factory.mktemp("deposited"), []
    for seed in (0, 1):
        dataset = build(raw_once, folder / "dataset", DatasetConfig(split=SplitConfig(seed=seed))).path
        stated = PublicationConfig(
            "CC-BY-4.0", "Lab of Examples", "data@example.org", train_likes=seed == 0, description="Stars & <likes>."
        )
        found.append(publish(dataset, "toy", folder / "snapshots", stated)[0])
    return found


@pytest.fixture
def zenodo() -> Iterator[FakeZenodo]:
    fake = FakeZenodo()
    yield fake
    fake.close()


@pytest.fixture
def send(zenodo: FakeZenodo) -> Callable[..., Deposited]:
    """A function that deposits a snapshot, and waits for nothing."""

    def call(snapshot: Snapshot, address: str = "zenodo:", token: str | None = TOKEN, **options: Any) -> Deposited:
        options = {"creators": [JANE], "wait": lambda seconds: None, **options}
        return deposit(snapshot, address, Server(zenodo.url, token), **options)

    return call


def files_of(snapshot: Snapshot) -> dict[str, bytes]:
    found = (path for path in snapshot.path.rglob("*") if path.is_file())
    return {path.relative_to(snapshot.path).as_posix(): path.read_bytes() for path in found}


def only(zenodo: FakeZenodo) -> Any:
    (one,) = zenodo.depositions.values()
    return one


def pulled(zenodo: FakeZenodo, address: str, to: Path) -> Snapshot:
    with Client(Server(zenodo.url), address, lambda seconds: None) as client:
        return pull(record_at(client), to)[0]
