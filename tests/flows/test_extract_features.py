"""The flow on a real Prefect server: in one process, and on a Dask cluster that loses a worker half-way.

It starts a server and a cluster, so it is a long test (`make test-long`).
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import distributed
import pytest

from dataset.errors import UsageError
from dataset.feature_schema import FrameFeature
from dataset.snapshots.snapshot import latest
from dataset.tables import read_table
from flows.config import PICTURES_A_SHARD
from flows.extraction import extract_features
from flows.runners import task_runner

OPTIONS = {
    "extractor": "mobilenet_v3_small",
    "weights": "random:0",
    "precision": "fp32",
    "pictures_a_shard": 2,
    "threads": 1,
}


@pytest.mark.long
@pytest.mark.usefixtures("server")
@pytest.mark.filterwarnings("default")  # Dask and Prefect have warnings of their own when a worker is lost
def test_one_process_and_a_cluster_that_loses_a_worker_give_the_same_table(
    make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    raw = make_raw()
    table = raw / "features" / "frame_features.parquet"
    extract_features.with_options(task_runner=task_runner("local"))(
        raw=raw, dataset=None, store=tmp_path / "one", **OPTIONS
    )
    alone = table.read_bytes()
    table.unlink()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        lost = threading.Thread(target=_kill_a_worker, args=(cluster, tmp_path / "two"))
        lost.start()
        runner = task_runner(f"dask:{cluster.scheduler_address}")
        extract_features.with_options(task_runner=runner)(raw=raw, dataset=None, store=tmp_path / "two", **OPTIONS)
        lost.join()
    assert read_table(table, FrameFeature).height == len(list((raw / "pictures").iterdir()))
    assert table.read_bytes() == alone


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_a_whole_flow_on_a_cluster_that_loses_a_worker_publishes_the_same_snapshot(start_flow, ports, tmp_path):
    port = ports(4)
    size = {"sandbox_users": 120, "sandbox_movies": 60, "sandbox_port": port, "name": "made"}
    calm = start_flow(data=str(tmp_path / "calm"), **size)
    told, _ = calm.communicate()
    assert calm.returncode == 0, told
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        lost = threading.Thread(target=_kill_a_worker, args=(cluster, tmp_path / "hunted" / "features", 1))
        lost.start()
        hunted = start_flow(data=str(tmp_path / "hunted"), runner=f"dask:{cluster.scheduler_address}", **size)
        told, _ = hunted.communicate()
        assert hunted.returncode == 0, told
        lost.join()
    one, other = (latest(tmp_path / name / "snapshots", "made") for name in ("calm", "hunted"))
    assert one.manifest.tables["frame_features"].rows > PICTURES_A_SHARD
    assert other.content_digest == one.content_digest


def _kill_a_worker(cluster: distributed.LocalCluster, store: Path, n_shards: int = 3) -> None:
    while len(list(store.glob("*/*.parquet"))) < n_shards:
        time.sleep(0.02)
    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)


def test_an_unknown_runner_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="unknown runner 'slurm'; choose local, dask or dask:<address>"):
        task_runner("slurm")


@pytest.mark.long
def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(UsageError, match="no Dask scheduler answers at this address"):
        task_runner("dask:tcp://127.0.0.1:9")
