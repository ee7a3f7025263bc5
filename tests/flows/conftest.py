"""A real Prefect server on loopback, and flows run on it as a person runs them."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

from flows.server.start import prefect_server

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"sandbox_users": 40, "sandbox_movies": 12, "extractor": "mobilenet_v3_small", "weights": "random:0"}
Environment = dict[str, str]
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def server(ports: Callable[[int], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run a Prefect server for all tests of this process; give the environment that points at it."""
    home = tmp_path_factory.mktemp("prefect")
    environment = fast_prefect(home, ports(1))
    with prefect_server(home, environment["PREFECT_API_URL"]) as started:
        yield environment | started.environment


def fast_prefect(home: Path, port: int) -> Environment:
    """Return the environment of a new Prefect server and its clients, which poll often."""
    python = os.pathsep.join(map(str, [ROOT, ROOT / "flows" / "public"]))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PWD": str(ROOT),
        "PYTHONPATH": python,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="session")
def s3(s3_environment: Callable[[str], Environment]) -> Iterator[Environment]:
    """Run an S3 server with the bucket `bucket`; give the environment that leads to it."""
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    assert requests.put(f"http://{host}:{port}/bucket", timeout=30).ok
    yield s3_environment(f"http://{host}:{port}")
    store.stop()


@pytest.fixture
def in_s3(s3: Environment, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this process use the S3 server; give an address there."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def serving(
    ports: Callable[[int], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple["subprocess.Popen[bytes]", Environment, Path]]:
    """Run `python -m flows.serve` in a folder like a checkout; give the process, its environment and its output.

    It is started by the command of the README's systemd unit. It starts a server of its own, and also serves the
    README's example of a file with parameters, as `build-dataset/lab`.
    """
    folder = tmp_path_factory.mktemp("serve")
    shutil.copy(ROOT / "pyproject.toml", folder)
    environment, log = fast_prefect(folder, ports(1)) | {"PWD": str(folder)}, folder / "serve.log"
    del environment["PREFECT_HOME"]
    readme = (ROOT / "flows" / "README.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(source.*?)^```$", readme, re.M | re.S)
    (folder / "data").mkdir()
    (folder / "data" / "lab.toml").write_text(example)
    start, _ = re.findall(r"^ExecStart=\S*/\.venv/bin/python (.*)$", readme, re.M)
    (folder / "allow.toml").write_text(f'folders = ["data", "{folder.parent}"]\n')
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *start.split(), "--allow", "allow.toml"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 240
        while "being served" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process, environment, log
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def served(serving: tuple["subprocess.Popen[bytes]", Environment, Path]) -> Environment:
    """Give the environment of a second terminal in the folder of the running `python -m flows.serve`."""
    _, environment, _ = serving
    return environment


@pytest.fixture(scope="session")
def prefect() -> Callable[..., Done]:
    """Return a function that runs a `prefect` command."""

    def command(environment: Environment, *arguments: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=environment.get("PWD", ROOT),
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return command


@pytest.fixture(scope="module")
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
