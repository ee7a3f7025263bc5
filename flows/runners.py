"""Runners: functions run in this process, in processes of this machine, or on the workers of a Dask cluster.

Only Dask speaks to the workers. They need no connection to the Prefect server, and do not get its login.
"""

import os
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from dataset.errors import PipelineError, UsageError

LOCAL = "local"
_CONNECT_TIMEOUT_S = 10
_CORES_PER_WORKER = 4


@contextmanager
def executor(name: str) -> Iterator[Executor]:
    """Yield an executor, whose functions run where the runner says; what has not begun at the end is cancelled.

    A function whose worker is lost runs again on another one.

    Args:
        name: `local`: one function at a time in this process. `dask`: a cluster of processes on this machine, started
            for this context. `dask:<address>`: an existing cluster, for example `dask:tcp://10.0.0.1:8786`. Its
            workers must have this project installed.

    Raises:
        UsageError: the name is unknown, or no scheduler answers at the address.
        PipelineError: the cluster was lost, or its workers cannot run what they are sent.
    """
    if name == LOCAL:
        pool = ThreadPoolExecutor(1)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    kind, _, address = name.partition(":")
    if kind != "dask":
        raise UsageError(f"unknown runner {name!r}; choose local, dask or dask:<address>")
    with _cluster(address) as client, explained(name):
        yield client.get_executor(pure=False)


def local_cluster(**options: Any) -> Any:
    """Start a Dask cluster on this machine, which only this process can use; `options` are those of `LocalCluster`."""
    import dask
    import distributed  # takes a second

    dask.config.set({"distributed.scheduler.http.routes": []})  # no pages: they ask for no login
    n_cores = os.cpu_count() or 1
    n_workers = max(2, n_cores // _CORES_PER_WORKER)
    ours = {
        "n_workers": n_workers,
        "threads_per_worker": max(1, n_cores // n_workers),
        "dashboard_address": None,
        "security": True,  # a certificate for this run: a scheduler without one runs what any local user sends
    }
    return distributed.LocalCluster(**ours | options)  # type: ignore[no-untyped-call]


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Yield a client of the cluster at an address, or of one that is started on this machine."""
    import distributed

    if not address:
        with local_cluster() as cluster, distributed.Client(cluster) as client:  # type: ignore[no-untyped-call]
            yield client
        return
    try:
        client = distributed.Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"runner 'dask:{address}': no Dask scheduler answers at this address ({error}); start one with "
            "`dask scheduler`"
        ) from None
    try:
        yield client
    finally:
        with suppress(OSError):
            client.close()  # type: ignore[no-untyped-call]


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn errors of Dask into one line."""
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise PipelineError(
            f"runner {name!r}: {error.allowed_failures + 1} workers were lost with the same shard, which may need more "
            "memory than a worker has; see the workers' logs, then run again to continue"
        ) from None
    except CancelledError:
        raise PipelineError(f"runner {name!r}: the cluster was lost; start it, then run again to continue") from None
    except RuntimeError as error:
        if "deserializ" not in str(error):
            raise
        raise PipelineError(
            f"runner {name!r}: a worker cannot run what it was sent ({error.__cause__ or error}); install the same "
            "version of this project and of Python on all workers"
        ) from None
