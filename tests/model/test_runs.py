"""Runs: one folder per request, never overwritten, found again, continued, listed and removed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from dataset.errors import UsageError
from model import __main__ as program
from model import compare, evaluate, experiment, recommend, runs, train
from model.experiments import experiment as experiments
from model.experiments import training_run
from model.experiments.runs.naming import run_digest
from model.experiments.runs.store import find_run, lock_run

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--model", "bpr", "--set", "learning_rate=0.02", "--set", "batch_size=32"]


@pytest.fixture
def command(
    run_command: Callable[..., tuple[int, str, str]], snapshots: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Run a module's command in a folder with a snapshot; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/snapshots").symlink_to(snapshots)
    monkeypatch.setattr(experiments, "write_report", lambda folder, *_: folder / "experiment.json")
    return lambda module, *arguments: run_command(module.app, *arguments)


def test_trainings_that_differ_in_a_setting_leave_one_run_each(command) -> None:
    for options in (["dim=8"], ["dim=9"], ["dim=8", "--seed", "1"], ["dim=8", "--set", "patience=2"]):
        assert command(train, *SMALL, "--epochs", "1", "--set", *options)[0] == 0
    names = sorted(path.name for path in Path("data/runs").iterdir())
    assert len(names) == 4
    assert sum(name.startswith("bpr-toy-v0001-0-") for name in names) == 3


def test_the_same_request_finds_the_finished_run_and_fresh_starts_one_beside_it(command) -> None:
    asked = (*SMALL, "--epochs", "2")
    assert command(train, *asked)[0] == 0
    (folder,) = Path("data/runs").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for options in ([], ["--resume"], ["--threads", "1"], ["--set", "learning_rate=2e-2"]):
        status, out, err = command(train, *asked, *options)
        assert (status, err) == (0, "")
        assert "This run is trained already; --fresh trains another one beside it." in out
        assert str(folder) in out
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    status, out, _ = command(train, *asked, "--fresh")
    assert (status, f"{folder.name}-2" in out, "trained already" in out) == (0, True, False)
    assert f"Run: {folder}-2" in command(train, *asked)[1]  # the newest is found
    status, _, err = command(train, *asked, "--fresh", "--resume")
    assert (status, "--resume and --fresh exclude each other" in err) == (2, True)
    status, _, err = command(train, *asked, "--set", "l2=0.5", "--resume")
    assert (status, err.count("\n"), "none can be resumed; omit --resume" in err) == (1, 1, True)


def test_an_experiment_evaluates_the_run_that_train_has_made_and_train_finds_the_experiments_run(command) -> None:
    assert command(train, *SMALL, "--epochs", "2")[0] == 0
    (folder,) = Path("data/runs").iterdir()
    weights = (folder / "model.pt").stat().st_mtime_ns
    asked = ["--models", "bpr,popular", "--set", "learning_rate=0.02", "--set", "batch_size=32", "--set", "epochs=2"]
    status, _, err = command(experiment, *asked, "--jobs", "1", "--threads", "1")
    assert status == 0, err
    assert (folder / "model.pt").stat().st_mtime_ns == weights
    assert len(list(Path("data/runs").iterdir())) == 2
    status, out, _ = command(train, "--model", "popular", *SMALL[2:], "--epochs", "2")
    assert (status, "trained already" in out) == (0, True)


def test_an_experiment_of_other_settings_does_not_touch_the_run_of_train(command) -> None:
    assert command(train, *SMALL, "--epochs", "1", "--set", "dim=16")[0] == 0
    (folder,) = Path("data/runs").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    status, _, err = command(experiment, "--models", "bpr", "--set", "epochs=1", "--jobs", "1", "--threads", "1")
    assert status == 0, err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(list(Path("data/runs").iterdir())) == 2


def test_metrics_of_another_protocol_are_measured_again_for_an_experiment(command) -> None:
    asked = ("--models", "popular", "--jobs", "1", "--threads", "1")
    command(experiment, *asked)
    command(evaluate, "--run", "popular", "--protocol", "full")
    assert "already finished" not in command(experiment, *asked)[1]
    assert "1 of 1 runs are already finished" in command(experiment, *asked)[1]


def test_an_experiment_takes_the_test_metrics_of_evaluate_and_what_they_cost(command) -> None:
    command(train, "--model", "popular")
    command(evaluate, "--run", "popular")
    status, out, err = command(experiment, "--models", "popular", "--jobs", "1", "--threads", "1")
    assert (status, "1 of 1 runs are already finished" in out) == (0, True), err
    assert pl.read_parquet("data/experiments/toy-v0001/costs.parquet")["evaluate_s"].null_count() == 0


def test_a_stopped_training_says_how_it_continues_and_continues_by_itself(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*SMALL, "--epochs", "4")
    monkeypatch.setattr(training_run, "CHECKPOINT_EVERY_S", 0)
    command(train, *asked, "--runs", "whole")
    written = training_run.write_checkpoint

    def stop_after_two(folder: Path, trainer: Any) -> None:
        written(folder, trainer)
        if len(trainer.epochs) == 2:
            raise KeyboardInterrupt

    for options in ([], ["--resume"]):
        monkeypatch.setattr(training_run, "write_checkpoint", stop_after_two)
        status, _, err = command(train, *asked, "--runs", f"stopped{len(options)}")
        assert (status, "stopped; run the same command again to continue" in err) == (130, True)
        (unfinished,) = Path(f"stopped{len(options)}").iterdir()
        status, _, err = command(evaluate, "--run", unfinished)
        assert (status, "training has not finished; run the command that started it again" in err) == (1, True)
        monkeypatch.setattr(training_run, "write_checkpoint", written)
        status, out, err = command(train, *asked, *options, "--runs", f"stopped{len(options)}")
        assert (status, "Resuming after epoch 2." in out) == (0, True), err
        assert _weights_equal(Path("whole"), Path(f"stopped{len(options)}"))


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_checkpoint_that_cannot_be_used_is_said_and_training_starts_again(
    command, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (*SMALL, "--epochs", "2")
    command(train, *asked)
    (folder,) = Path("data/runs").iterdir()
    state = torch.load(folder / "model.pt", weights_only=True)
    (folder / "model.pt").rename(folder / "checkpoint.pt")  # of this training, but of another version's trainer
    if damage is not None:
        (folder / "checkpoint.pt").write_bytes(damage)
    status, _, err = command(train, *asked, "--resume")
    assert (status, err.count("\n")) == (1, 1)
    assert "omit --resume to train from the first epoch" in err
    status, out, err = command(train, *asked)
    assert (status, "training starts from the first epoch." in out) == (0, True), err
    again = torch.load(folder / "model.pt", weights_only=True)
    assert all(torch.equal(state[key], again[key]) for key in state)


def _weights_equal(one: Path, other: Path) -> bool:
    first, second = (torch.load(next(folder.glob("*/model.pt")), weights_only=True) for folder in (one, other))
    return all(torch.equal(first[key], second[key]) for key in {*first, *second})


TRAIN_WITH_CHECKPOINTS = """
import sys
from dataset.cli import run
from model.experiments import experiment as experiments
from model.experiments import training_run
from model.train import app
training_run.CHECKPOINT_EVERY_S = 0
run(app)
"""


def _child(*arguments: str, code: str = TRAIN_WITH_CHECKPOINTS) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL
    )


def test_a_training_killed_at_any_moment_ends_as_if_it_had_not_been(command, is_long: bool) -> None:
    asked = [*SMALL, "--epochs", "20", "--threads", "1"]
    command(train, *asked, "--runs", "whole")
    rng = random.Random()
    for attempt in range(20 if is_long else 3):
        runs_folder = Path(f"killed{attempt}")
        with _child(*asked, "--runs", str(runs_folder)) as process:
            while not list(runs_folder.glob("*/config.json")) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
        status, _, err = command(train, *asked, "--runs", str(runs_folder))
        assert status == 0, err
        assert _weights_equal(Path("whole"), runs_folder)
        assert len(list(runs_folder.glob("bpr*"))) == 1


def test_of_two_processes_that_ask_for_the_same_run_one_trains_and_the_other_waits(command) -> None:
    asked = (*SMALL, "--epochs", "2")
    assert command(train, *asked)[0] == 0
    (folder,) = Path("data/runs").iterdir()
    told: list[str] = []
    released = threading.Event()
    with lock_run(folder):
        other = threading.Thread(target=_hold, args=(folder, told, released))
        other.start()
        while "waiting" not in told:
            time.sleep(0.01)
        assert not released.is_set()
        status, _, err = command(runs, "rm", folder.name, "--yes")
        assert (status, "a process works on this run" in err) == (2, True)
        assert "; in use" in command(runs)[1]
    other.join(30)
    assert released.is_set()
    assert [path.name for path in Path("data/runs").iterdir()] == [folder.name]  # no lock is left


def _hold(folder: Path, told: list[str], released: threading.Event) -> None:
    with lock_run(folder, lambda: told.append("waiting")):
        released.set()


@pytest.mark.long
def test_two_trainings_at_once_leave_one_run(command) -> None:
    asked = [*SMALL, "--epochs", "30", "--threads", "1"]
    with _child(*asked) as one, _child(*asked) as other:
        assert (one.wait(), other.wait()) == (0, 0)
    (folder,) = Path("data/runs").iterdir()
    assert (folder / "model.pt").is_file()


def test_runs_are_listed_with_what_differs_from_the_default_and_removed_by_name(command) -> None:
    assert "No run below data/runs" in command(program, "runs")[1]
    command(train, *SMALL, "--epochs", "1", "--set", "dim=8")
    command(train, "--model", "popular")
    command(evaluate, "--run", "popular-")
    listed = command(program, "runs")[1].splitlines()
    assert [line.partition("-")[0] for line in listed] == ["bpr", "popular"]
    assert (
        ": dim=8, epochs=1, batch_size=32, learning_rate=0.02; trained, 1 epochs; validation item full_ndcg@15 0."
        in (listed[0])
    )
    assert ": default settings; trained; test item ndcg@15 0." in listed[1]
    found = json.loads(command(runs, "list", "bpr", "--json")[1])
    assert [(one["model"], one["settings"]["dim"], one["state"]) for one in found] == [("bpr", 8, "trained")]
    status, _, err = command(runs, "rm", "bpr")
    assert (status, err.count("\n"), "add --yes" in err) == (2, 1, True)
    assert command(program, "runs", "rm", "bpr", "--yes")[0] == 0
    assert [path.name.partition("-")[0] for path in Path("data/runs").iterdir()] == ["popular"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", "not a run (no readable config.json there)"),
        ("extra", "holds 1 files that are not of a run (notes.txt)"),
        ("link", "is a link"),
        ("missing", "not a run"),
        ("", "rm takes the names of the runs to remove"),
    ],
)
def test_what_is_not_a_run_is_not_removed(command, kind: str, words: str) -> None:
    command(train, "--model", "popular")
    (folder,) = Path("data/runs").iterdir()
    Path("data/runs/folder").mkdir()
    Path("data/runs/folder/thesis.tex").touch()
    if kind == "extra":
        folder = folder.rename("data/runs/extra")
        (folder / "notes.txt").touch()
    Path("data/runs/link").symlink_to(folder.resolve())
    status, _, err = command(runs, "rm", *([kind] if kind else []), "--yes")
    assert (status > 0, err.count("\n"), words in err) == (True, 1, True), err
    assert (folder / "model.pt").is_file()
    assert Path("data/runs/folder/thesis.tex").is_file()


def test_names_and_the_starts_of_names_are_taken_everywhere_and_an_ambiguous_one_is_refused(command) -> None:
    for seed in ("0", "1"):
        command(train, "--model", "random", "--seed", seed)
    command(train, "--model", "popular")
    for run in ("random-toy-v0001-0", "random-toy-v0001-1-", "data/runs/popular"):
        assert command(evaluate, "--run", run)[0] == 0
    assert command(recommend, "--run", "popular", "--k", "1")[0] == 0
    assert command(compare, "--runs", "popular", "random-toy-v0001-0", "--to", "c.parquet")[0] == 0
    for module in (evaluate, recommend):
        status, _, err = command(module, "--run", "random")
        assert (status, err.count("\n")) == (2, 1)
        assert "random: 2 runs start so (random-toy-v0001-0-" in err
    with pytest.raises(UsageError, match="2 runs start so"):
        find_run("data/runs/random")


def test_a_run_of_an_older_version_is_listed_and_read(command) -> None:
    command(train, "--model", "popular")
    (new,) = Path("data/runs").iterdir()
    old = new.rename("data/runs/popular-toy-v0001-0")
    description = json.loads((old / "config.json").read_text())
    del description["results_version"]
    (old / "config.json").write_text(json.dumps(description))
    state = torch.load(old / "model.pt", weights_only=True)
    state["training_sha256"] = torch.tensor(list(bytes.fromhex(run_digest(description))), dtype=torch.uint8)
    torch.save(state, old / "model.pt")
    assert command(evaluate, "--run", "popular-toy-v0001-0")[0] == 0
    before = {path: path.read_bytes() for path in old.iterdir()}
    assert "popular-toy-v0001-0: default settings; trained" in command(runs)[1]
    assert "trained already" not in command(train, "--model", "popular")[1]
    assert {path: path.read_bytes() for path in old.iterdir()} == before
    assert command(evaluate, "--run", "popular-toy-v0001-0")[0] == 0  # a whole name, although another starts with it
    assert command(runs, "rm", "popular-toy-v0001-0", "--yes")[0] == 0
