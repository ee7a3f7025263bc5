"""Workers on machines of their own: another network, host name and disk, with an object store as all that is shared.

Linux makes such machines of processes: network, mount and UTS namespaces. Only root can make them, and they take a
while, so this is a long test (`make test-long`).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from moto.server import ThreadedMotoServer

from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify
from dataset.storage import Folder

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"sandbox_users": 40, "sandbox_movies": 12, "extractor": "mobilenet_v3_small", "weights": "random:0"}
MACHINE = """
set -e
hostname {name}
mount -t tmpfs {name} {hidden}
mkdir {hidden}/own
cd {hidden}/own
exec "$@"
"""
TUNNEL = """
import asyncio, sys
listen, host, port = sys.argv[1:]

async def copy(reader, writer):
    try:
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

async def connected(reader, writer):
    there, to = await asyncio.open_connection(host, int(port))
    await asyncio.gather(copy(reader, to), copy(there, writer))

async def main():
    address, _, number = listen.rpartition(":")
    async with await asyncio.start_server(connected, address, int(number)) as server:
        await server.serve_forever()

asyncio.run(main())
"""
can_make_machines = pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or not (shutil.which("ip") and shutil.which("unshare"))
    or subprocess.run(["unshare", "--net", "--mount", "--uts", "true"], capture_output=True, check=False).returncode
    != 0,
    reason="only root can make namespaces, with ip and unshare",
)


class Machine:
    """A machine with its own network, host name and disk.

    Args:
        letter: tells it from the other machines.
        hidden: a folder of ours that it does not see; there, each of its processes has an empty disk of its own.
        stack: ends it.

    Attributes:
        ours: our address in its network.
    """

    def __init__(self, letter: str, hidden: Path, stack: ExitStack) -> None:
        self.name, self.own, self._stack = f"{letter}{os.getpid()}", hidden / "own", stack
        network = f"10.{213 + 'abc'.index(letter)}.{os.getpid() % 250}"
        self.ours = f"{network}.1"
        _ip("netns", "add", self.name)
        stack.callback(_ip, "netns", "del", self.name)
        _ip("link", "add", f"v{self.name}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.ours}/24", "dev", f"v{self.name}")
        _ip("link", "set", f"v{self.name}", "up")
        _ip("-n", self.name, "addr", "add", f"{network}.2/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", self.name, "link", "set", device, "up")
        _ip("-n", self.name, "route", "add", "default", "via", self.ours)

    def start(self, command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a command there, in an empty folder."""
        script = MACHINE.format(name=self.name, hidden=self.own.parent)
        within = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "sh", "-c", script, "sh", *command]
        elsewhere = {name: value for name, value in environment.items() if name not in ("PWD", "PREFECT_HOME")}
        with log.open("wb") as output:
            process = subprocess.Popen(within, env=elsewhere | {"HOME": str(self.own)}, stdout=output, stderr=output)
        self._stack.callback(_end, process)
        return process

    def run_worker(self, server: dict[str, str], store: dict[str, str], between: int, log: Path) -> str:
        """Let a Prefect worker there carry out one run, through a tunnel to the server, as `ssh -L` makes it.

        Returns:
            What the worker printed.
        """
        port = urlsplit(server["PREFECT_API_URL"]).port
        with subprocess.Popen([sys.executable, "-c", TUNNEL, f"{self.ours}:{between}", "127.0.0.1", str(port)]) as ours:
            tunnel = [sys.executable, "-c", TUNNEL, f"127.0.0.1:{port}", self.ours, str(between)]
            self.start(tunnel, server, log.with_suffix(".tunnel"))
            worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "away", "--run-once"]
            self.start(worker, {**server, **store}, log).wait(600)
            ours.terminate()
        return log.read_text("utf-8")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@can_make_machines
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_machines_that_share_only_an_object_store_crawl_compute_features_and_train(
    server: dict[str, str],
    prefect: Callable[..., subprocess.CompletedProcess[str]],
    ports: Callable[[int], int],
    s3_environment: Callable[[str], dict[str, str]],
    stack: ExitStack,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden = tmp_path_factory.getbasetemp()
    crawls, computes, trains = (Machine(letter, hidden, stack) for letter in "abc")
    moto = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    moto.start()
    stack.callback(moto.stop)
    store = s3_environment(f"http://{crawls.ours}:{moto.get_host_and_port()[1]}")
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    assert requests.put(f"{store['AWS_ENDPOINT_URL']}/bucket", timeout=30).ok

    scheduler = f"tcp://{crawls.ours}:{ports(1)}"
    bare = {name: value for name, value in server.items() if not name.startswith("PREFECT_")}  # no way to Prefect
    _start_scheduler(scheduler, bare, stack)
    dask_log = tmp_path / "dask.log"
    options = ["--nworkers", "1", "--nthreads", "1", "--no-dashboard"]
    computes.start([sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *options], bare | store, dask_log)

    assert prefect(server, "work-pool", "create", "away", "--type", "process").returncode == 0
    allow = tmp_path / "allow.toml"
    allow.write_text(f"roots = ['s3://bucket']\nrunners = ['dask:{scheduler}']\n")
    register = ["--pool", "away", "--suffix", "away", "--folder", str(crawls.own), "--allow", str(allow)]
    done = subprocess.run(
        [sys.executable, "-m", "flows.serve", *register],
        cwd=ROOT,
        env=server,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    chosen = {"root": "s3://bucket/datasets", "exchange": "s3://bucket/exchange", "runner": f"dask:{scheduler}", "k": 2}
    _ask(prefect, server, "build-dataset/sandbox-away", **SMALL, **chosen, sandbox_port=ports(4))
    told = crawls.run_worker(server, store, ports(1), tmp_path / "crawl.log")
    snapshot = latest("s3://bucket/datasets", "sandbox")
    assert snapshot is not None, told + dask_log.read_text()
    assert verify(snapshot) == []
    assert snapshot.manifest.tables["frame_features"].rows == snapshot.manifest.tables["frames"].rows
    assert Folder.at("s3://bucket/exchange").files() == {}
    assert not crawls.own.exists()

    _ask(prefect, server, "run-experiment/any-away", snapshot="s3://bucket/datasets/sandbox", models='["popular"]')
    told = trains.run_worker(server, store, ports(1), tmp_path / "train.log")
    assert "Pulled sandbox v0001" in told
    assert "The report is" in told


def _ask(prefect: Callable[..., Any], server: dict[str, str], deployment: str, **parameters: object) -> None:
    chosen = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]
    done = prefect(server, "deployment", "run", deployment, *chosen)
    assert done.returncode == 0, done.stdout + done.stderr


def _start_scheduler(address: str, environment: dict[str, str], stack: ExitStack) -> None:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", port, "--no-dashboard"]
    stack.callback(_end, subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
