"""What a stop, a kill or a reboot left on the server: runs that nobody executes any more, and runs that were missed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Scheduled

from dataset.cli import say

_MOST_STARTS = 5
"""A run that was interrupted so often is not started again: it may be what stops the machine."""


def continue_runs(client: SyncPrefectClient, interrupted: Iterable[FlowRun], deployments: dict[str, UUID]) -> None:
    """Start runs again that a stop, a kill or a reboot has interrupted; each continues where it stopped.

    Args:
        client: a client of their server.
        interrupted: the runs, which nobody executes any more.
        deployments: ids of the deployments that are served here, by label.
    """
    labels = {id_: label for label, id_ in deployments.items()}
    for run in interrupted:
        is_wanted = run.state_type != StateType.CANCELLING and run.run_count < _MOST_STARTS
        if run.deployment_id in labels and is_wanted:
            client.set_flow_run_state(run.id, Scheduled(message="Interrupted by a stop, a kill or a reboot."), True)
            say(f"{labels[run.deployment_id]}: run {run.name} was interrupted; it continues")
        else:
            say(f"{run.name}: was killed together with the server before; it is marked as crashed.")


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
