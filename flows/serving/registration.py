"""Registers deployments on a Prefect server, and leaves there what its operator has set.

Pauses and schedules stay as the server has them: they survive a stop, a restart and an upgrade. A schedule is changed
only when this checkout declares another one than at its last registration. The tags of a deployment say which checkout
it belongs to, and which schedule was declared; no other checkout may register it.
"""

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from dataset.cli import say
from dataset.errors import UsageError
from flows.parameters.allowed import VARIABLE, Allowed
from flows.serving.deployments import SLUG, Deployment
from flows.serving.leftovers import continue_runs, skip_all_but_the_last_missed_run
from flows.serving.schedules import in_words

_CHECKOUT, _SCHEDULE = "checkout: ", "schedule: "
_Known = Mapping[str, DeploymentResponse]


@dataclass(frozen=True)
class Pool:
    """A work pool, whose workers run deployments.

    Attributes:
        name: its name.
        image: a container image with this project; None: it is installed where the workers run.
        folder: the folder on the workers' machines in which runs work; None: with an image, its own, else the current
            one.
        allowed: what runs may use.
    """

    name: str
    image: str | None = None
    folder: Path | None = None
    allowed: Allowed = field(default_factory=Allowed)


def register(
    deployments: Sequence[Deployment],
    adopt: bool = False,
    pool: Pool | None = None,
    interrupted: Sequence[FlowRun] = (),
) -> list[Any]:
    """Register deployments on the current Prefect server, and say when they run next.

    Args:
        deployments: what to register.
        adopt: take over what another checkout has registered.
        pool: the work pool whose workers run them; None: this process will serve them.
        interrupted: runs that nobody executes any more (`flows.server.killed`); they are started again.

    Returns:
        The deployments for `prefect.serve`.

    Raises:
        UsageError: one belongs to another checkout, or the server has no such pool.
    """
    with get_client(sync_client=True) as client:
        if pool:
            _check_pool(client, pool)
        checkout = _origin(pool)
        known = _known(client, deployments, checkout, adopt)
        made = [_registered(client, one, known.get(one.label), checkout, pool) for one in deployments]
        ids = {}
        for deployment in deployments:
            registered = client.read_deployment_by_name(deployment.label)
            ids[deployment.label] = registered.id
            for line in in_words(registered, deployment.label, deployment.config):
                say(line)
        if pool is None:
            _say_what_else_is_registered(client, checkout, set(ids.values()))
            skip_all_but_the_last_missed_run(client, ids)
        continue_runs(client, interrupted, ids)
    return made


def _registered(
    client: SyncPrefectClient,
    deployment: Deployment,
    known: DeploymentResponse | None,
    checkout: str,
    pool: Pool | None,
) -> Any:
    """Register a deployment; its schedule is set before the tag says so, because a kill can come between."""
    last_declared, declared = _tag(known, _SCHEDULE), _declared(deployment)
    others = [tag for tag in (known.tags if known else ()) if not tag.startswith((_CHECKOUT, _SCHEDULE))]
    tags = [_CHECKOUT + checkout, *others]
    options = {
        "name": deployment.name,
        "description": deployment.description,
        "parameters": deployment.parameters,
        # Older versions of this project paused all deployments when they ended, and wrote no tag.
        "paused": known is not None and known.paused and _tag(known, _CHECKOUT) is not None,
        "tags": tags if last_declared is None else [*tags, _SCHEDULE + last_declared],
        "concurrency_limit": 1,
    }
    one = _to_prefect(deployment, options, pool)
    one.model_fields_set.discard("schedules")  # else Prefect 3.8 deletes those that were made on its page
    id_ = one.apply(_sync=True)
    if declared != last_declared:
        _set_schedule(client, id_, deployment, last_declared)
        one.tags = [*tags, _SCHEDULE + declared]
        one.apply(_sync=True)
    return one


def _check_pool(client: SyncPrefectClient, pool: Pool) -> None:
    try:
        client.read_work_pool(pool.name)
    except ObjectNotFound:
        raise UsageError(
            f"unknown work pool {pool.name!r}; create it with: prefect work-pool create {pool.name} --type process"
        ) from None


def _origin(pool: Pool | None) -> str:
    """Return where runs take place: a folder of a machine, or a container image in any version."""
    if pool and pool.image:
        return re.sub(r"[:@][^/]*$", "", pool.image)
    return f"{socket.gethostname()}:{Path.cwd()}"


def _to_prefect(deployment: Deployment, options: dict[str, Any], pool: Pool | None) -> Any:
    flow: Any = deployment.flow  # `_sync`: Prefect decides by whether an event loop runs in this thread
    if pool is None:
        return flow.to_deployment(**options, _sync=True)
    folder = pool.folder or (None if pool.image else Path.cwd())
    variables: dict[str, Any] = {
        **({"image": pool.image} if pool.image else {}),
        **({"working_dir": str(folder)} if folder else {}),
    }
    if pool.allowed != Allowed():
        variables["env"] = {VARIABLE: pool.allowed.to_json()}
    # The workers' own installation of this project has the flow, wherever it is.
    options |= {"entrypoint_type": EntrypointType.MODULE_PATH, "job_variables": variables}
    return flow.to_deployment(**options, work_pool_name=pool.name, _sync=True)


def _known(client: SyncPrefectClient, deployments: Sequence[Deployment], checkout: str, adopt: bool) -> _Known:
    """Return what the server has of these deployments, by label."""
    known = {}
    for deployment in deployments:
        try:
            found = client.read_deployment_by_name(deployment.label)
        except ObjectNotFound:
            continue
        owner = _tag(found, _CHECKOUT)
        if owner not in (None, checkout) and not adopt:
            raise UsageError(
                f"{deployment.label}: belongs to another checkout ({owner}), whose runs would run here; register yours "
                "beside it: --suffix <name>; or, if that checkout has moved here: --adopt"
            )
        known[deployment.label] = found
    return known


def _say_what_else_is_registered(client: SyncPrefectClient, checkout: str, served: set[UUID]) -> None:
    """Name this checkout's other deployments, such as those of earlier settings files: nothing runs them here."""
    tags = DeploymentFilterTags(all_=[_CHECKOUT + checkout])
    for one in client.read_deployments(deployment_filter=DeploymentFilter(tags=tags)):
        if one.id not in served and one.work_pool_name is None:
            label = f"{client.read_flow(one.flow_id).name}/{one.name}"
            say(f"{label} is registered, but not served here; to remove it: prefect deployment delete {label}")


def _declared(deployment: Deployment) -> str:
    schedule = deployment.schedule
    return f"{schedule.cron} ({schedule.timezone})" if schedule else "none"


def _set_schedule(client: SyncPrefectClient, id_: UUID, deployment: Deployment, last_declared: str | None) -> None:
    new, schedules = deployment.new_schedule, client.read_deployment_schedules(id_)
    ours = next((one for one in schedules if one.slug == SLUG), None)
    if new is None:
        if ours and last_declared:
            client.delete_deployment_schedule(id_, ours.id)
    elif ours is None:
        client.create_deployment_schedules(id_, [new])
    else:
        # Of a schedule of an older version it is not known whether it was declared to be on.
        is_on = ours.active if last_declared else ours.active or new.active
        client.update_deployment_schedule(id_, ours.id, is_on, new.schedule)


def _tag(deployment: DeploymentResponse | None, prefix: str) -> str | None:
    tags = deployment.tags if deployment else ()
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), None)
