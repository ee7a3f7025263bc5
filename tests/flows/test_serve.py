"""The flows on a real Prefect server, as a person runs them: serve in one terminal, run in another."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify
from flows.server.home import read_login
from flows.server.start import status_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def api(served):
    """A client with the login that `python -m flows.serve` has written."""
    session = requests.Session()  # a server whose SQLite file is busy answers 503; Prefect's own client retries too
    session.mount(
        "http://", HTTPAdapter(max_retries=Retry(8, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None))
    )
    login = read_login(Path(served["PWD"]) / "data" / "prefect")
    session.auth = tuple(login.secret.split(":"))
    token = session.get(f"{login.api_url}/csrf-token?client=tests", timeout=30).json()
    session.headers.update({"Prefect-Csrf-Client": "tests", "Prefect-Csrf-Token": token["token"]})
    return session


@pytest.fixture
def run_sandbox(served, prefect):
    """Return a function that runs the deployment `build-dataset/sandbox` and waits for its end."""

    def run(data, *parameters):
        chosen = [f"data={data}", "sandbox_users=40", "sandbox_movies=12", "extractor=mobilenet_v3_small", *parameters]
        options = [part for parameter in chosen for part in ("-p", parameter)]
        return prefect(served, "deployment", "run", "build-dataset/sandbox", "--watch", *options)

    return run


@pytest.mark.timeout(900)
def test_a_deployment_run_publishes_and_a_second_one_skips_every_stage(run_sandbox, ports, served, api, tmp_path):
    port = f"sandbox_port={ports(4)}"
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

    artifacts = api.post(f"{served['PREFECT_API_URL']}/artifacts/latest/filter", json={}, timeout=30).json()
    assert {"card-sandbox", "snapshot-sandbox"} <= {artifact["key"] for artifact in artifacts}


def test_the_secret_is_not_in_the_output_but_the_way_to_it_is(serving):
    _, environment, log = serving
    told = log.read_text()
    login = Path(environment["PWD"]) / "data" / "prefect" / "login.toml"
    assert read_login(login.parent).secret.partition(":")[2] not in told
    assert "In another terminal, in this folder: prefect deployment run build-dataset/sandbox --watch" in told
    assert f"PREFECT_API_AUTH_STRING in {login.relative_to(environment['PWD'])}" in told


def test_another_folder_needs_one_line_first(served, prefect, tmp_path):
    login = Path(served["PWD"]) / "data" / "prefect" / "login.toml"
    elsewhere = {name: value for name, value in served.items() if name != "PREFECT_API_URL"} | {"PWD": str(tmp_path)}
    done = prefect(elsewhere | {"PREFECT_PROFILES_PATH": str(login)}, "deployment", "ls")
    assert "build-dataset/sandbox" in done.stdout, done.stderr


def test_a_run_of_a_deployment_does_not_leave_the_allowed_folders(run_sandbox, tmp_path_factory):
    outside = tmp_path_factory.getbasetemp().parent / "outside"
    done = run_sandbox(outside)
    assert done.returncode != 0
    assert "runs of a deployment may not use this" in " ".join(done.stdout.split())
    assert not outside.exists()


def test_a_wrong_parameter_is_refused_before_anything_runs(run_sandbox, tmp_path):
    done = run_sandbox(tmp_path, "nonsense=1")
    assert done.returncode != 0
    assert "nonsense" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parameter", [{"k": -1}, {"source": "elsewhere"}], ids=str)
def test_the_server_refuses_a_wrong_parameter(parameter, served, api):
    deployment = api.get(f"{served['PREFECT_API_URL']}/deployments/name/build-dataset/sandbox", timeout=30).json()
    url = f"{served['PREFECT_API_URL']}/deployments/{deployment['id']}/create_flow_run"
    refused = api.post(url, json={"parameters": parameter}, timeout=30)
    assert refused.status_code == 409
    assert next(iter(parameter)) in refused.text


def test_the_weekly_schedule_is_there_and_off(served, api):
    deployment = api.get(f"{served['PREFECT_API_URL']}/deployments/name/build-dataset/sandbox", timeout=30).json()
    assert [(one["schedule"]["cron"], one["active"]) for one in deployment["schedules"]] == [("0 3 * * 1", False)]


def test_a_settings_file_is_served_under_its_name_and_on_its_schedule(serving, served, api):
    deployment = api.get(f"{served['PREFECT_API_URL']}/deployments/name/build-dataset/lab", timeout=30).json()
    assert deployment["parameters"] == {
        "source": "douban",
        "name": "lab",
        "contact": "you@example.org",
        "movies": ["1292052"],
        "users_file": "data/lab/users.txt",
        "delay_s": 10.0,
        "via": "collection=list",
        "dates": "order",
        "root": "s3://bucket/datasets",
        "licence": "CC-BY-4.0",
        "publisher": "Lab of Examples",
        "description": "What people of our city watch.",
    }
    assert [(one["schedule"]["cron"], one["active"]) for one in deployment["schedules"]] == [("0 3 * * 1", True)]
    _, _, log = serving
    assert "build-dataset/lab: 0 3 * * 1 (Europe/Berlin), next run on Monday, 20" in log.read_text()


@pytest.fixture
def forms(served, api):
    """The form of each deployment, as the server stores it: its parameters by name."""
    stored = api.post(f"{served['PREFECT_API_URL']}/deployments/filter", json={}, timeout=30).json()
    return {one["id"]: one["parameter_openapi_schema"]["properties"] for one in stored}


def test_the_form_that_the_server_stores_explains_every_parameter_of_every_flow(forms):
    assert len(forms) == 7
    for form in forms.values():
        assert [name for name, one in form.items() if len(one.get("description", "")) < 10] == []
        assert all(one["title"].endswith(name) for name, one in form.items())
    groups = [dict.fromkeys(one["title"].partition(": ")[0] for one in form.values()) for form in forms.values()]
    of_a_dataset = ["The dataset", "The site", "The scope", "The tables", "Features", "The snapshot", "The sandbox"]
    assert sum(list(group) == of_a_dataset for group in groups) == 4


def test_the_form_shows_groups_and_help_in_a_browser(served, forms, api, browser):
    site = served["PREFECT_API_URL"].removesuffix("/api")
    tab = browser.new_page()
    tab.goto(site)
    tab.locator("input").first.fill(":".join(api.auth), timeout=120_000)
    tab.keyboard.press("Enter")
    tab.get_by_text("Deployments").first.wait_for(timeout=120_000)
    for id_, form in list(forms.items())[:1]:
        tab.goto(f"{site}/v2/deployments/deployment/{id_}/run")
        first, *_ = (one["title"] for one in form.values())
        tab.get_by_text(first).first.wait_for(timeout=120_000)
        shown = " ".join(tab.inner_text("body").split())
        assert [
            name for name, one in form.items() if one["title"] not in shown or one["description"] not in shown
        ] == []
    tab.close()


@pytest.mark.timeout(900)
def test_a_scheduled_run_fires(served, api, prefect, make_dataset, tmp_path):
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


def test_nothing_is_left_running_and_nothing_is_paused_after_the_end(serving):
    process, environment, log = serving
    assert status_of(environment["PREFECT_API_URL"]) == 401
    process.terminate()
    process.wait(60)
    assert not re.search("Warning|Traceback", log.read_text().partition("SIGTERM received")[2])
    assert process.returncode in (0, 143)  # for the README's unit, both are a clean stop
    assert status_of(environment["PREFECT_API_URL"]) is None
    with closing(sqlite3.connect(Path(environment["PWD"]) / "data" / "prefect" / "prefect.db")) as database:
        assert database.execute("SELECT count(*), sum(paused) FROM deployment").fetchone() == (7, 0)
    assert read_login(Path(environment["PWD"]) / "data" / "prefect") is None
