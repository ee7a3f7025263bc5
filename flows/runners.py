"""Task runners: tasks run in this process or on a Dask cluster."""

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from dataset.errors import UsageError

LOCAL = "local"
_CONNECT_TIMEOUT_S = 10
_CORES_PER_WORKER = 4


def task_runner(name: str) -> TaskRunner[Any]:
    """Return the task runner with this name.

    Args:
        name: `local`: one task at a time in this process. `dask`: a cluster of processes on this machine,
            started for the flow. `dask:<address>`: an existing cluster, for example
            `dask:tcp://10.0.0.1:8786`. Its workers must have this project installed and see the same
            folders at the same paths.

    Raises:
        UsageError: the name is unknown, or no scheduler answers at the address.
    """
    if name == LOCAL:
        return ThreadPoolTaskRunner(max_workers=1)
    import dask
    import distributed  # takes a second
    from prefect_dask.task_runners import DaskTaskRunner

    kind, _, address = name.partition(":")
    if kind != "dask":
        raise UsageError(f"unknown runner {name!r}; choose local, dask or dask:<address>")
    if not address:
        n_cores = os.cpu_count() or 1
        n_workers = max(2, n_cores // _CORES_PER_WORKER)
        threads = max(1, n_cores // n_workers)
        dask.config.set({"distributed.scheduler.http.routes": []})  # no pages: they ask for no login
        options = {
            "n_workers": n_workers,
            "threads_per_worker": threads,
            "dashboard_address": None,
            "security": True,  # a certificate for this run: a scheduler without one runs what any local user sends
        }
        return DaskTaskRunner(cluster_kwargs=options)
    try:
        distributed.Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False).close()  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"runner {name!r}: no Dask scheduler answers at this address ({error}); start one with `dask scheduler`"
        ) from None
    return DaskTaskRunner(address=address)
