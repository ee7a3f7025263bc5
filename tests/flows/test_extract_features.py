"""The flow on a real Prefect server: in one process, and on a Dask cluster that loses a worker half-way.

It starts a server and a cluster, so it is a long test (`make test-long`).
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import distributed
import pytest
from distributed.scheduler import KilledWorker

from dataset.errors import PipelineError, UsageError
from dataset.feature_schema import FrameFeature
from dataset.snapshots.snapshot import latest
from dataset.tables import read_table
from flows.extraction import extract_features
from flows.parameters.config import PICTURES_A_SHARD
from flows.runners import executor, explained

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
    extract_features(raw=raw, dataset=None, store=tmp_path / "one", **OPTIONS)
    alone = table.read_bytes()
    table.unlink()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        lost = threading.Thread(target=_kill_a_worker, args=(cluster, tmp_path / "two"))
        lost.start()
        runner = f"dask:{cluster.scheduler_address}"
        extract_features(raw=raw, dataset=None, store=tmp_path / "two", runner=runner, **OPTIONS)
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
    with (
        pytest.raises(UsageError, match="unknown runner 'slurm'; choose local, dask or dask:<address>"),
        executor("slurm"),
    ):
        pass


@pytest.mark.long
def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with (
        pytest.raises(UsageError, match="no Dask scheduler answers at this address"),
        executor("dask:tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KilledWorker("a", None, 3), "4 workers were lost with the same shard, .* run again to continue"),
        (CancelledError(), "the cluster was lost; start it, then run again to continue"),
        (RuntimeError("Error during deserialization of the task graph"), "install the same version of this project"),
    ],
    ids=["killed", "lost", "other version"],
)
def test_an_error_of_a_cluster_is_one_line_with_the_remedy(error: Exception, told: str) -> None:
    with pytest.raises(PipelineError, match=f"runner 'dask:x': .*{told}") as raised, explained("dask:x"):
        raise error
    assert "\n" not in str(raised.value)


def test_another_error_of_a_shard_is_not_changed() -> None:
    with pytest.raises(RuntimeError, match="CUDA out of memory"), explained("dask:x"):
        raise RuntimeError("CUDA out of memory")
