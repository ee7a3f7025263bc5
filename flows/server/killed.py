"""Ends the runs whose processes were killed together with the server, which could not notice it.

Prefect would show them as running for ever. They also hold their deployment for up to five minutes, so that no other
run of it starts.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_VARIABLE = b"PREFECT__FLOW_RUN_ID="
_WHY = "It was killed together with its server. The next run continues where it stopped."


def end_killed_runs() -> list[FlowRun]:
    """Set the runs of served deployments that have no process any more to `Crashed`, and return them.

    Call it only for a server that was just started on this machine: all runs of its deployments without a work pool
    are processes of this machine. Where a system does not tell the environment of processes, no run is ended.
    """
    if not sys.platform.startswith("linux"):
        return []
    alive = set(_runs_with_a_process())
    active = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE)),
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=active)
        killed = [run for run in runs if run.work_pool_name is None and run.id not in alive]
        for run in killed:
            client.set_flow_run_state(run.id, Crashed(message=_WHY))
    return killed


def _runs_with_a_process() -> Iterator[UUID]:
    """Yield the runs that processes of this user carry out."""
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = place.read_bytes().split(b"\0") if place.stat().st_uid == os.geteuid() else []
        except OSError:  # the process has ended
            continue
        yield from (UUID(one.removeprefix(_VARIABLE).decode()) for one in variables if one.startswith(_VARIABLE))
