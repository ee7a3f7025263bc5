"""Runs that were killed together with their server are ended when it starts again, so that the next run can start."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Running

from flows.server.killed import end_killed_runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the environment of processes")


@flow
def nothing() -> None:
    """A flow that nobody runs."""


@pytest.fixture
def client(server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    login = {PREFECT_API_URL: server["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: server["PREFECT_API_AUTH_STRING"]}
    with temporary_settings(login), get_client(sync_client=True) as client:
        yield client


def started(client: SyncPrefectClient, deployment: object) -> FlowRun:
    run = client.create_flow_run_from_deployment(deployment)
    client.set_flow_run_state(run.id, Pending())
    client.set_flow_run_state(run.id, Running())
    return client.read_flow_run(run.id)


def test_a_killed_run_is_crashed_and_frees_its_deployment(client: SyncPrefectClient) -> None:
    deployment = nothing.to_deployment("killed", concurrency_limit=1).apply()
    dead = started(client, deployment)
    assert dead.state_type == StateType.RUNNING
    assert started(client, deployment).state_type != StateType.RUNNING  # the dead one holds the deployment
    ended = {run.id: run for run in end_killed_runs()}
    assert dead.id in ended
    run = client.read_flow_run(dead.id)
    assert run.state_type == StateType.CRASHED
    assert "continues where it stopped" in str(run.state.message if run.state else "")
    assert started(client, deployment).state_type == StateType.RUNNING
    end_killed_runs()


def test_a_run_that_has_a_process_goes_on(client: SyncPrefectClient) -> None:
    run = started(client, nothing.to_deployment("alive").apply())
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PREFECT__FLOW_RUN_ID": str(run.id)},
    )
    try:
        assert run.id not in {one.id for one in end_killed_runs()}
        assert client.read_flow_run(run.id).state_type == StateType.RUNNING
    finally:
        process.communicate(b"\n")
    assert run.id in {one.id for one in end_killed_runs()}
