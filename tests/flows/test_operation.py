"""What an operator sees: killed runs, errors in one line, and what Prefect tells them through a webhook."""

import contextvars
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Running

from dataset.building.build import DatasetConfig, build
from dataset.errors import MissingInputError
from flows.messages.events import HELD, PUBLISHED, REFUSED, emit
from flows.messages.logs import OneLine
from flows.publish_snapshot import publish_snapshot
from flows.server.killed import end_killed_runs

README = Path(__file__).resolve().parents[2] / "flows" / "README.md"
only_on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the environment of processes")


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


@only_on_linux
def test_a_killed_run_is_crashed_and_frees_its_deployment(client: SyncPrefectClient) -> None:
    deployment = nothing.to_deployment("killed", concurrency_limit=1, _sync=True).apply(_sync=True)
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


@only_on_linux
def test_a_run_that_has_a_process_goes_on(client: SyncPrefectClient) -> None:
    run = started(client, nothing.to_deployment("alive", _sync=True).apply(_sync=True))
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


# --- errors ------------------------------------------------------------------------------------


@task
def missing() -> None:
    raise MissingInputError("ratings.csv: no such file; give another one")


@flow
def failing() -> None:
    missing()


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """The records that Prefect's loggers of runs pass on, at any level."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(f"prefect.{name}") for name in ("flow_runs", "task_runs")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.usefixtures("client")
def test_an_error_is_one_line_and_its_traceback_is_at_debug_level(logged: list[logging.LogRecord]) -> None:
    with pytest.raises(MissingInputError):
        failing()
    (error,) = (record for record in logged if record.levelno >= logging.WARNING)
    assert error.getMessage() == "ratings.csv: no such file; give another one"
    assert not [record for record in logged if record.exc_info and record.levelno > logging.DEBUG]
    logged.clear()
    loggers = [logging.getLogger(f"prefect.{name}") for name in ("flow_runs", "task_runs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    with pytest.raises(MissingInputError):
        failing()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    assert [record for record in logged if record.exc_info and record.levelno == logging.DEBUG]


def test_a_bug_keeps_its_traceback() -> None:
    record = logging.makeLogRecord({"levelno": logging.ERROR, "msg": "Encountered exception during execution: %r"})
    record.args, record.exc_info = (ValueError(),), (ValueError, ValueError(), None)
    assert OneLine().filter(record)
    assert record.exc_info
    assert "ValueError" in record.getMessage()


# --- being told --------------------------------------------------------------------------------


class _Receiver(BaseHTTPRequestHandler):
    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _in_a_thread(function: Callable[[], None]) -> None:
    """Call a function where no event loop runs, as in a user's Python; a browser's test may leave one behind."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(contextvars.copy_context().run, function).result()


@pytest.mark.usefixtures("client")
def test_the_readmes_hooks_tell_a_receiver_what_happened() -> None:
    (recipe,) = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    with HTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
        _in_a_thread(lambda: exec(recipe.replace("https://chat.example.org/hooks/lab", address), {}))
        emit(HELD, "lab", reason='lab: held: 5 of 10 "users"')
        emit(REFUSED, "lab", stage="ratings", reason="the movie host refuses us")
        emit(PUBLISHED, "lab", version=3, digest="abc")
        with pytest.raises(MissingInputError):
            failing()
        wanted = {
            'lab: held: 5 of 10 "users"',
            "lab: the movie host refuses us",
            "lab: new version 3",
            "failing failed: Flow run encountered an exception: MissingInputError: ratings.csv: no such file; give "
            "another one",
        }
        deadline = time.monotonic() + 120
        while not wanted <= set(_Receiver.received) and time.monotonic() < deadline:
            time.sleep(0.1)
        receiver.shutdown()
    assert wanted <= set(_Receiver.received)


# --- a version that is held --------------------------------------------------------------------


def test_a_held_version_is_on_prefects_page_and_can_be_released(
    client: SyncPrefectClient, make_raw: Callable[..., Path], tmp_path: Path, logged: list[logging.LogRecord]
) -> None:
    where: dict[str, Any] = {"dataset": tmp_path / "dataset", "name": "toy_set", "root": tmp_path / "snapshots"}
    raw = make_raw()
    build(raw, where["dataset"], DatasetConfig(k_user=1, k_item=1))
    assert publish_snapshot(**where).version == 1
    likes = pl.read_parquet(raw / "ratings.parquet").filter(pl.col("user_id") != "u00")
    likes.write_parquet(raw / "ratings.parquet")
    build(raw, where["dataset"], DatasetConfig(k_user=1, k_item=1))
    state = publish_snapshot(**where, return_state=True)
    assert re.search("toy_set: held, not published against toy_set v0001: .*1 of 13 users", str(state.message))
    (shown,) = client.request(
        "POST", "/artifacts/filter", json={"artifacts": {"key": {"any_": ["held-toy-set"]}}}
    ).json()
    assert "statistic n_users: 13 → 12" in shown["data"]
    (release,) = re.findall(r"--release ([0-9a-f]{12})", shown["data"])
    assert publish_snapshot(**where, release=release).version == 2
    assert any(re.match("It has lost .*1 of 13 users", record.getMessage()) for record in logged)
