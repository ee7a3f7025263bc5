"""Training, tuning and an experiment write a line per epoch where there is no terminal."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dataset.snapshots.snapshot import Snapshot
from model import experiment, train, tune
from model.data.tables import Tables, index_ids
from model.data.tensors import TrainingData, training_data
from model.models.registry import default_config
from model.training.config import TrainingConfig
from model.training.trainer import Trainer


@pytest.fixture
def snapshot(
    publish_below: Callable[[Path, Tables], Snapshot], tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Snapshot:
    monkeypatch.chdir(tmp_path)
    return publish_below(tmp_path / "data", tables)


EPOCH = r"^{}: \d of {} \(\d+ %\), .+; {}loss \d\.\d+(, NDCG \d\.\d+)?$"


@pytest.mark.parametrize(
    ("module", "options", "line"),
    [
        (train, ["--model", "bpr", "--epochs", "3"], EPOCH.format("Training bpr", "3 epochs", "")),
        (
            tune,
            ["--model", "bpr", "--set", "epochs=3", "--try", "dim=4"],
            EPOCH.format("Tuning bpr", "1 trials", r"epoch \d, "),
        ),
        (
            experiment,
            ["--models", "bpr", "--set", "epochs=3", "--jobs", "1", "--threads", "1"],
            EPOCH.format("bpr.*", "3 epochs", ""),
        ),
    ],
)
def test_each_epoch_has_a_line_unless_quiet(run_command, snapshot: Snapshot, module, options, line: str) -> None:
    done = run_command(module.app, *options, "--snapshot", snapshot.path)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(line, done.stderr, re.M)) == 3, done.stderr
    assert not re.search(line, done.stdout, re.M)
    assert run_command(module.app, *options, "--snapshot", snapshot.path, "--quiet").stderr == ""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_running_epoch_says_what_it_is_at(tables: Tables, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`position` is what a line shows if an epoch takes longer than 30 s."""
    monkeypatch.setattr("model.training.trainer.make_steps", _steps_for(device))
    data: TrainingData = training_data(tables, index_ids(tables))
    training = TrainingConfig(epochs=2, batch_size=50, n_negatives=1)
    trainer = Trainer(data, None, "bpr", default_config("bpr"), training, 0)
    seen = [trainer.position()]
    monkeypatch.setattr(type(trainer._steps), "_step", _watched(type(trainer._steps)._step, trainer, seen))
    trainer.run_epoch()
    n_steps = -(-len(data.positives.values) // 50)
    assert seen == ["", *(f"epoch 1, step {number} of {n_steps}" for number in range(n_steps))]
    assert trainer.position() == "epoch 2, validation"


def _steps_for(device: str):
    from model.training.steps import make_steps

    return lambda learner, optimizer, batch_size, _: make_steps(learner, optimizer, batch_size, device)


def _watched(step, trainer: Trainer, seen: list[str]):
    def watched(self, *arguments: torch.Tensor) -> None:
        seen.append(trainer.position())
        step(self, *arguments)

    return watched


def test_a_model_that_is_fitted_at_once_has_no_steps(tables: Tables) -> None:
    data = training_data(tables, index_ids(tables))
    assert Trainer(data, None, "ease", default_config("ease"), TrainingConfig(), 0).position() == ""
