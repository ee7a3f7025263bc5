"""What an operator sees: killed runs, errors in one line, and what Prefect tells them through a webhook."""

import asyncio
import contextvars
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
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
from flows import tasks
from flows.children import StageError, start
from flows.messages.events import HELD, PAUSED, PUBLISHED, REFUSED, emit
from flows.messages.logs import OneLine, stop_without_noise
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
def test_a_killed_run_whose_crawler_still_finishes_a_page_is_crashed(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(client, nothing.to_deployment("orphaned", _sync=True).apply(_sync=True))
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(run.id))
    with start([sys.executable, "-c", "print('up', flush=True); input()"], stdin=-1, stdout=-1) as crawler:
        monkeypatch.undo()
        assert crawler.stdout.readline() == b"up\n"
        assert run.id in {one.id for one in end_killed_runs()}


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


def test_a_stop_of_the_runner_logs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("asyncio")
    before = list(logger.filters)
    try:
        with warnings.catch_warnings():
            stop_without_noise()
        for error in (asyncio.CancelledError(), OSError("disk full")):
            logger.error("Exception in callback", exc_info=error)
    finally:
        logger.filters[:] = before
    (record,) = caplog.records
    assert "disk full" in str(record.exc_info)


# --- being told --------------------------------------------------------------------------------


class _Receiver(BaseHTTPRequestHandler):
    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Mailbox(StreamRequestHandler):
    """Receives e-mails, like a mail server that asks for no login."""

    received: ClassVar[list[Message]] = []

    def handle(self) -> None:
        self._say(220)
        while words := self.rfile.readline().split():
            if words[0].upper() == b"DATA":
                self._say(354)
                self.received.append(message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n"))))
            self._say(250)

    def _say(self, code: int) -> None:
        self.wfile.write(b"%d localhost\r\n" % code)


def _in_a_thread(function: Callable[[], None]) -> None:
    """Call a function where no event loop runs, as in a user's Python; a browser's test may leave one behind."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(contextvars.copy_context().run, function).result()


@pytest.mark.usefixtures("client")
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # in Apprise
def test_the_readmes_hooks_tell_a_chat_and_a_mailbox_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_id(text: str) -> str:
        return re.sub(r"^failing \(run [0-9a-f-]{36}\)", "failing", text.strip())

    def chats() -> set[str]:
        return set(map(without_id, _Receiver.received))

    def mails() -> set[str]:
        return {without_id(str(one.get_payload(decode=True), "utf-8")) for one in _Mailbox.received}  # type: ignore[arg-type]

    text = README.read_text("utf-8")
    (recipe,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    printed = dict(re.findall(r"^(LAB_\w+)='(.*?)' python hooks.py$", text, re.M))
    with (
        HTTPServer(("127.0.0.1", 0), _Receiver) as receiver,
        ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as mailbox,
    ):
        for one in (receiver, mailbox):
            threading.Thread(target=one.serve_forever, daemon=True).start()
        here = f"127.0.0.1:{receiver.server_address[1]}", f"127.0.0.1:{mailbox.server_address[1]}"
        chat = printed["LAB_CHAT"].replace("https://chat.example.org", f"http://{here[0]}")
        mail = printed["LAB_MAIL"].replace("mailtos://smtp.example.org:587", f"mailto://{here[1]}")
        monkeypatch.setenv("LAB_CHAT", chat)
        _in_a_thread(lambda: exec(recipe, {}))
        monkeypatch.setenv("LAB_MAIL", mail.replace("user=crawl@example.org&pass=…&", ""))
        _in_a_thread(lambda: exec(recipe, {}))  # again, with another address: nobody is told twice
        emit(PAUSED, "lab", stage="frames", reason="PAUSED: the movie host cannot be reached")
        emit(HELD, "lab", reason='lab: held: 5 of 10 "users"')
        emit(REFUSED, "lab", stage="ratings", reason="the movie host refuses us")
        emit(PUBLISHED, "lab", version=3, digest="abc")
        with pytest.raises(MissingInputError):
            failing()
        wanted = {
            "lab: PAUSED: the movie host cannot be reached",
            'lab: held: 5 of 10 "users"',
            "lab: the movie host refuses us",
            "lab: new version 3",
            "failing failed: Flow run encountered an exception: MissingInputError: ratings.csv: no such file; give "
            "another one",
        }
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (wanted <= chats() and wanted <= mails()):
            time.sleep(0.1)
        receiver.shutdown()
        mailbox.shutdown()
    assert wanted <= chats()
    assert wanted <= mails()
    assert _Receiver.received.count("lab: new version 3") == 1
    subjects = {(one["From"], one["To"], one["Subject"]) for one in _Mailbox.received}
    assert ("crawl@example.org", "you@example.org", "douban-keyframes.crawl.paused") in subjects


def test_a_crawl_that_waits_for_its_site_is_an_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks, "emit", lambda event, dataset, **payload: told.append({"event": event, **payload}))
    nobody = ",".join(["http://127.0.0.1:9"] * 3)
    options = {"site_urls": nobody, "movies": ("1",), "patience_h": 0.0002}
    with pytest.raises(StageError, match="nothing is lost: run the same command again to continue"):
        tasks.crawl.fn("ratings", tmp_path / "lab", options)
    assert {(one["event"], one["stage"]) for one in told} == {(PAUSED, "ratings")}
    assert told[0]["reason"].startswith("PAUSED: the movie host cannot be reached (")


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
    assert "(-p max_loss)" in shown["data"]
    assert "--" not in str(state.message)
    (release,) = re.findall(r"""-p 'release="([0-9a-f]{12})"'""", shown["data"])
    assert publish_snapshot(**where, release=release).version == 2
    assert any(re.match("It has lost .*1 of 13 users", record.getMessage()) for record in logged)
