"""Real Prefect servers on loopback, and flows run on them as a person runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset.building.build import DatasetConfig, build
from flows.server import prefect_server

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"sandbox_users": 40, "sandbox_movies": 12, "extractor": "mobilenet_v3_small", "weights": "random:0"}
Environment = dict[str, str]
Done = subprocess.CompletedProcess[str]


# below those that the system hands out; each of the processes that test side by side has its own
_ports = iter(range(20_000 + 3_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 32_000, 3))


def free_ports(count: int) -> int:
    """Return the first of `count` ports (at most 3) in a row that are free now, and not given before."""
    for port in _ports:
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run a Prefect server for all tests; give the environment that points at it."""
    home = tmp_path_factory.mktemp("prefect")
    api_url = f"http://127.0.0.1:{free_ports(1)}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    with prefect_server(api_url, home / "server.log", home):
        yield environment


@pytest.fixture(scope="session")
def served(server: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run `python -m flows.serve` beside the server until its deployments are there."""
    path = tmp_path_factory.mktemp("serve") / "serve.log"
    log = path.open("w")
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.serve"], cwd=ROOT, env=server, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_until(lambda: "being served" in path.read_text(), lambda: serving.poll() is None, path.read_text)
        yield server
    finally:
        serving.terminate()
        try:
            serving.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(serving.pid, signal.SIGKILL)
            serving.wait()
        log.close()


def wait_until(is_true: Callable[[], bool], is_alive: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + 240
    while not is_true():
        assert is_alive(), told()
        assert time.monotonic() < deadline, told()
        time.sleep(0.2)


@pytest.fixture
def ports() -> Callable[[int], int]:
    """Return a function that gives the first of some free ports in a row."""
    return free_ports


@pytest.fixture(scope="session")
def prefect() -> Callable[..., Done]:
    """Return a function that runs a `prefect` command."""

    def command(environment: Environment, *arguments: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return command


@pytest.fixture
def make_dataset(make_raw: Callable[..., Path], tmp_path: Path) -> Callable[[], Path]:
    """Return a function that builds a small dataset folder."""
    return lambda: build(make_raw(), tmp_path / "dataset", DatasetConfig()).path


@pytest.fixture
def start_flow(server: Environment) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts `build_dataset` on a small sandbox, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(**parameters: object) -> "subprocess.Popen[str]":
        chosen = {"source": "sandbox", **SMALL, **parameters}
        code = f"from flows.build_dataset import build_dataset\nbuild_dataset(**{chosen!r})"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=server,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
