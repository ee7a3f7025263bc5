"""What an operator has set on a Prefect server stays when deployments are registered again; nobody else takes them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.states import Crashed

from dataset.errors import UsageError
from flows.serving.deployments import DEPLOYMENTS, Deployment
from flows.serving.registration import register

Change = Callable[[SyncPrefectClient, DeploymentResponse], object]
MONDAYS = CronSchedule(cron="0 3 * * 1", timezone="UTC")


@pytest.fixture
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def lab(client: SyncPrefectClient, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment with a name of its own, as a settings file with a schedule gives it."""
    name = f"lab-{abs(hash(request.node.name))}"
    parameters = {"source": "import", "name": "lab"}
    deployment = Deployment(DEPLOYMENTS[0].flow, name, "A lab.", parameters, MONDAYS, is_on=True)
    yield deployment
    client.delete_deployment(found(client, deployment).id)


def found(client: SyncPrefectClient, deployment: Deployment) -> DeploymentResponse:
    return client.read_deployment_by_name(deployment.label)


def settings_of(deployment: DeploymentResponse) -> Any:
    """What an operator can set: pauses, schedules and tags."""
    schedules = sorted((str(one.schedule), one.active) for one in deployment.schedules)
    return deployment.paused, schedules, sorted(deployment.tags)


def the_schedule(deployment: DeploymentResponse) -> UUID:
    return deployment.schedules[0].id


CHANGES: dict[str, Change] = {
    "a schedule is switched off": lambda client, lab: client.update_deployment_schedule(
        lab.id, the_schedule(lab), active=False
    ),
    "a schedule is at another time": lambda client, lab: client.update_deployment_schedule(
        lab.id, the_schedule(lab), schedule=CronSchedule(cron="30 4 * * 2", timezone="Asia/Shanghai")
    ),
    "a schedule is deleted": lambda client, lab: client.delete_deployment_schedule(lab.id, the_schedule(lab)),
    "a schedule is added": lambda client, lab: client.create_deployment_schedules(
        lab.id, [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=3)), active=True)]
    ),
    "the deployment is paused": lambda client, lab: client.pause_deployment(lab.id),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_the_operator_has_set_is_as_set_after_a_restart(
    change: Change, client: SyncPrefectClient, lab: Deployment
) -> None:
    register([lab])
    before = settings_of(found(client, lab))
    change(client, found(client, lab))
    changed = settings_of(found(client, lab))
    assert changed != before
    register([replace(lab, description="An upgrade.", parameters=lab.parameters | {"k": 3})])
    after = found(client, lab)
    assert settings_of(after) == changed
    assert (after.description, after.parameters["k"]) == ("An upgrade.", 3)


def test_a_resumed_schedule_of_the_project_stays_on(client: SyncPrefectClient, lab: Deployment) -> None:
    weekly = replace(lab, is_on=False)
    register([weekly])
    assert [one.active for one in found(client, lab).schedules] == [False]
    client.update_deployment_schedule(found(client, lab).id, the_schedule(found(client, lab)), active=True)
    register([weekly])
    assert [one.active for one in found(client, lab).schedules] == [True]


def test_another_schedule_in_the_file_replaces_the_earlier_one_and_stays_off(
    client: SyncPrefectClient, lab: Deployment
) -> None:
    register([lab])
    client.update_deployment_schedule(found(client, lab).id, the_schedule(found(client, lab)), active=False)
    daily = replace(lab, schedule=CronSchedule(cron="0 5 * * *", timezone="Europe/Berlin"))
    register([daily])
    (schedule,) = found(client, lab).schedules
    assert isinstance(schedule.schedule, CronSchedule)
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 5 * * *", "Europe/Berlin")
    assert not schedule.active
    register([replace(lab, schedule=None)])
    assert found(client, lab).schedules == []
    register([daily])
    assert [one.active for one in found(client, lab).schedules] == [True]


def test_a_registration_that_was_killed_before_its_schedule_was_set_is_completed(
    client: SyncPrefectClient, lab: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(SyncPrefectClient, "create_deployment_schedules", _killed)
        with pytest.raises(KeyboardInterrupt):
            register([lab])
    assert found(client, lab).schedules == []
    register([lab])
    assert [one.active for one in found(client, lab).schedules] == [True]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_deployments_that_an_older_version_paused_at_its_end_are_served_again(
    client: SyncPrefectClient, lab: Deployment
) -> None:
    old = lab.flow.to_deployment(lab.name, schedules=[], paused=True, _sync=True)
    old.apply(_sync=True)
    register([lab])
    assert not found(client, lab).paused


def test_what_is_scheduled_and_when_it_next_runs_is_said(
    client: SyncPrefectClient, lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    register([replace(lab, schedule=CronSchedule(cron="0 3 * * 1", timezone="Europe/Berlin"))])
    said = capsys.readouterr().out
    assert f"{lab.label}: 0 3 * * 1 (Europe/Berlin), next run on Monday, 20" in said
    assert said.rstrip().endswith(" 03:00")
    schedule = the_schedule(found(client, lab))
    client.update_deployment_schedule(found(client, lab).id, schedule, active=False)
    register([replace(lab, parameters={"source": "douban"})])
    assert f"off; to switch it on: prefect deployment schedule resume {lab.label} {schedule}" in capsys.readouterr().out
    client.update_deployment_schedule(found(client, lab).id, schedule, active=True)
    register([replace(lab, parameters={"source": "douban"})])
    assert "its runs will fail (source douban needs a contact" in capsys.readouterr().out


def test_a_second_checkout_is_refused_in_one_line_and_changes_nothing(
    client: SyncPrefectClient, lab: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register([lab])
    before = found(client, lab)
    monkeypatch.chdir(tmp_path)
    other = replace(lab, name=f"{lab.name}-b")
    with pytest.raises(UsageError, match=rf"^{lab.label}: belongs to another checkout \(.*\).*--suffix") as refused:
        register([other, replace(lab, description="Mine.")])
    assert "\n" not in str(refused.value)
    assert found(client, lab) == before
    register([other])  # under a name of its own
    assert {found(client, one).id for one in (lab, other)} == {before.id, found(client, other).id}
    register([lab], adopt=True)
    assert f":{tmp_path}" in found(client, lab).tags[0]
    client.delete_deployment(found(client, other).id)


def test_a_deployment_of_an_earlier_settings_file_is_named_with_the_command_that_removes_it(
    client: SyncPrefectClient, lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    old = replace(lab, name=f"{lab.name}-old")
    register([old])
    register([old, lab])
    assert "not served here" not in capsys.readouterr().out
    register([lab])
    assert f"{old.label} is registered, but not served here; to remove it: prefect deployment delete {old.label}" in (
        capsys.readouterr().out
    )
    client.delete_deployment(found(client, old).id)


def test_of_the_runs_that_were_missed_only_the_last_is_left(
    client: SyncPrefectClient, lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    register([lab])
    deployment = found(client, lab)
    often = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=1)), active=True)
    (added,) = client.create_deployment_schedules(deployment.id, [often])
    deadline = time.monotonic() + 120
    while len(client.get_scheduled_flow_runs_for_deployments([deployment.id], scheduled_before=datetime.now(UTC))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)  # the server makes them, and nobody executes them
    register([lab])
    said = capsys.readouterr().out
    client.delete_deployment_schedule(deployment.id, added.id)
    of_the_deployment = DeploymentFilter.model_validate({"id": {"any_": [deployment.id]}})
    skipped = [
        run for run in client.read_flow_runs(deployment_filter=of_the_deployment) if run.state_name == "Cancelled"
    ]
    assert len(skipped) >= 2
    assert f"{lab.label}: {len(skipped):,} missed runs are skipped; the last one that was missed runs now" in said


def test_a_run_that_was_interrupted_is_started_again_but_not_for_ever(
    client: SyncPrefectClient, lab: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    register([lab])
    run = client.create_flow_run_from_deployment(found(client, lab).id)
    client.set_flow_run_state(run.id, Crashed(), force=True)
    register([lab], interrupted=[run.model_copy(update={"run_count": 5})])
    assert client.read_flow_run(run.id).state_name == "Crashed"
    register([lab], interrupted=[run])
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert (state.type.value, state.message) == ("SCHEDULED", "Interrupted by a stop, a kill or a reboot.")
    assert f"{lab.label}: run {run.name} was interrupted; it continues" in capsys.readouterr().out
