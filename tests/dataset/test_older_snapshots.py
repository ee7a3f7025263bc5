"""Snapshots and tables that older versions of the code wrote; `snapshot_of_format_2` is one of them, byte for byte."""

import hashlib
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.cli import execute
from dataset.description import read_description
from dataset.errors import UsageError
from dataset.files import sha256_of_file, write_json
from dataset.schema import OPTIONAL_SNAPSHOT_TABLES, SNAPSHOT_TABLES, Interaction, SnapshotInteraction
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.manifest import TableEntry, TableFile, from_bytes, to_bytes
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.verify import verify
from dataset.tables import read_table

PUBLISHED = Path(__file__).parent / "snapshot_of_format_2" / "tiny" / "v0001"


@pytest.fixture
def old(tmp_path: Path) -> Snapshot:
    """Return a copy of a snapshot of format 2."""
    return open_snapshot(shutil.copytree(PUBLISHED, tmp_path / "tiny" / "v0001"))


def test_an_older_snapshot_is_verified_and_read_and_has_no_times(old: Snapshot) -> None:
    assert old.manifest.format_version == 2
    assert verify(old) == []
    assert {name: old.read(name).height for name in SNAPSHOT_TABLES if name not in OPTIONAL_SNAPSHOT_TABLES} == {
        "movies": 8,
        "frames": 8,
        "interactions": 30,
        "frame_likes": 9,
        "frame_features": 8,
    }
    interactions = old.read("interactions")
    assert interactions["rated_at"].null_count() == 30
    assert interactions["rated_on"].null_count() == 0
    assert {name: entry.rows for name, entry in old.manifest.tables.items()}["interactions"] == 30


@pytest.mark.parametrize("command", ["show", "verify", "report"])
def test_commands_take_an_older_snapshot(
    command: str, old: Snapshot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--to", str(tmp_path / "report")] if command == "report" else []
    execute(app, [command, str(old.path), *more])
    assert "tiny v0001" in capsys.readouterr().out


def test_an_older_snapshot_differs_from_the_same_data_in_the_present_format_only_in_what_is_new(
    old: Snapshot, tmp_path: Path
) -> None:
    new = _in_present_format(old, tmp_path / "new", rated_at=None)
    assert diff_tables(old, new) == []
    timed = _in_present_format(old, tmp_path / "timed", rated_at="2020-01-02T03:04:05Z")
    (difference,) = diff_tables(old, timed)
    assert (difference.table, difference.rows["columns"].explode().unique().to_list()) == ("interactions", ["rated_at"])
    assert "  30 changed (rated_at in 30)" in " ".join(describe_changes(old, timed, [difference]))


def test_a_table_of_several_files_is_one_table(old: Snapshot, tmp_path: Path) -> None:
    before = {name: old.read(name) for name in ("interactions", "frame_features")}
    parted = _in_two_files(old, list(before))
    assert parted.manifest.tables["interactions"].rows == 30
    for name, table in before.items():
        assert parted.read(name).equals(table)


def test_what_a_later_version_of_the_format_adds_is_ignored(old: Snapshot) -> None:
    file = old.path / "interactions.parquet"
    pl.read_parquet(file).with_columns(weather=pl.lit("rain")).write_parquet(file)
    entry = old.manifest.tables["interactions"]
    files = (replace(entry.files[0], sha256=sha256_of_file(file)),)
    old.manifest.tables["interactions"] = replace(entry, files=files)
    assert old.read("interactions").columns == list(SnapshotInteraction.column_names())


def test_a_table_that_only_a_later_version_knows_is_not_read_as_another(old: Snapshot) -> None:
    old.manifest.tables["seats"] = old.manifest.tables["movies"]
    with pytest.raises(UsageError, match="table 'seats': not known to this version"):
        old.read("seats")


def test_a_dataset_built_by_an_older_version_has_no_times_and_is_read() -> None:
    assert read_table(PUBLISHED / "interactions.parquet", Interaction)["rated_at"].null_count() == 30


def test_manifests_keep_their_bytes(old: Snapshot) -> None:
    again = from_bytes(to_bytes(old.manifest), "again")
    assert asdict(again) == asdict(old.manifest) | {"manifest_sha256": again.manifest_sha256}


def _in_present_format(old: Snapshot, folder: Path, rated_at: str | None) -> Snapshot:
    """Return a copy of a snapshot whose interactions have the column `rated_at`."""
    copy = open_snapshot(shutil.copytree(old.path, folder))
    moment = pl.lit(rated_at, pl.String).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    rows = old.read("interactions").with_columns(rated_at=moment)
    rows.write_parquet(folder / "interactions.parquet")
    columns = {name: str(dtype) for name, dtype in rows.schema.items()}
    entry = copy.manifest.tables["interactions"]
    copy.manifest.tables["interactions"] = TableEntry(entry.files, "0" * 64, columns)
    return copy


def _in_two_files(snapshot: Snapshot, tables: list[str]) -> Snapshot:
    """Return the snapshot with some of its tables written as two files each."""
    for table in tables:
        rows = pl.read_parquet(snapshot.path / f"{table}.parquet")
        files = []
        for number, part in enumerate((rows[:5], rows[5:])):
            path = snapshot.path / f"{table}-{number}.parquet"
            part.write_parquet(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files.append(TableFile(path.name, part.height, path.stat().st_size, digest))
        entry = snapshot.manifest.tables[table]
        snapshot.manifest.tables[table] = TableEntry(tuple(files), entry.content_sha256, entry.columns)
    return snapshot


def test_a_build_over_a_dataset_of_a_version_that_wrote_no_digests_drops_its_features(
    raw_once: Path, tmp_path: Path
) -> None:
    folder = build(raw_once, tmp_path / "dataset", DatasetConfig()).path
    extractor = {"architecture": "made", "node": "none", "weights": "random:0", "is_random": True}
    old = read_description(folder) | {"extractor": extractor}
    write_json(folder / "dataset.json", {key: value for key, value in old.items() if key != "tables"})
    (folder / "frame_features.parquet").write_bytes(b"old")
    (folder / "features_quarantine.parquet").write_bytes(b"old")
    assert build(raw_once, folder, DatasetConfig()).removed_features == ("frame_features",)
    assert not (folder / "frame_features.parquet").exists()
