"""Every command of every package takes the file or folder that is named, also if its name is a pattern elsewhere."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from cyclopts import App
from PIL import Image

import model.compare
import model.evaluate
import model.experiment
import model.recommend
import model.train
from dataset.__main__ import app as dataset_app
from features.__main__ import app as features_app

ODD_NAMES = ["[2024] *ml?", "{a,b} #1 %20", "**"]


@pytest.fixture
def command(run_command: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """A function that runs a command and returns what it prints."""

    def call(app: App, *arguments: object) -> str:
        status, out, err = run_command(app, *arguments)
        assert status == 0, (arguments, err)
        return out

    return call


def ratings(seed: int) -> pl.DataFrame:
    draw = random.Random(seed)
    rows = [(u, i, draw.randint(1, 5), 1_593_878_903 + 97 * u + i) for u in range(20) for i in range(15)]
    kept = [row for row in rows if draw.random() < 0.7]
    return pl.DataFrame(kept, schema=["user", "item", "rating", "when"], orient="row")


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_all_commands_read_and_write_the_folder_that_is_named(
    odd: str, command: Callable[..., str], tmp_path: Path
) -> None:
    home = tmp_path / odd
    for decoy in ("2024 ml", "2 mlx", "a #1 %20", "a #1  "):  # what the names match as patterns, or are once decoded
        (tmp_path / decoy).mkdir()
    home.mkdir()
    table, decoy_table = ratings(seed=0), ratings(seed=1).head(40)
    for name in ("r[1].csv", "r1.csv"):
        (table if "[" in name else decoy_table).write_csv(home / name)
    (home / "t?.csv").write_text("item,title\n" + "".join(f"{i},Right {i}\n" for i in range(15)))
    (home / "tt.csv").write_text("item,title\n1,Wrong\n")
    (home / "pictures[*]").mkdir()
    for i in range(6):
        Image.new("RGB", (40, 30), (i * 40, 0, 0)).save(home / "pictures[*]" / f"{i}.jpg")

    raw, built, root = (home / f"{name}[x]" for name in ("raw", "built", "snapshots"))
    columns = ("--rating-column", "rating", "--time-column", "when", "--items", home / "t?.csv")
    command(dataset_app, "import", home / "r[1].csv", *columns, "--pictures", home / "pictures[*]", "--to", raw)
    assert pl.read_parquet(raw / "ratings.parquet", glob=False).height == table.height
    assert set(pl.read_parquet(raw / "movies.parquet", glob=False)["title"].str.head(5)) == {"Right"}
    command(dataset_app, "build", "--raw", raw, "--to", built)
    command(dataset_app, "export", built, "--to", home / "exported[x]")
    small = ("--extractor", "resnet18", "--weights", "random:0", "--device", "cpu")
    command(features_app, "extract", "--raw", raw, "--dataset", built, "--store", home / "store[x]", *small)
    assert "Published toy v0001" in command(dataset_app, "publish", "--dataset", built, "--name", "toy", "--root", root)
    snapshot = root / "toy" / "v0001"
    assert "toy v0001" in command(dataset_app, "list", "--root", root)
    assert "frame_features" in command(dataset_app, "show", snapshot)
    assert "as it was published" in command(dataset_app, "verify", snapshot)
    assert "are equal" in command(dataset_app, "diff", snapshot, snapshot)
    assert "verified" in command(dataset_app, "pull", root / "toy", "--to", home / "pulled[x]")
    command(dataset_app, "report", snapshot, "--raw", raw, "--to", home / "page[x]")
    assert (home / "page[x]" / "report.html").is_file()

    _train_and_compare(command, home, snapshot, raw)


def _train_and_compare(command: Callable[..., str], home: Path, snapshot: Path, raw: Path) -> None:
    runs, short = home / "runs[x]", ("--epochs", "1", "--threads", "1")
    for name in ("bpr", "popular"):
        command(model.train.app, "--model", name, "--snapshot", snapshot, "--runs", runs, *short)
    folders = sorted(path for path in runs.iterdir() if path.is_dir())
    for folder in folders:
        command(model.evaluate.app, "--run", folder)
    command(model.recommend.app, "--run", folders[0], "--k", "3")
    command(model.compare.app, "--runs", *folders, "--to", home / "compared[x].parquet")
    experiment = ("--models", "bpr,popular", "--jobs", "1", "--set", "epochs=1", "--threads", "1")
    command(model.experiment.app, *experiment, "--snapshot", snapshot, "--raw", raw, "--to", home / "experiment[x]")
    assert (home / "experiment[x]" / "report.html").is_file()


@pytest.mark.parametrize(("name", "decoy"), [("log[1].parquet", "log1.parquet"), ("l?g*.parquet", "logs.parquet")])
def test_kcore_reads_the_file_or_the_whole_folder_that_is_named(
    name: str, decoy: str, command: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "logs[1]").mkdir()
    for folder in (tmp_path, tmp_path / "logs[1]"):
        ratings(seed=0).write_parquet(folder / name)
        ratings(seed=1).head(40).write_parquet(folder / decoy)
    shutil.copytree(tmp_path / "logs[1]", tmp_path / "logs1")
    columns = ("--user-column", "user", "--item-column", "item", "--to", tmp_path / "core[1].parquet", "--replace")
    n_rows = ratings(seed=0).height
    assert f"of {n_rows:,} rows" in command(dataset_app, "kcore", tmp_path / name, *columns)
    assert f"of {n_rows + 40:,} rows" in command(dataset_app, "kcore", tmp_path / "logs[1]", *columns)
