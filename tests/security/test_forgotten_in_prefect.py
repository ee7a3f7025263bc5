"""After `python -m flows forget`, Prefect's home holds no trace of a person, and Prefect works as before."""

import base64
import bz2
import gzip
import json
import pickle
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.context import refresh_global_settings_context

from crawler.kinds.writings import Traces
from dataset.errors import MissingInputError, PipelineError, UsageError
from flows import forget as command
from flows.server.history import DATABASE, History
from flows.server.home import Login, locked
from flows.server.start import prefect_server

_SPEC = spec_from_file_location("forgotten_people", Path(__file__).with_name("test_forgotten_people.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
person: Any = module_from_spec(_SPEC)
_SPEC.loader.exec_module(person)
UID, NUMBER, NAME, TEXT = person.UID, person.NUMBER, person.NAME, person.TEXT
crawl_dir = person.crawl_dir
ANOTHER = "albatross-78"
PARAMETERS = {
    "source": "douban",
    "users": [UID, ANOTHER, NUMBER],
    "options": {"users": [UID], "about": f"https://www.douban.com/people/{UID}/", "number": int(NUMBER)},
    NAME: TEXT,
}
OTHERS = {"source": "douban", "users": [ANOTHER, "teapot"], "about": "people/teapot", "number": 123454321}


@pytest.fixture(scope="session")
def recorded(home: Path, login: Login, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Prefect's home, with runs of the person and of others, made while the server runs."""
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("build-dataset")
        for parameters, name in ((PARAMETERS, f"run of {UID}"), (OTHERS, "another run")):
            deployment = client.create_deployment(flow, name, parameters=parameters, tags=[name])
            run = client.create_flow_run_from_deployment(deployment, parameters=parameters, name=name)
            schedule = {"schedule": {"interval": 5e6}, "active": False, "parameters": parameters}
            said = [f"people/{parameters['users'][0]}/", json.dumps(parameters), repr(parameters)]
            log = {"name": "crawl", "level": 20, "timestamp": "2026-01-01T00:00:00Z", "flow_run_id": str(run.id)}
            artifact = {"key": "report", "type": "markdown", "data": said[0], "description": said[1]}
            posted = {
                f"deployments/{deployment}/schedules": [schedule],
                "logs": [log | {"message": message} for message in said],
                "artifacts": artifact | {"flow_run_id": str(run.id)},
                "variables": {
                    "name": f"v{len(name)}",
                    "value": parameters["number" if name == "another run" else "users"],
                },
                f"flow_runs/{run.id}/set_state": {"state": {"type": "CRASHED", "message": said[0]}, "force": True},
            }
            for path, body in posted.items():
                client._client.post(f"/{path}", json=body).raise_for_status()
    copy = tmp_path_factory.mktemp("copy")
    (copy / "storage").mkdir()
    for path in home.glob("prefect.db*"):
        shutil.copy(path, copy)
    return copy


@pytest.fixture
def prefect_folder(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it with a log, stored results and a killed write; it is the home of this process's commands."""
    folder = shutil.copytree(recorded, tmp_path / "home")
    (folder / "server.log").write_text(f"INFO 12:00:00 | {UID} {NAME}\n| {ANOTHER} teapot\n", "utf-8")
    (folder / ".login.toml.1.part").write_text(UID)
    stored = pickle.dumps({"users": [UID]}), bz2.compress(pickle.dumps(NAME)), pickle.dumps(["teapot"])
    for number, result in enumerate(stored):
        record = {"metadata": {}, "result": base64.b64encode(result).decode()}
        (folder / "storage" / f"{number}").write_text(json.dumps(record))
    monkeypatch.setattr("flows.server.home.prefect_home", lambda: folder)
    return folder


def all_values(home: Path) -> list[tuple[str, Any]]:
    """Return all values of Prefect's database."""
    with closing(sqlite3.connect(home / DATABASE)) as database:
        tables = [table for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = ((table, row) for table in tables for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid"))
        return [(table, value) for table, row in rows for value in row]


def traces_in(home: Path) -> list[str]:
    """Return the person's traces in bytes of files, and in values (SQLite may cut a long one in pieces)."""
    with (home / "values").open("w", encoding="utf-8") as file:
        file.writelines(f"{value}\n" for _, value in all_values(home))
    found: list[str] = [f"{path}: {text}" for path, text in person._traces(home)]
    (home / "values").unlink()
    return found


def is_of_person(value: Any) -> bool:
    decoded = json.dumps(value, ensure_ascii=False) + str(value).encode().decode("unicode_escape", "replace")
    return any(one in decoded for one in (f"{UID}/", f'{UID}"', f"{UID}'", NUMBER, f"of {UID}"))


def forget(crawl: Path, uid: str = UID) -> None:
    command.main([uid, "--crawl", str(crawl), "--snapshots", str(crawl / "none")])


@pytest.mark.parametrize("known_as", [UID, NUMBER])
def test_no_trace_of_a_forgotten_person_is_left_in_prefects_home_and_others_stay(
    known_as: str, crawl_dir: Path, prefect_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = all_values(prefect_folder)
    assert {UID, NUMBER, NAME} <= {one.split(": ", 1)[1] for one in traces_in(prefect_folder)}
    forget(crawl_dir, known_as)
    assert traces_in(prefect_folder) == []
    assert person._traces(crawl_dir) == []
    assert {path.name for path in prefect_folder.rglob("*") if path.is_file()} == {
        DATABASE,
        "server.lock",
        "server.log",
        "2",
    }
    assert (prefect_folder / "server.log").read_text().endswith("| albatross-78 teapot\n")
    after = all_values(prefect_folder)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [old for old, _ in changed if not is_of_person(old)] == []
    assert {table for (table, _), _ in changed} >= {"flow_run", "deployment", "deployment_schedule", "log", "artifact"}
    (of_run,) = [new for (table, old), (_, new) in changed if table == "flow_run" and old[:1] == "{"]
    assert json.loads(of_run)["users"] == [ANOTHER]
    told = capsys.readouterr().out
    assert "Forgotten: " in told
    assert "Forgotten in Prefect's home" in told
    assert "copies that others have downloaded" in told


@pytest.mark.timeout(120)
def test_prefect_works_with_what_is_left(crawl_dir: Path, prefect_folder: Path) -> None:
    forget(crawl_dir)
    with prefect_server(prefect_folder), get_client(sync_client=True) as client:
        assert {OTHERS["users"][0]} < {user for run in client.read_flow_runs() for user in run.parameters["users"]}
        (kept,) = [one for one in client.read_deployments() if one.name == "another run"]
        assert kept.parameters == OTHERS
        assert [one.parameters for one in kept.schedules] == [OTHERS]
        for one in client.read_deployments():
            client.create_flow_run_from_deployment(one.id)


def test_an_unknown_uid_changes_nothing(crawl_dir: Path, prefect_folder: Path) -> None:
    def state() -> tuple[Any, ...]:
        answers = [entry.answer for entry in person.read_archive(crawl_dir)]
        return all_values(prefect_folder), (prefect_folder / "server.log").read_bytes(), answers

    before = state()
    for uid in ("albatross", "albatros-77", "98765432", "nobody", "sandbox", "build-dataset", "people"):
        with pytest.raises(MissingInputError, match="nobody is known here"):
            forget(crawl_dir, uid)
    assert state() == before
    assert len(list((prefect_folder / "storage").iterdir())) == 3


def test_somebody_who_was_never_crawled_is_forgotten_in_prefect(crawl_dir: Path, prefect_folder: Path) -> None:
    forget(crawl_dir, ANOTHER)
    assert not any(ANOTHER in str(value) for table, value in all_values(prefect_folder) if table == "deployment")


def test_the_history_of_a_running_server_is_not_changed(crawl_dir: Path, prefect_folder: Path) -> None:
    with locked(prefect_folder), pytest.raises(PipelineError, match=r"a Prefect server is running .* stop it"):
        forget(crawl_dir)
    with closing(sqlite3.connect(prefect_folder / DATABASE)) as another:
        another.execute("PRAGMA journal_mode = WAL")
        another.execute("SELECT count(*) FROM log").fetchall()
        with pytest.raises(PipelineError, match="stop every Prefect server and worker that uses this folder"):
            forget(crawl_dir)
    assert traces_in(prefect_folder)
    assert person._traces(crawl_dir)


def test_a_database_in_another_place_is_named(
    crawl_dir: Path, prefect_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://lab/prefect")
        refresh_global_settings_context()
        with pytest.raises(UsageError, match="PREFECT_SERVER_DATABASE_CONNECTION_URL"):
            forget(crawl_dir)
    refresh_global_settings_context()
    assert traces_in(prefect_folder)
    assert person._traces(crawl_dir)


def test_a_file_of_the_users_that_mentions_the_person_is_an_error_and_the_crawl_waits(
    crawl_dir: Path, prefect_folder: Path
) -> None:
    for name, content in (("prefect.db.bak", NAME.encode("utf-16")), ("old.gz", gzip.compress(UID.encode()))):
        (prefect_folder / name).write_bytes(content)
    with pytest.raises(PipelineError, match=r"2 other files .*old\.gz.*prefect\.db\.bak.*remove them") as told:
        forget(crawl_dir)
    assert UID not in str(told.value)
    assert person._traces(crawl_dir)
    for name in ("prefect.db.bak", "old.gz"):
        (prefect_folder / name).unlink()
    forget(crawl_dir)
    assert traces_in(prefect_folder) == []
    assert person._traces(crawl_dir) == []


def test_there_may_be_no_history(crawl_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.server.home.prefect_home", lambda: tmp_path / "nowhere")
    forget(crawl_dir)
    assert person._traces(crawl_dir) == []
    assert not (tmp_path / "nowhere").exists()


def without_marker(values: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(table, re.sub(r"forgotten-[0-9a-f]{6}", "", str(value))) for table, value in values]


def test_a_killed_forget_leaves_the_old_state_or_the_new_one_in_crawl_and_history(
    crawl_dir: Path, prefect_folder: Path, start_commands: Callable[..., Any], tmp_path: Path, is_long: bool
) -> None:
    commands = start_commands("flows", PREFECT_HOME=str(prefect_folder))
    command = ("flows", "forget", UID, "--crawl", crawl_dir, "--snapshots", tmp_path / "none")
    kept = {folder: shutil.copytree(folder, tmp_path / "kept" / folder.name) for folder in (crawl_dir, prefect_folder)}
    before, began = all_values(prefect_folder), time.monotonic()
    n_moments, duration = commands.ends_well(tmp_path, *command), time.monotonic() - began
    after, tables = without_marker(all_values(prefect_folder)), person._exported(crawl_dir, tmp_path / "raw")
    generator, seen = random.Random(5), set()
    for number in range(30 if is_long else 3):
        for folder, copy in kept.items():
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)
        moment = generator.uniform(0.02, duration) if number % 2 else generator.randint(1, n_moments)
        status, _ = commands.run(tmp_path, moment, *command)
        is_old = person._is_old(crawl_dir, tmp_path / "raw")
        values = all_values(prefect_folder)
        assert values == before or (without_marker(values) == after), f"a mixture after the kill at {moment}"
        assert values != before or is_old  # Prefect's home comes first: the crawl knows all names until the end
        seen.add((status, values == before, is_old))
        commands.ends_well(tmp_path, *command)
        assert without_marker(all_values(prefect_folder)) == after
        assert traces_in(prefect_folder) == []
        assert person._traces(crawl_dir) == []
        again = person._exported(crawl_dir, tmp_path / "raw")
        assert all(again[name].equals(table) for name, table in tables.items())
    assert len(seen) > 1 or not is_long, seen


X = "<marker>"


@pytest.mark.parametrize(
    ("ids", "value", "expected"),
    [
        ({"987654321"}, "u987654321-2.jpg and 1987654321", f"u{X}-2.jpg and 1987654321"),
        ({"98765432"}, "10:00:00.98765432 98765432-1111-4111-8111-111111111111", None),
        ({"cafe"}, "deadbeef-cafe-4111-8111-111111111111", None),
        ({"albatross"}, "albatrosses %2Falbatross%2F \\nalbatross", f"albatrosses %2F{X}%2F \\n{X}"),
        ({"albatross"}, "&#97;lbatross a%6Cbatross", f"{X} {X}"),
        ({"71"}, '{"users": ["71", 71, "710"], "k": 71, "at": "/people/71/"}',
         f'{{"users": ["710"], "k": 71, "at": "/people/{X}/"}}'),
        ({"sandbox"}, '{"source": "sandbox", "users": ["sandbox"]}', '{"source": "sandbox", "users": []}'),
        ({"sandbox", "Completed"}, "sandbox Completed", None),
        ({"绝无仅有"}, '{"a": "\\u7edd\\u65e0\\u4ec5\\u6709"}', f'{{"a": "{X}"}}'),
        ({"987654321"}, "987654321", X),
        ({"987654321"}, '{"a": [987654321, true, null, 1.5]}', f'{{"a": ["{X}", true, null, 1.5]}}'),
        ({"987654321"}, '{"a": "{\\"users\\": [\\"987654321\\"]}"}', '{"a": "{\\"users\\": []}"}'),
    ],
)  # fmt: skip
def test_only_the_person_is_cut_out_of_a_value(ids: set[str], value: str, expected: str | None, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as database:
        database.execute("CREATE TABLE flow_run (id CHAR(36), parameters VARCHAR, made DATETIME)")
        database.execute("INSERT INTO flow_run VALUES ('987654321', ?, '987654321')", (value,))
    history = History(tmp_path)
    history.remove(Traces(frozenset(ids)))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        ((id_, found, made),) = database.execute("SELECT * FROM flow_run").fetchall()
    assert re.sub(r"forgotten-[0-9a-f]{6}", X, found) == (expected or value)
    assert (id_, made) == ("987654321", 987654321)
    assert history.values.total() == (expected is not None)


def test_what_is_left_in_the_database_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as database:
        database.execute("CREATE TABLE log (message TEXT)")
        database.execute("INSERT INTO log VALUES ('people/987654321/')")
        database.execute("CREATE TRIGGER never BEFORE UPDATE ON log BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(
        PipelineError, match=r"prefect\.db: still mentions this person in log\.message; delete this file"
    ):
        History(tmp_path).remove(Traces(frozenset({"987654321"})))


def test_a_number_in_a_json_column_is_cut_out_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as database:
        database.execute("CREATE TABLE variable (name VARCHAR, value JSON, number INTEGER)")
        database.execute("INSERT INTO variable VALUES ('a', '987654321', 987654321)")
    History(tmp_path).remove(Traces(frozenset({"987654321"})))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        ((value, number),) = database.execute("SELECT value, number FROM variable").fetchall()
    assert json.loads(value).startswith("forgotten-")
    assert number == 987654321
