import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dataset.errors import InvalidSnapshotError
from dataset.files import sha256_of_file
from dataset.snapshots.manifest import TableFile
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from model.data.feature_cache import frame_features
from model.data.loading import read_tables
from model.data.tables import Tables, index_ids
from model.data.tensors import training_data


@pytest.fixture
def snapshot(tables: Tables, publish_tables: Callable[[Tables], Snapshot]) -> Snapshot:
    return publish_tables(tables)


def cache_of(snapshot: Snapshot) -> Path:
    (path,) = (snapshot.path.parent / ".cache").glob("*.npy")
    return path


def test_the_cache_holds_the_tables_features_in_the_models_order(snapshot: Snapshot) -> None:
    table = snapshot.read("frame_features").select("frame_id", "feature")
    cached = frame_features(snapshot)
    assert cached.sort("frame_id").equals(table.sort("frame_id"))
    assert cached["frame_id"].equals(index_ids(read_tables(snapshot)).frames)


def test_training_maps_the_cache_and_copies_nothing(snapshot: Snapshot) -> None:
    tables = read_tables(snapshot)
    assert tables.frame_features is not None
    tensor = training_data(tables, index_ids(tables)).frames.features
    assert tensor is not None
    assert tensor.data_ptr() == tables.frame_features["feature"].to_numpy().ctypes.data
    assert str(cache_of(snapshot)) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("damage", ["flip", "forged", "cut", "gone", "no record"])
def test_a_damaged_cache_is_derived_again(snapshot: Snapshot, damage: str) -> None:
    expected = frame_features(snapshot).clone()
    path = cache_of(snapshot)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "no record":
        path.with_suffix(".json").write_text("{}")
    else:
        broken = bytearray(content)
        broken[-3] ^= 1
        before = path.stat()
        path.unlink()  # what is mapped stays as it was
        path.write_bytes(content[:-10] if damage == "cut" else broken)
        if damage == "forged":  # size and time are the recorded ones
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert frame_features(snapshot).equals(expected)
    assert path.read_bytes() == content


def test_a_current_cache_is_neither_hashed_nor_written_again(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame_features(snapshot)
    before = cache_of(snapshot).stat()
    monkeypatch.setattr("model.data.feature_cache._derive", lambda *_: pytest.fail("written again"))
    monkeypatch.setattr(Snapshot, "require_published", lambda _, name: name != "frames" and pytest.fail("2 GB hashed"))
    frame_features(snapshot)
    assert cache_of(snapshot).stat().st_ino == before.st_ino


def test_a_version_with_other_features_has_its_own_cache(
    tables: Tables, snapshot: Snapshot, publish_tables: Callable[[Tables], Snapshot]
) -> None:
    frame_features(snapshot)
    before = cache_of(snapshot)
    assert tables.frame_features is not None
    features = tables.frame_features["feature"].to_numpy() + np.float16(1)
    changed = tables.frame_features.with_columns(
        pl.Series("feature", features, dtype=tables.frame_features.schema["feature"])
    )
    second = publish_tables(replace(tables, frame_features=changed))
    assert (
        frame_features(second)["feature"].to_numpy().tolist() != frame_features(snapshot)["feature"].to_numpy().tolist()
    )
    assert before.exists()


def test_a_table_that_was_changed_after_it_was_published_is_refused(snapshot: Snapshot) -> None:
    table = snapshot.path / "frame_features.parquet"
    rows = pl.read_parquet(table)
    rows.reverse().write_parquet(table)
    with pytest.raises(InvalidSnapshotError, match="its bytes are not the ones that were published"):
        frame_features(open_snapshot(snapshot.path))


def test_the_table_is_read_if_no_cache_can_be_written(snapshot: Snapshot) -> None:
    (snapshot.path.parent / ".cache").write_text("in the way")
    assert frame_features(snapshot).equals(snapshot.read("frame_features").select("frame_id", "feature"))


def test_features_in_several_files_are_cached_as_one_table(snapshot: Snapshot) -> None:
    expected = frame_features(snapshot).clone()
    file = snapshot.path / "frame_features.parquet"
    rows, files = pl.read_parquet(file), []
    for number, part in enumerate((rows[:2], rows[2:])):
        path = file.with_name(f"frame_features-{number}.parquet")
        part.write_parquet(path)
        files.append(TableFile(path.name, part.height, path.stat().st_size, sha256_of_file(path)))
    entry = snapshot.manifest.tables["frame_features"]
    snapshot.manifest.tables["frame_features"] = replace(entry, files=tuple(files))
    assert frame_features(snapshot).equals(expected)
    assert len(list((snapshot.path.parent / ".cache").glob("*.npy"))) == 2
