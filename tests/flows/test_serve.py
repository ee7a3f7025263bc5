"""The flows on a real Prefect server, as a person runs them: serve in one terminal, run in another."""

import time
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify
from flows.server import is_healthy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_sandbox(served, prefect):
    """Return a function that runs the deployment `build-dataset/sandbox` and waits for its end."""

    def run(data, *parameters):
        chosen = [f"data={data}", "sandbox_users=40", "sandbox_movies=12", "extractor=mobilenet_v3_small", *parameters]
        options = [part for parameter in chosen for part in ("-p", parameter)]
        return prefect(served, "deployment", "run", "build-dataset/sandbox", "--watch", *options)

    return run


@pytest.mark.timeout(900)
def test_a_deployment_run_publishes_and_a_second_one_skips_every_stage(run_sandbox, ports, served, prefect, tmp_path):
    port = f"sandbox_port={ports(3)}"
    first = run_sandbox(tmp_path, port)
    assert first.returncode == 0, first.stdout + first.stderr
    snapshot = latest(tmp_path / "snapshots", "sandbox")
    assert snapshot is not None
    assert snapshot.version == 1
    assert verify(snapshot) == []
    assert snapshot.manifest.tables["frame_features"].rows == snapshot.manifest.tables["frames"].rows

    second = run_sandbox(tmp_path, port)
    told = " ".join(second.stdout.split())
    assert second.returncode == 0, second.stdout + second.stderr
    for stage in ("crawling ratings", "crawling frames", "crawling likes", "exporting", "building", "extracting"):
        assert f"Skipped {stage}" in told
    assert "Nothing changed since snapshot sandbox v0001; nothing published." in told
    assert [path.name for path in (tmp_path / "snapshots" / "sandbox").iterdir()] == ["v0001"]

    shown = prefect(served, "artifact", "ls").stdout
    assert "card-sandbox" in shown
    assert "snapshot-sandbox" in shown


@pytest.mark.parametrize("parameter", ["k=-1", "source=elsewhere", "nonsense=1"])
def test_a_wrong_parameter_is_refused_before_anything_runs(parameter, run_sandbox, tmp_path):
    done = run_sandbox(tmp_path, parameter)
    assert done.returncode != 0
    assert parameter.split("=")[0] in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_weekly_schedule_is_there_and_off(served, prefect):
    told = prefect(served, "deployment", "schedule", "ls", "build-dataset/sandbox").stdout
    assert "0 3 * * 1" in told
    assert "False" in told


def test_a_file_with_parameters_is_served_under_its_name(served):
    url = f"{served['PREFECT_API_URL']}/deployments/name/build-dataset/lab"
    deployment = requests.get(url, timeout=30).json()
    assert deployment["parameters"] == {
        "source": "douban",
        "name": "lab",
        "contact": "you@example.org",
        "movies": ["1292052"],
        "delay_s": 10.0,
    }
    assert [(one["active"], one["parameters"]) for one in deployment["schedules"]] == [(False, {"refresh": True})]


@pytest.mark.timeout(900)
def test_a_scheduled_run_fires(served, prefect, make_dataset, tmp_path):
    api = requests.Session()  # a server whose SQLite file is busy answers 503; Prefect's own client retries too
    api.mount(
        "http://", HTTPAdapter(max_retries=Retry(8, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None))
    )
    deployments = f"{served['PREFECT_API_URL']}/deployments"
    deployment = api.get(f"{deployments}/name/publish-snapshot/any", timeout=30).json()
    schedules = f"{deployments}/{deployment['id']}/schedules"
    parameters = {"dataset": str(make_dataset()), "name": "timed", "root": str(tmp_path)}
    often = {"schedule": {"interval": 5}, "active": True, "parameters": parameters}
    made = api.post(schedules, json=[often], timeout=30)
    assert made.ok, made.text
    try:
        deadline = time.monotonic() + 240
        while latest(tmp_path, "timed") is None:
            assert time.monotonic() < deadline, prefect(served, "flow-run", "ls").stdout
            time.sleep(0.1)
    finally:
        api.delete(f"{schedules}/{made.json()[0]['id']}", timeout=30)


def test_nothing_is_left_running_after_the_end(serving):
    process, environment = serving
    assert is_healthy(environment["PREFECT_API_URL"])
    process.terminate()
    process.wait(60)
    assert not is_healthy(environment["PREFECT_API_URL"])
