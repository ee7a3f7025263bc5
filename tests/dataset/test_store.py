"""Snapshots in an object store: a real S3 server on loopback, behind a network that fails as told."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataset import storage
from dataset.__main__ import main
from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import InvalidSnapshotError, PipelineError, StorageError, UsageError
from dataset.snapshots import writer
from dataset.snapshots.publish import publish
from dataset.snapshots.pull import pull
from dataset.snapshots.snapshot import Snapshot, latest, list_snapshots, newest_snapshot, open_snapshot
from dataset.snapshots.verify import verify
from dataset.storage import Folder

Dataset = Callable[[int], Path]


@pytest.fixture(scope="module")
def dataset(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A function that builds a dataset whose content depends on a seed."""
    folder = tmp_path_factory.mktemp("datasets")

    def make(seed: int) -> Path:
        path = folder / str(seed)
        return path if path.exists() else build(raw_once, path, DatasetConfig(split=SplitConfig(seed=seed))).path

    return make


def names_below(root: str) -> set[str]:
    return set(Folder.at(root).files())


def snapshots_below(root: str) -> list[Snapshot]:
    found = list_snapshots(root)
    assert all(isinstance(snapshot, Snapshot) for snapshot in found)
    return [snapshot for snapshot in found if isinstance(snapshot, Snapshot)]


def at_once(*publishers: Callable[[], object]) -> list[object]:
    """Run functions in threads and return what they return or raise."""
    results: list[object] = [None] * len(publishers)
    barrier = threading.Barrier(len(publishers))

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = publishers[number]()
        except PipelineError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(publishers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_publish_list_show_verify_diff_and_pull_in_one_go(
    dataset: Dataset, root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        (("publish", "--dataset", dataset(0), "--name", "toy", "--root", root), f"toy v0001 in {root}/toy/v0001,"),
        (("publish", "--dataset", dataset(0), "--name", "toy", "--root", root), "nothing published"),
        (("publish", "--dataset", dataset(1), "--name", "toy", "--root", root), f"toy v0002 in {root}/toy/v0002,"),
        (("list", "--root", root), "12 users, 8 movies, 96 interactions"),
        (("show", "--root", root), "parent v0001"),
        (("verify", f"{root}/toy/v0001"), "toy v0001: every file is as it was published"),
        (("verify", "--root", root), "toy v0002: every file is as it was published"),
        (("diff", f"{root}/toy/v0001", f"{root}/toy"), "setting split.seed: 0 → 1"),
        (("pull", f"{root}/toy", "--to", tmp_path / "here"), "Pulled toy v0002"),
        (("pull", f"{root}/toy", "--to", tmp_path / "here"), "already"),
        (("verify", tmp_path / "here" / "toy" / "v0002"), "every file is as it was published"),
    ):
        main([str(argument) for argument in arguments])
        assert words in capsys.readouterr().out, arguments
    assert newest_snapshot(tmp_path / "here").manifest == latest(root, "toy").manifest  # type: ignore[union-attr]
    assert not any(".publishing" in name for name in names_below(root))


def test_a_snapshot_in_a_store_equals_one_on_a_disk(dataset: Dataset, root: str, tmp_path: Path) -> None:
    remote, _ = publish(dataset(0), "toy", root)
    local, _ = publish(dataset(0), "toy", tmp_path)
    assert remote.content_digest == local.content_digest
    assert remote.manifest.tables == local.manifest.tables
    assert set(remote.folder.files()) == set(local.folder.files())


@pytest.mark.parametrize("seeds", [(0, 1), (0, 0), (0, 1, 2, 1)])
def test_publishers_at_once_give_whole_versions_and_never_a_mixture(
    seeds: tuple[int, ...], dataset: Dataset, root: str, proxy: Any
) -> None:
    results = at_once(*(partial(publish, dataset(seed), "toy", root) for seed in seeds))
    published = [result[0] for result in results if isinstance(result, tuple)]
    assert len(published) == len(seeds), results
    found = snapshots_below(root)
    assert {s.content_digest for s in found} == {s.content_digest for s in published}
    for snapshot, seed in zip(published, seeds, strict=True):
        assert snapshot.manifest.config["split"]["seed"] == seed
        assert verify(snapshot) == []
    assert not any(".publishing" in name for name in names_below(root))
    assert all(s.manifest.parent is None or s.manifest.parent < s.version for s in found)


def test_a_publisher_overtaken_by_another_keeps_its_number(dataset: Dataset, root: str, proxy: Any) -> None:
    is_first = threading.Event()
    proxy.fault = lambda method, path: (
        is_first.wait(60) and None if method == "PUT" and "/v0001/manifest.json" in path else None
    )
    slow = threading.Thread(target=publish, args=(dataset(0), "toy", root))
    slow.start()
    while "some/prefix/toy/v0001/croissant.json" not in "".join(path for _, path, _ in proxy.requests):
        assert slow.is_alive()
        time.sleep(0.01)
    fast, is_new = publish(dataset(1), "toy", root)
    assert (fast.version, is_new, fast.manifest.parent) == (2, True, None)
    assert [snapshot.version for snapshot in snapshots_below(root)] == [2]
    is_first.set()
    slow.join()
    assert [snapshot.version for snapshot in snapshots_below(root)] == [1, 2]
    assert [verify(snapshot) for snapshot in snapshots_below(root)] == [[], []]


@pytest.mark.parametrize("last_file", ["interactions.parquet", "manifest.json"])
def test_a_killed_publishers_version_is_never_seen_and_later_removed(
    last_file: str, dataset: Dataset, root: str, proxy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(dataset(0), "toy", root)
    reached, is_dead = threading.Event(), threading.Event()

    def stop_at(method: str, path: str) -> Any:
        if method == "PUT" and f"/v0002/{last_file}" in path and not is_dead.is_set():
            reached.set()
            is_dead.wait(60)
            return "before"
        return None

    proxy.fault = stop_at
    line = [sys.executable, "-m", "dataset", "publish", "--dataset", str(dataset(1)), "--name", "toy", "--root", root]
    child = subprocess.Popen(line, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert reached.wait(60)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    is_dead.set()
    assert any("/v0002/" in name for name in names_below(root))
    assert [snapshot.version for snapshot in snapshots_below(root)] == [1]
    assert pull(newest_snapshot(root), tmp_path)[0].version == 1

    later, is_new = publish(dataset(1), "toy", root)
    assert (later.version, is_new, later.manifest.parent) == (3, True, 1)
    assert verify(later) == []
    monkeypatch.setattr(writer, "ABANDONED_AFTER", timedelta(seconds=-1))
    publish(dataset(2), "toy", root)
    assert {name.split("/")[1] for name in names_below(root)} == {"v0001", "v0003", "v0004"}


def test_a_publisher_taken_for_dead_does_not_publish(
    dataset: Dataset, root: str, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = lambda method, path: sweep() if method == "PUT" and "/croissant.json" in path else None

    def sweep() -> None:
        proxy.fault = lambda method, path: None
        with monkeypatch.context() as impatient:
            impatient.setattr(writer, "ABANDONED_AFTER", timedelta(seconds=-1))
            publish(dataset(1), "toy", root)

    with pytest.raises(StorageError, match="removed as abandoned; publish again"):
        publish(dataset(0), "toy", root)
    assert [snapshot.version for snapshot in snapshots_below(root)] == [2]
    assert {name.split("/")[1] for name in names_below(root)} == {"v0002"}


@pytest.mark.parametrize("seed", [2])
def test_a_store_that_fails_a_tenth_of_its_requests_is_no_hindrance(
    seed: int, dataset: Dataset, root: str, proxy: Any, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    faults: list[Any] = ["before", "after", "cut"]
    proxy.fault = lambda method, path: rng.choice(faults) if rng.random() < 0.1 else None
    for number in (0, 1):
        snapshot, is_new = publish(dataset(number), "toy", root)
        assert (snapshot.version, is_new) == (number + 1, True)
        assert verify(snapshot) == []
    assert publish(dataset(1), "toy", root)[1] is False
    assert [snapshot.version for snapshot in snapshots_below(root)] == [1, 2]
    assert verify(pull(snapshot, tmp_path)[0]) == []
    assert not any(".publishing" in name for name in names_below(root))


@pytest.mark.parametrize("file", [".publishing/v0001", "v0001/manifest.json"])
def test_a_write_that_was_done_but_not_confirmed_counts_as_ours(
    file: str, dataset: Dataset, root: str, proxy: Any
) -> None:
    unconfirmed = iter([True])
    proxy.fault = lambda method, path: "after" if method == "PUT" and file in path and next(unconfirmed, 0) else None
    snapshot, is_new = publish(dataset(0), "toy", root)
    assert (snapshot.version, is_new) == (1, True)
    assert [found.version for found in snapshots_below(root)] == [1]


def test_a_store_that_ignores_create_only_is_refused(dataset: Dataset, root: str, proxy: Any) -> None:
    proxy.dropped_headers = {"if-none-match"}
    with pytest.raises(StorageError, match=r"ignores If-None-Match.*two publishers could mix"):
        publish(dataset(0), "toy", root)
    assert snapshots_below(root) == []


def test_a_failed_publication_leaves_nothing(dataset: Dataset, root: str, proxy: Any) -> None:
    monkey = storage._RETRY["max_retries"]
    storage._RETRY["max_retries"] = 0
    proxy.fault = lambda method, path: "before" if method == "PUT" and "README.md" in path else None
    try:
        with pytest.raises(StorageError, match=r"/toy/v0001/README.md: the store answered"):
            publish(dataset(0), "toy", root)
    finally:
        storage._RETRY["max_retries"] = monkey
    assert names_below(root) == set()


def test_an_interrupted_pull_goes_on_in_the_middle_of_the_file(
    dataset: Dataset, root: str, proxy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, _ = publish(dataset(0), "toy", root)
    monkeypatch.setattr(storage, "_BLOCK_BYTES", 1000)
    seen: list[int] = []

    def stop(n: int) -> None:
        seen.append(n)
        if sum(seen) > 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(source, tmp_path, stop)
    assert list(tmp_path.glob("toy/v*")) == []
    proxy.requests.clear()
    pulled, is_new = pull(source, tmp_path)
    assert (is_new, verify(pulled)) == (True, [])
    sizes = sum(file.size_bytes for name, file in source.folder.files().items() if name != "manifest.json")
    asked_for = [range_ for method, path, range_ in proxy.requests if range_]
    assert sum(int(r.split("-")[1]) - int(r.split("=")[1].split("-")[0]) + 1 for r in asked_for) <= sizes - 5000
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["v0001"]


def test_a_byte_changed_in_the_store_is_named_by_verify_and_refused_by_pull(
    dataset: Dataset, root: str, tmp_path: Path
) -> None:
    source, _ = publish(dataset(0), "toy", root)
    content = bytearray(source.folder.read("frames.parquet") or b"")
    content[100] ^= 4
    source.folder.write("frames.parquet", bytes(content))
    assert [problem.split(":")[0] for problem in verify(source)] == ["frames.parquet"]
    with pytest.raises(InvalidSnapshotError, match=r"frames.parquet: its bytes are not the ones"):
        pull(source, tmp_path)
    assert list(tmp_path.glob("toy/v*")) == []


def test_what_a_store_cannot_do_is_said_in_one_line(
    dataset: Dataset, root: str, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(place: str) -> str:
        with pytest.raises(PipelineError) as caught:
            publish(dataset(0), "toy", place)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no such bucket" in error("s3://no-such-bucket/x")
    assert "not an address of an object store" in error("ftp://host/x")
    monkeypatch.setitem(storage._RETRY, "max_retries", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "check the network and the endpoint" in error(root)
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert "AWS_ALLOW_HTTP=true" in error(root)


def test_what_reads_from_a_disk_says_to_pull_first(dataset: Dataset, root: str) -> None:
    with pytest.raises(UsageError, match=r"s3://bucket/x: is in an object store.*dataset pull s3://bucket/x"):
        open_snapshot(Path("s3://bucket/x"))
    with pytest.raises(UsageError, match="dataset pull"):
        publish(dataset(0), "toy", root)[0].read("movies")
