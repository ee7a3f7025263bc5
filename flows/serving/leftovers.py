"""What a stop, a kill or a reboot left on the server: runs that nobody executes any more, and runs that were missed."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed, Scheduled

from dataset.cli import say

_MOST_STARTS = 5
"""A run that was interrupted so often is not started again: it may be what stops the machine."""


def continue_interrupted_runs(client: SyncPrefectClient, deployments: dict[str, UUID]) -> None:
    """Start again the runs that were interrupted; each continues where it stopped.

    Args:
        client: a client of a server that has just been started here, so nobody else executes its runs.
        deployments: ids of deployments, by label.
    """
    for label, id_ in deployments.items():
        for run in _runs(client, id_, {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}):
            is_again = run.run_count < _MOST_STARTS
            words = "Interrupted by a stop, a kill or a reboot."
            client.set_flow_run_state(run.id, Scheduled(message=words) if is_again else Crashed(message=words), True)
            say(f"{label}: run {run.name} was interrupted; {'it continues' if is_again else 'it is not started again'}")


def skip_all_but_the_last_missed_run(client: SyncPrefectClient, deployments: dict[str, UUID]) -> None:
    """Cancel runs of schedules that nobody executed in time, except the last one of each deployment."""
    for label, id_ in deployments.items():
        overdue = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"before_": datetime.now(UTC)}}
        earlier = [run for run in _runs(client, id_, overdue) if run.auto_scheduled and not run.run_count][1:]
        for run in earlier:
            client.set_flow_run_state(run.id, Cancelled(message="Missed while nothing served it; a later run follows."))
        if earlier:
            say(f"{label}: {len(earlier):,} missed runs are skipped; the last one that was missed runs now")


def _runs(client: SyncPrefectClient, deployment_id: UUID, which: dict[str, Any]) -> list[FlowRun]:
    """Return runs of a deployment, the latest first."""
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment_id]}}),
        flow_run_filter=FlowRunFilter.model_validate(which),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
