"""A command that is killed at any moment leaves the old state or the new one, and the same command then ends well."""

import hashlib
import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.description import FEATURE_FILES, TABLE_FILES, read_description, read_proven, write_description
from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.feature_schema import FrameFeature
from dataset.folders import replaced_folder
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import list_snapshots
from dataset.snapshots.verify import verify
from dataset.tables import write_table


@pytest.fixture(scope="module")
def commands(start_commands: Callable[..., Any]) -> Any:
    return start_commands("dataset", "features")


def digest_of(folder: Path) -> str:
    """Return a digest of all files of a folder, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def moments(total: int, is_long: bool, seed: int) -> list[int]:
    """Return the moments to kill at: 30 in the long tests, else 3."""
    return random.Random(seed).sample(range(1, total + 1), min(total, 30 if is_long else 3))


@pytest.fixture
def built(raw_once: Path, tmp_path: Path) -> Path:
    return build(raw_once, tmp_path / "dataset", DatasetConfig()).path


def extraction(raw: Path, dataset: Path, weights: str) -> tuple[object, ...]:
    """Return an extraction with a small network."""
    where = ("--raw", raw, "--dataset", dataset, "--store", dataset.parent / "store")
    how = f"--extractor mobilenet_v3_small --precision fp32 --device cpu --decoders 1 --weights {weights}"
    return ("features", "extract", *where, *how.split())


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def replace(folder: Path, by: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(by, folder)


def require_old_or_new(commands: Any, dataset: Path, command: tuple[object, ...], is_long: bool, seed: int) -> None:
    """Kill a command that changes a dataset folder at several moments, each time from the same old state."""
    home = dataset.parent
    shutil.copytree(dataset, home / "before")
    old, total = digest_of(dataset), commands.ends_well(home, *command)
    new = digest_of(dataset)
    assert new != old
    for moment in moments(total, is_long, seed):
        replace(dataset, home / "before")
        assert commands.run(home, moment, *command)[0] == -signal.SIGKILL
        assert digest_of(dataset) in (old, new), f"a mixture after the kill at moment {moment} of {total}"
        read_proven(dataset)
        commands.ends_well(home, *command)
        assert digest_of(dataset) == new
        assert hidden(home) == []


def test_a_killed_build_leaves_no_mixture_of_two_builds(
    commands: Any, built: Path, raw_once: Path, is_long: bool
) -> None:
    commands.ends_well(built.parent, *extraction(raw_once, built, "random:0"))
    require_old_or_new(
        commands, built, ("dataset", "build", "--raw", raw_once, "--to", built, "--k-item", 9), is_long, 1
    )


def test_a_killed_extraction_leaves_no_features_without_their_description(
    commands: Any, built: Path, raw_once: Path, is_long: bool
) -> None:
    commands.ends_well(built.parent, *extraction(raw_once, built, "random:0"))
    commands.ends_well(built.parent, *extraction(raw_once, built, "random:1"))  # so that the store has all features
    commands.ends_well(built.parent, *extraction(raw_once, built, "random:0"))
    require_old_or_new(commands, built, extraction(raw_once, built, "random:1"), is_long, 2)


def test_a_killed_extraction_of_all_pictures_leaves_no_tables_of_two_runs(
    commands: Any, raw_once: Path, tmp_path: Path, is_long: bool
) -> None:
    raw, features = shutil.copytree(raw_once, tmp_path / "raw"), tmp_path / "raw" / "features"
    first, second = ((*extraction(raw, tmp_path / "none", of), "--all-pictures") for of in ("random:0", "random:1"))
    commands.ends_well(tmp_path, *second)
    new = digest_of(features)
    next((raw / "pictures").iterdir()).unlink()  # so that the second table, the quarantine, differs too
    commands.ends_well(tmp_path, *first)
    old = digest_of(features)
    assert pl.read_parquet(features / "features_quarantine.parquet").height > 0
    shutil.copytree(features, tmp_path / "before")
    total = commands.ends_well(tmp_path, *second)
    assert digest_of(features) == new != old
    for moment in moments(total, is_long, seed=4):
        replace(features, tmp_path / "before")
        assert commands.run(tmp_path, moment, *second)[0] == -signal.SIGKILL
        assert digest_of(features) in (old, new), f"a mixture after the kill at moment {moment} of {total}"
        commands.ends_well(tmp_path, *second)
        assert digest_of(features) == new
        assert hidden(raw) == []


def test_files_among_the_features_of_all_pictures_are_not_lost(commands: Any, raw_once: Path, tmp_path: Path) -> None:
    raw = shutil.copytree(raw_once, tmp_path / "raw")
    (raw / "features").mkdir()
    (raw / "features" / "notes.txt").write_text("mine")
    command = (*extraction(raw, tmp_path / "none", "random:0"), "--all-pictures")
    assert commands.run(tmp_path, 0, *command)[0] == 2
    assert "no part of extracted features, for example 'notes.txt'; move them" in (tmp_path / "output").read_text()
    assert (raw / "features" / "notes.txt").read_text() == "mine"


def test_a_killed_publication_leaves_no_half_a_version(commands: Any, built: Path, is_long: bool) -> None:
    home = built.parent
    command = ("dataset", "publish", "--dataset", built, "--name", "toy", "--root")
    total = commands.ends_well(home, *command, home / "whole")
    for moment in moments(total, is_long, seed=3):
        root = home / f"root-{moment}"
        assert commands.run(home, moment, *command, root)[0] == -signal.SIGKILL
        for found in list_snapshots(root):
            assert verify(found) == []
        commands.ends_well(home, *command, root)
        (found,) = list_snapshots(root)
        assert (verify(found), found.version) == ([], 1)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_that_cannot_be_finished_stays_as_it_was(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:  # a file system or a system that cannot exchange two folders
        monkeypatch.setattr("dataset.folders._exchange", lambda one, other: False)
    folder = tmp_path / "it[s] 1*"
    for content in ("first", "second"):
        with replaced_folder(folder) as staging:
            (staging / "file").write_text(content)
        assert (folder / "file").read_text() == content

    def fails() -> None:
        with replaced_folder(folder) as staging:
            (staging / "file").write_text("third")
            raise ValueError("unfinished")

    with pytest.raises(ValueError, match="unfinished"):
        fails()
    assert (folder / "file").read_text() == "second"
    assert hidden(tmp_path) == []


def test_a_folder_that_was_moved_aside_when_the_kill_came_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".dataset.0123.old").mkdir()
    (tmp_path / ".dataset.0123.old" / "file").write_text("old")

    def fails() -> None:
        with replaced_folder(tmp_path / "dataset"):
            raise ValueError("unfinished")

    with pytest.raises(ValueError, match="unfinished"):
        fails()
    assert (tmp_path / "dataset" / "file").read_text() == "old"


def test_features_stay_with_the_frames_they_are_of_and_with_no_others(
    commands: Any, built: Path, raw_once: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.ends_well(built.parent, *extraction(raw_once, built, "random:0"))
    features = (built / "frame_features.parquet").read_bytes()
    assert not build(raw_once, built, DatasetConfig()).removed_features
    assert (built / "frame_features.parquet").read_bytes() == features
    assert read_proven(built)["extractor"]["weights"] == "random:0"
    assert not build(
        raw_once, built, DatasetConfig(split=SplitConfig(seed=5))
    ).removed_features  # other train_like_count
    assert (built / "frame_features.parquet").read_bytes() == features
    assert read_proven(built)["extractor"]["weights"] == "random:0"
    shutil.copytree(raw_once, raw_once.parent / "fewer")
    frames = pl.read_parquet(raw_once / "frames.parquet")
    frames.slice(1).write_parquet(raw_once.parent / "fewer" / "frames.parquet")
    removed = build(raw_once.parent / "fewer", built, DatasetConfig()).removed_features
    assert removed == ("frame_features",)
    assert not (built / "frame_features.parquet").exists()
    assert "extractor" not in read_proven(built)


@pytest.mark.parametrize(
    "name",
    [name for name in (*TABLE_FILES, *FEATURE_FILES) if name != "users.parquet"],  # imported data have no such table
)
@pytest.mark.parametrize("how", ["other", "gone"])
def test_no_mixture_is_published(
    name: str, how: str, commands: Any, built: Path, raw_once: Path, tmp_path: Path
) -> None:
    write_features(built)
    publish(built, "whole", tmp_path / "snapshots")
    if how == "gone":
        (built / name).unlink()
    else:
        pl.read_parquet(built / name).head(1).write_parquet(built / name)
    with pytest.raises((InvalidTableError, MissingInputError), match=f"{name}: (is not of this build|no such table)"):
        publish(built, "toy", tmp_path / "snapshots")


def test_features_of_another_build_are_not_published(built: Path, raw_once: Path, tmp_path: Path) -> None:
    write_features(built)
    description = read_proven(built)
    build(raw_once, built, DatasetConfig(split=SplitConfig(seed=5)))
    write_features(built)
    written = json.loads((built / "dataset.json").read_text()) | {"features_of": description["features_of"]}
    (built / "dataset.json").write_text(json.dumps(written))
    with pytest.raises(InvalidTableError, match="features of another build's frames; run `python -m features extract`"):
        publish(built, "toy", tmp_path / "snapshots")


def test_a_build_does_not_take_the_place_of_other_files(built: Path, raw_once: Path) -> None:
    (built / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"1 files .* no part of a dataset, for example 'notes.txt'; move them"):
        build(raw_once, built, DatasetConfig())
    with pytest.raises(UsageError, match="holds raw tables"):
        build(raw_once, raw_once, DatasetConfig())
    with pytest.raises(UsageError, match="no part of a dataset"):
        build(raw_once, raw_once.parent, DatasetConfig())
    assert (built / "notes.txt").read_text() == "mine"


def test_a_dataset_folder_may_be_a_link(raw_once: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "dataset").symlink_to(tmp_path / "disk")
    for _ in range(2):
        build(raw_once, tmp_path / "dataset", DatasetConfig())
    assert (tmp_path / "dataset").is_symlink()
    read_proven(tmp_path / "disk")


def write_features(dataset: Path) -> None:
    """Add features and their quarantine to a dataset."""
    frames = pl.read_parquet(dataset / "frames.parquet").select("frame_id").sort("frame_id")
    vectors = pl.Series([[1.0, 2.0]] * frames.height, dtype=pl.Array(pl.Float16, 2))
    table = frames.with_columns(image_sha256=pl.lit("0" * 64), feature=vectors)
    write_table(table, FrameFeature, dataset / "frame_features.parquet")
    shutil.copy(dataset / "quarantine.parquet", dataset / "features_quarantine.parquet")
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    write_description(dataset, read_description(dataset) | {"extractor": extractor})
