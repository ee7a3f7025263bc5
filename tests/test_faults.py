"""Faults of the machine: each ends in one clear line and loses nothing that was committed; after a repair, the
same command continues.

The tests' names say which fault. Disks are small tmpfs mounts, which need root on Linux.
"""

import importlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import WorldConfig, generate_world
from dataset import storage
from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.errors import StorageError
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import latest, list_snapshots
from dataset.snapshots.verify import verify

ROOT = Path(__file__).resolve().parents[1]
KIB = 1024


class Disk:
    """A small disk that can be full, read-only, or made larger."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self._mount("size=16m", "-t", "tmpfs", "tmpfs")

    def fill(self, free_bytes=0):
        left = os.statvfs(self.path)
        with (self.path / "filler").open("wb") as filler:
            filler.write(bytes(left.f_bavail * left.f_frsize - free_bytes))

    def make_room(self):
        (self.path / "filler").unlink()

    def make_read_only(self):
        self._mount("remount,ro")

    def make_writable(self):
        self._mount("remount,rw")

    def close(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)

    def _mount(self, options, *more):
        subprocess.run(["mount", "-o", options, *more, self.path], check=True)


@pytest.fixture
def disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    try:
        disk = Disk(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine does not let root mount a tmpfs ({error})")
    yield disk
    disk.close()


@pytest.fixture(scope="module")
def site():
    """Serve a small sandbox; give the crawler's options for it."""
    world = generate_world(WorldConfig(seed=1, n_users=40, n_movies=12))
    with SandboxServer(world) as server:
        urls = ",".join((server.site.movie, server.site.www, server.site.images))
        yield [f"--site-urls={urls}", f"--movies={','.join(world.seed_movie_ids)}"]


def run(*arguments, status=0):
    """Run `python -m …` as a process; return its output, or its one line of error."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if status:
        (line,) = done.stderr.strip().splitlines()[-1:]
        return line
    return done.stdout


def run_here(program, *arguments):
    """Run `python -m program …` in this process, which has imported most of it already; it must succeed."""
    module = program if "." in program else f"{program}.__main__"
    importlib.import_module(module).main([*map(str, arguments)])


def damage(disk, fault, free_bytes=0):
    disk.fill(free_bytes) if fault == "full" else disk.make_read_only()


def repair(disk, fault):
    disk.make_room() if fault == "full" else disk.make_writable()


FAULTS = pytest.mark.parametrize("fault", ["full", "read_only"])


@FAULTS
def test_a_disk_that_is_full_or_read_only_while_crawling(fault, disk, site):
    crawl = ["--crawl", disk.path / "crawl"]
    run("crawler", "ratings", *crawl, *site, "--max-requests", 20)
    damage(disk, fault)
    assert str(disk.path) in run("crawler", "ratings", *crawl, *site, status=1)
    repair(disk, fault)
    run("crawler", "ratings", *crawl, *site)
    assert "pending" in run("crawler", "status", *crawl)


@FAULTS
def test_a_disk_that_is_full_or_read_only_while_building(fault, disk, make_raw, capsys):
    dataset = disk.path / "dataset"
    command = ["dataset", "build", "--raw", make_raw(), "--to", dataset]
    damage(disk, fault, free_bytes=8 * KIB)
    line = run(*command, status=1)
    assert "cannot be written" in line
    assert str(dataset) in line
    repair(disk, fault)
    run_here(*command)
    assert "Built" in capsys.readouterr().out


@FAULTS
def test_a_disk_that_is_full_or_read_only_while_publishing(fault, disk, make_dataset, capsys):
    command = ["dataset", "publish", "--dataset", make_dataset(), "--name", "made", "--root", disk.path / "snapshots"]
    damage(disk, fault, free_bytes=16 * KIB)
    assert "cannot be written" in run(*command, status=1)
    run_here("dataset", "list", "--root", disk.path / "snapshots")
    assert "No snapshot" in capsys.readouterr().out
    repair(disk, fault)
    run_here(*command)
    assert "Published made v0001" in capsys.readouterr().out


@FAULTS
def test_a_disk_that_is_full_or_read_only_while_training(fault, disk, make_dataset, tmp_path):
    publish(make_dataset(), "made", tmp_path)
    options = ["--snapshot", tmp_path / "made" / "v0001", "--runs", disk.path / "runs"]
    damage(disk, fault, free_bytes=4 * KIB)
    assert "cannot be written" in run("model.train", "--model", "popular", *options, status=1)
    repair(disk, fault)
    run_here("model.train", "--model", "popular", *options)


def test_a_corrupted_page_of_the_ledger_is_named_and_the_archive_brings_the_tables_back(site, tmp_path):
    crawl = ["--crawl", tmp_path / "crawl"]
    run("crawler", "ratings", *crawl, *site)
    run("crawler", "export", *crawl, "--to", tmp_path / "before")
    ledger = tmp_path / "crawl" / "ledger.sqlite"
    content = bytearray(ledger.read_bytes())
    for start in range(4096, len(content), 8192):
        content[start : start + 2048] = b"\xa5" * 2048
    ledger.write_bytes(content)
    line = run("crawler", "export", *crawl, "--to", tmp_path / "broken", status=1)
    assert str(ledger) in line
    assert "reparse" in line
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (tmp_path / "crawl" / name).unlink(missing_ok=True)
    run("crawler", "reparse", *crawl)
    run("crawler", "export", *crawl, "--to", tmp_path / "after")
    for name in ("ratings", "movies"):
        assert (tmp_path / "after" / f"{name}.parquet").read_bytes() == (
            tmp_path / "before" / f"{name}.parquet"
        ).read_bytes()


def test_a_clock_that_was_set_back_does_not_stop_a_crawl(site, tmp_path):
    crawl = ["--crawl", tmp_path / "crawl"]
    ahead = "import runpy, sys, time; now = time.time; time.time = lambda: now() + 30 * 86_400; "
    code = f"{ahead}sys.argv[1:] = {list(map(str, ['ratings', *crawl, *site, '--max-requests', 20]))!r}; "
    subprocess.run(
        [sys.executable, "-c", f"{code}runpy.run_module('crawler', run_name='__main__')"], cwd=ROOT, check=True
    )
    run("crawler", "ratings", *crawl, *site)
    run("crawler", "export", *crawl, "--to", tmp_path / "raw")


class Store:
    """An S3 server on loopback that can go away and come back, and keeps its contents."""

    def __init__(self):
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        _, self.port = self._server.get_host_and_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def go(self):
        self._server.stop()

    def come_back(self):
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()


@pytest.fixture
def store(s3_environment, monkeypatch):
    store = Store()
    for name, value in s3_environment(store.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(storage._RETRY, "retry_timeout", timedelta(seconds=2))
    yield store
    store.go()


def test_an_object_store_that_is_gone_while_publishing(store, make_raw, tmp_path):
    assert requests.put(f"{store.url}/bucket", timeout=30).ok
    first, second = (
        build(make_raw(), tmp_path / f"dataset-{seed}", DatasetConfig(split=SplitConfig(seed=seed))).path
        for seed in (0, 1)
    )
    publish(first, "made", "s3://bucket")
    store.go()
    with pytest.raises(StorageError) as refused:
        publish(second, "made", "s3://bucket")
    assert "s3://bucket" in str(refused.value)
    assert "\n" not in str(refused.value)
    store.come_back()
    assert [snapshot.label for snapshot in list_snapshots("s3://bucket")] == ["made v0001"]
    publish(second, "made", "s3://bucket")
    newest = latest("s3://bucket", "made")
    assert newest.version == 2
    assert verify(newest) == []


def test_a_corrupted_shard_of_features_is_put_aside_and_its_pictures_computed_again(make_dataset, tmp_path, capsys):
    dataset = make_dataset()
    (raw,) = tmp_path.glob("raw-*")
    command = ["features", "extract", "--raw", raw, "--dataset", dataset, "--store", tmp_path / "store"]
    command += ["--extractor", "mobilenet_v3_small", "--weights", "random:0"]
    run_here(*command)
    features = (dataset / "frame_features.parquet").read_bytes()
    (shard, *_) = (tmp_path / "store").glob("*/*.parquet")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    (dataset / "frame_features.parquet").unlink()
    capsys.readouterr()
    run_here(*command)
    assert "computed" in capsys.readouterr().out
    assert (dataset / "frame_features.parquet").read_bytes() == features
    assert list((tmp_path / "store").glob("*/*.corrupt"))
