"""A month of weekly runs, as an operator sees it: each run at the time that Prefect's schedule says, none slept for.

Between two runs, the ledger's times go back by a week, and the site changes.
"""

import copy
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from crawler.sandbox.answers import Answer
from crawler.sandbox.server import SandboxServer
from crawler.sandbox.world import World, WorldConfig, generate_world
from dataset.snapshots.snapshot import list_snapshots
from flows.build_dataset import build_dataset
from flows.parameters.allowed import VARIABLE, Allowed
from flows.server.killed import end_killed_runs
from flows.server.start import prefect_server

WEEK_S = 7 * 86_400
ENTRYPOINT = "flows/build_dataset.py:build_dataset"
ROOT = Path(__file__).resolve().parents[2]


class Month:
    """A deployment with a weekly schedule, and the site that it reads."""

    def __init__(self, client: SyncPrefectClient, environment: dict[str, str], folder: Path, port: int) -> None:
        self.client, self.folder, self._ports = client, folder, [port + offset for offset in range(4)]
        hosts = [f"http://127.0.0.1:{one}" for one in self._ports]
        self.site_urls = ",".join(hosts[:3])
        self.world = generate_world(WorldConfig(1, 30, 14, 14.0))
        allowed = Allowed(folders=(folder,), site_urls=(self.site_urls,))
        self.environment = {**environment, VARIABLE: allowed.to_json(), "PREFECT__FLOW_ENTRYPOINT": ENTRYPOINT}
        parameters = {
            "source": "douban",
            "name": "month",
            "data": str(folder),
            "contact": "a@example.org",
            "movies": list(self.world.seed_movie_ids),
            "site_urls": self.site_urls,
            "via": "html",
            "k": 2,
            "extractor": "mobilenet_v3_small",
            "weights": "random:0",
        }
        weekly = Cron("0 3 * * 1", timezone="UTC", parameters={"refresh": True})
        deployment = build_dataset.to_deployment(
            "month", parameters=parameters, schedules=[weekly], concurrency_limit=1, _sync=True
        )
        self.deployment: UUID = deployment.apply(_sync=True)
        self.runs = self._scheduled()

    def _scheduled(self) -> list[FlowRun]:
        wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[self.deployment]))
        deadline = time.monotonic() + 60
        while len(runs := self.client.read_flow_runs(flow_run_filter=wanted)) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        return sorted(runs, key=lambda run: run.expected_start_time or datetime.max.replace(tzinfo=UTC))

    def week(self, number: int, world: World, refuses: bool = False, kill: bool = False) -> tuple[str, str]:
        """Run the schedule's next run on the site as it is that week; return its state and message."""
        run = self.runs[number]
        self._let_a_week_pass()
        self.client.set_flow_run_state(run.id, Scheduled(scheduled_time=datetime.now(UTC)), force=True)
        with SandboxServer(world, self._ports, faults=_refuse if refuses else None):
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect.engine", str(run.id)],
                cwd=ROOT,
                env={**self.environment, "PREFECT__FLOW_RUN_ID": str(run.id)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            if kill:
                self._wait_until_it_crawls(process)
                os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate(timeout=600)
        print(output)
        if kill:
            assert [one.id for one in end_killed_runs()] == [run.id]
            self.client.request("DELETE", "/v2/concurrency_limits/crawl-douban")  # or wait a minute
        state = self.client.read_flow_run(run.id).state
        assert state is not None
        return state.type.value, str(state.message)

    def _let_a_week_pass(self) -> None:
        ledger = self.folder / "month" / "crawl" / "ledger.sqlite"
        if ledger.exists():
            with sqlite3.connect(ledger) as connection:
                connection.execute("UPDATE pages SET fetched_at = fetched_at - ?", (WEEK_S,))
            connection.close()

    def _wait_until_it_crawls(self, process: "subprocess.Popen[str]") -> None:
        archive = self.folder / "month" / "crawl" / "archive"
        before = {path: path.stat().st_size for path in archive.rglob("*")}
        deadline = time.monotonic() + 300
        while {path: path.stat().st_size for path in archive.rglob("*")} == before:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def versions(self) -> list[int]:
        """Return the numbers of the published versions."""
        return [one.manifest.version for one in list_snapshots(self.folder / "snapshots")]  # type: ignore[union-attr]

    def events(self, name: str, expected: int) -> int:
        """Return how many events of ours Prefect has stored, which it does some seconds after they come."""
        wanted, deadline = {"filter": {"event": {"name": [name]}}}, time.monotonic() + 60
        while True:
            found: int = self.client.request("POST", "/events/filter", json=wanted).json()["total"]
            if found >= expected or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def artifacts(self, key: str) -> list[dict[str, Any]]:
        """Return the artifacts that Prefect's page shows under a key."""
        wanted = {"artifacts": {"key": {"any_": [key]}}}
        found: list[dict[str, Any]] = self.client.request("POST", "/artifacts/filter", json=wanted).json()
        return found


def _refuse(request: Any, answer: Callable[[Any], Answer]) -> Answer:
    if request.target == "/robots.txt":
        return answer(request)
    return Answer(302, b"", headers=(("Location", "https://accounts.douban.com/passport/login"),))


def _with_marks(world: World, keep: Callable[[list[Any]], list[Any]]) -> World:
    """Return a world in which people have only some of their marks."""
    contents = copy.copy(world.contents)
    contents.ratings_of = {person: keep(marks) for person, marks in contents.ratings_of.items()}
    return replace(world, contents=contents)


@pytest.fixture
def month(ports: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS", "2")
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS", "8")
    environment = fast_prefect(tmp_path / "prefect", ports(1))
    with prefect_server(tmp_path / "prefect", environment["PREFECT_API_URL"]) as server:
        environment |= server.environment
        known = (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
        with temporary_settings({one: environment[one.name] for one in known}), get_client(sync_client=True) as client:
            yield Month(client, environment, tmp_path, ports(4))


def fast_prefect(home: Path, port: int) -> dict[str, str]:
    """Return the environment of runs on a new Prefect server."""
    python = os.pathsep.join(map(str, [ROOT, ROOT / "flows" / "public"]))
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**mine, "PYTHONPATH": python, "PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which runs were killed")
def test_a_month_of_weekly_runs_tells_its_story(month: Month) -> None:
    times = [run.expected_start_time for run in month.runs]
    assert all(later - earlier == timedelta(days=7) for earlier, later in pairwise(times))
    before = _with_marks(month.world, lambda marks: marks[2:])
    fewer = _with_marks(month.world, lambda marks: marks[: 2 * len(marks) // 3])

    state, message = month.week(0, before)
    assert (state, month.versions()) == ("COMPLETED", [1]), message
    state, message = month.week(1, month.world)  # people have marked two more movies
    assert (state, month.versions()) == ("COMPLETED", [1, 2]), message
    state, message = month.week(2, month.world)  # nothing new
    assert (state, month.versions()) == ("COMPLETED", [1, 2]), message
    state, message = month.week(3, month.world, refuses=True)
    assert (state, month.versions()) == ("FAILED", [1, 2]), message
    assert "refuses us" in message
    state, message = month.week(4, month.world, kill=True)
    assert (state, month.versions()) == ("CRASHED", [1, 2]), message
    state, message = month.week(5, month.world)  # goes on where the killed one stopped
    assert (state, month.versions()) == ("COMPLETED", [1, 2]), message
    state, message = month.week(6, fewer)
    assert (state, month.versions()) == ("FAILED", [1, 2]), message
    assert "month: held, not published against month v0002: " in message

    assert month.events("douban-keyframes.snapshot.published", 2) == 2
    assert month.events("douban-keyframes.crawl.refused", 1) == 1
    assert month.events("douban-keyframes.snapshot.held", 1) == 1
    (held,) = month.artifacts("held-month")
    assert "interactions: " in held["data"]
    moved = [one.manifest.config["split"]["strategy"] for one in list_snapshots(month.folder / "snapshots")]  # type: ignore[union-attr]
    assert moved == ["stable", "stable"]
