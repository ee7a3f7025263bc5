"""Deployments in a work pool: registered from code, run by a worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.snapshots.snapshot import latest
from flows.server.start import prefect_server, status_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def register():
    """Return a function that runs `python -m flows.serve --pool pool`."""

    def run(environment, *options):
        command = [sys.executable, "-m", "flows.serve", "--pool", "pool", *options]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.timeout(900)
def test_a_worker_runs_a_deployment_that_was_registered_from_code(server, prefect, register, make_dataset, tmp_path):
    unknown = register(server)
    assert unknown.returncode == 2
    assert "prefect work-pool create pool --type process" in unknown.stderr
    assert prefect(server, "work-pool", "create", "pool", "--type", "process").returncode == 0
    dataset = make_dataset()
    (tmp_path / "allow.toml").write_text(f"folders = ['{dataset}', '{tmp_path}']\n")
    registered = register(server, "--allow", str(tmp_path / "allow.toml"), "--suffix", "b")
    assert registered.returncode == 0, registered.stderr
    assert "build-dataset/douban-b" in registered.stdout
    options = [f"dataset={dataset}", "name=pooled", f"root={tmp_path}"]
    chosen = [part for option in options for part in ("-p", option)]
    assert prefect(server, "deployment", "run", "publish-snapshot/any-b", *chosen).returncode == 0
    worker = prefect(server, "worker", "start", "--pool", "pool", "--run-once")
    assert latest(tmp_path, "pooled") is not None, worker.stdout + worker.stderr


def test_a_server_that_answers_is_used_and_left_running(server, tmp_path):
    api_url = server["PREFECT_API_URL"]
    with prefect_server(tmp_path, api_url) as found:
        assert not found.is_started
    assert status_of(api_url) == 401
    assert list(tmp_path.iterdir()) == []


def test_no_server_is_one_line(register, ports, tmp_path):
    nowhere = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": f"http://127.0.0.1:{ports(1)}/api"}
    done = register({**os.environ, **nowhere})
    assert done.returncode == 2
    assert "no Prefect server answers" in done.stderr
    assert "Traceback" not in done.stderr
