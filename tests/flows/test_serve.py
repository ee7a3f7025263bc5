"""The flow on a real Prefect server, as a person runs it: serve in one terminal, run in another."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset.snapshot import latest, verify
from flows.server import is_healthy

ROOT = Path(__file__).resolve().parents[2]
PREFECT = [sys.executable, "-m", "prefect"]
SMALL_WORLD = ["sandbox_users=40", "sandbox_movies=12"]


def free_ports(count: int) -> int:
    """Return the first of `count` ports in a row that are free now."""
    for port in range(20000 + os.getpid() % 5000, 60000, count):
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run `python -m flows.serve` with a server of its own, until its deployments are there."""
    home = tmp_path_factory.mktemp("prefect")
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{free_ports(1)}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    log = (home / "serve.log").open("w")
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.serve"], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 150
        while "build-dataset/sandbox" not in prefect(environment, "deployment", "ls").stdout:
            assert serving.poll() is None, (home / "serve.log").read_text()
            assert time.monotonic() < deadline, (home / "serve.log").read_text()
        yield environment
    finally:
        serving.terminate()
        try:
            serving.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()
        log.close()


def prefect(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PREFECT, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def run_sandbox(environment: dict[str, str], data: Path, *parameters: str) -> "subprocess.CompletedProcess[str]":
    chosen = [f"data={data}", *SMALL_WORLD, *parameters]
    options = [part for parameter in chosen for part in ("-p", parameter)]
    return prefect(environment, "deployment", "run", "build-dataset/sandbox", "--watch", *options)


def test_a_deployment_run_publishes_and_a_second_one_says_that_nothing_changed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = f"sandbox_port={free_ports(3)}"
    first = run_sandbox(environment, tmp_path, port)
    assert first.returncode == 0, first.stdout + first.stderr
    snapshot = latest(tmp_path / "snapshots", "sandbox")
    assert snapshot is not None
    assert snapshot.version == 1
    assert verify(snapshot) == []
    assert snapshot.manifest.tables["frame_features"].rows == snapshot.manifest.tables["frames"].rows

    second = run_sandbox(environment, tmp_path, port)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing changed since snapshot sandbox v0001; nothing published." in " ".join(second.stdout.split())
    assert [path.name for path in (tmp_path / "snapshots" / "sandbox").iterdir()] == ["v0001"]


@pytest.mark.parametrize("parameter", ["k=-1", "source=elsewhere", "nonsense=1"])
def test_a_wrong_parameter_is_refused_before_anything_runs(
    parameter: str, environment: dict[str, str], tmp_path: Path
) -> None:
    done = run_sandbox(environment, tmp_path, parameter)
    assert done.returncode != 0
    assert parameter.split("=")[0] in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_running_after_the_end(tmp_path: Path) -> None:
    port = free_ports(1)
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    with (tmp_path / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "flows.serve"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 150
            while "being served" not in (tmp_path / "serve.log").read_text():
                assert serving.poll() is None, (tmp_path / "serve.log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
                time.sleep(0.2)
            assert is_healthy(environment["PREFECT_API_URL"])
        finally:
            serving.terminate()
            serving.wait(60)
    assert not is_healthy(environment["PREFECT_API_URL"])
