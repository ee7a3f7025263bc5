"""Small studies for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset.errors import UsageError
from model.experiments import experiment as experiments
from model.experiments.studies.study_file import read_study

Command = Callable[..., tuple[int, str, str]]
SMALL = """
seeds = [0, 1]
unequal = true

[training]
epochs = 3
batch_size = 64

[evaluation]
item_ks = [10, 5]
frame_ks = [2]

[statistics]
n_bootstrap = 100
baseline = "bpr"
metrics = ["ndcg", "full_recall"]

[models.bpr]
dim = 8

[models.jifr]
try = { "collaborative_dim,visual_dim" = [4, 8], l2 = "0.0001..0.1" }
trials = 2

[models.small]
model = "bpr"
dim = 4

[models.popular]
"""


def _no_report(folder: Path, *_: Any) -> Path:
    (folder / "report.html").touch()
    return folder / "report.html"


@pytest.fixture
def study_command(
    run_command: Command,
    snapshots: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Command:
    """Run a module's command in a folder with a snapshot; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/snapshots").symlink_to(snapshots)
    if not any(words in request.node.name for words in ("says_what_it_chose", "a_row_of_every_table")):
        monkeypatch.setattr(experiments, "write_report", _no_report)
    return lambda module, *arguments: run_command(module.app, *arguments)


def write_study(text: str, name: str = "small.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def require_refusal(text: str, words: str, tmp_path: Path) -> None:
    """Check that a study is refused in one line with these words."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as told:
        read_study(path)
    assert str(told.value).startswith(f"{path}: ")
    assert words in str(told.value)
    assert "\n" not in str(told.value).split("not a TOML file")[0]
