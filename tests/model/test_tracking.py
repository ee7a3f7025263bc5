"""`--log` writes every epoch for a tracking tool, whose files are read back where it is installed."""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest

from dataset import extras
from dataset.snapshots.snapshot import Snapshot
from model import experiment, train, tune
from model.data.tables import Tables
from model.experiments.tracking import open_tracker
from model.training.trainer import Epoch

EPOCHS = [Epoch(1, 0.7, None, 0.5), Epoch(2, 0.5, 0.25, 0.5)]
METRICS = pl.DataFrame({"task": ["item", "frame"], "metric": ["full_ndcg", "ndcg"], "k": [15, 3], "value": [0.25, 0.5]})
RECORDED = {
    "train/loss": [(1, 0.7), (2, 0.5)],
    "train/seconds": [(1, 0.5), (2, 0.5)],
    "validation/ndcg": [(2, 0.25)],
    "test/item_full_ndcg_15": [(2, 0.25)],
    "test/frame_ndcg_3": [(2, 0.5)],
}


class Recorder:
    """What a fake tool has received: for each run its settings, its values, and whether it was ended."""

    def __init__(self) -> None:
        self.settings: dict[str, dict[str, Any]] = {}
        self.values: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self.ended: list[str] = []
        self.options: dict[str, Any] = {}

    def begin(self, name: str) -> None:
        self.settings[name], self.values[name] = {}, {}

    def add(self, name: str, key: str, value: float, step: int) -> None:
        self.values[name].setdefault(key, []).append((step, value))


def fake_mlflow(seen: Recorder) -> dict[str, ModuleType]:
    class MlflowClient:
        def __init__(self, tracking_uri: str) -> None:
            seen.options["uri"] = tracking_uri

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str, artifact_location: str) -> str:
            seen.options["artifacts"] = artifact_location
            return "1"

        def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
            seen.begin(run_name)
            return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

        def log_param(self, run: str, key: str, value: object) -> None:
            seen.settings[run][key] = value

        def log_metric(self, run: str, key: str, value: float, step: int) -> None:
            seen.add(run, key, value, step)

        def set_terminated(self, run: str) -> None:
            seen.ended.append(run)

    tracking = ModuleType("mlflow.tracking")
    tracking.MlflowClient = MlflowClient  # type: ignore[attr-defined]
    return {"mlflow": ModuleType("mlflow"), "mlflow.tracking": tracking}


def fake_wandb(seen: Recorder) -> dict[str, ModuleType]:
    def init(name: str, **options: object) -> SimpleNamespace:
        seen.begin(name)
        seen.options = options

        def log(values: dict[str, float], step: int) -> None:
            for key, value in values.items():
                seen.add(name, key, value, step)

        config = SimpleNamespace(update=seen.settings[name].update)
        return SimpleNamespace(config=config, log=log, finish=lambda: seen.ended.append(name))

    wandb = ModuleType("wandb")
    wandb.init = init  # type: ignore[attr-defined]
    return {"wandb": wandb}


@pytest.fixture(params=["mlflow", "wandb"])
def faked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Recorder]:
    seen, tool = Recorder(), str(request.param)
    for name, module in {"mlflow": fake_mlflow, "wandb": fake_wandb}[tool](seen).items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    return tool, seen


def track(tool: Any, folder: Path) -> None:
    with open_tracker(tool, folder) as tracker:
        tracker.settings("run", {"dim": 8})
        for epoch in EPOCHS:
            tracker.epoch("run", epoch)
        tracker.metrics("run", "test", METRICS)
        tracker.epoch("other", EPOCHS[0])


def test_a_tool_gets_settings_epochs_and_metrics_and_every_run_is_ended(
    faked: tuple[str, Recorder], tmp_path: Path
) -> None:
    tool, seen = faked
    track(tool, tmp_path)
    assert seen.settings["run"] == {"dim": 8}
    assert seen.values["run"] == RECORDED
    assert sorted(seen.ended) == ["other", "run"]
    if tool == "wandb":
        assert (seen.options["mode"], seen.options["dir"]) == ("offline", str(tmp_path / "wandb"))
    else:
        assert seen.options["uri"] == f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
        assert seen.options["artifacts"].startswith("file:///")


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "run"))
    events.Reload()
    assert {key: [(one.step, pytest.approx(one.value)) for one in events.Scalars(key)] for key in RECORDED} == RECORDED
    assert events.Tags()["tensors"] == ["settings/text_summary"]
    assert (tmp_path / "tensorboard" / "other").is_dir()


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    track("mlflow", tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    (experiment_id,) = [one.experiment_id for one in client.search_experiments() if one.name == "douban-keyframes"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {"run": "FINISHED", "other": "FINISHED"}
    assert runs["run"].data.params == {"dim": "8"}
    read = {key: client.get_metric_history(runs["run"].info.run_id, key) for key in RECORDED}
    assert {key: [(one.step, one.value) for one in values] for key, values in read.items()} == RECORDED


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline_runs_and_asks_for_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    track("wandb", tmp_path)
    assert len(list((tmp_path / "wandb/wandb").glob("offline-run-*/*.wandb"))) == 2


def test_without_a_tool_nothing_is_written(tmp_path: Path) -> None:
    track(None, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow", "wandb"])
@pytest.mark.parametrize("module", [train, tune, experiment])
def test_a_tool_that_is_missing_is_one_line_before_any_work(
    run_command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: ModuleType, tool: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    done = run_command(module.app, "--log", tool)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert f"--log {tool} needs {tool}: install the extra '{tool}'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "options", "n_runs", "last"),
    [
        (train, ["--model", "bpr", "--epochs", "2"], 1, "validation/item_full_ndcg_15"),
        (tune, ["--model", "bpr", "--set", "epochs=2", "--try", "dim=4,8"], 2, "train/loss"),
        (experiment, ["--models", "bpr,popular", "--set", "epochs=2", "--jobs", "1"], 2, "test/item_ndcg_15"),
    ],
)
def test_each_command_records_its_runs(
    run_command,
    faked: tuple[str, Recorder],
    publish_below: Callable[[Path, Tables], Snapshot],
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    options: list[str],
    n_runs: int,
    last: str,
) -> None:
    tool, seen = faked
    if tool == "wandb":
        pytest.skip("one fake is enough here")
    monkeypatch.chdir(tmp_path)
    snapshot = publish_below(tmp_path, tables)
    done = run_command(module.app, *options, "--snapshot", snapshot.path, "--log", tool)
    assert done.returncode == 0, done.stderr
    assert len(seen.values) == len(seen.settings) == len(seen.ended) == n_runs
    trained = [name for name in seen.values if "bpr" in name]
    for name in trained:
        assert [step for step, _ in seen.values[name]["train/loss"]] == [1, 2]
        assert last in seen.values[name]
        assert seen.settings[name]["model"] == "bpr"
        assert "epochs" in seen.settings[name]
