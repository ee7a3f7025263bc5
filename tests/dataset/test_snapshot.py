import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.building.build import DatasetConfig, build
from dataset.building.split import SplitConfig
from dataset.description import read_description, write_description
from dataset.errors import InvalidSnapshotError, InvalidTableError, MissingInputError, UsageError
from dataset.files import copy_file
from dataset.schema import Interaction
from dataset.snapshots.manifest import to_bytes
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import list_snapshots, newest_snapshot, open_snapshot
from dataset.snapshots.verify import verify
from dataset.tables import write_table


@pytest.fixture
def dataset(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    return build(make_raw(), tmp_path / "dataset", DatasetConfig()).path


def test_the_first_version_is_1_and_unchanged_content_publishes_nothing(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    first, is_new = publish(dataset, "toy", root)
    again, is_new_again = publish(dataset, "toy", root)
    assert (first.version, is_new, first.manifest.parent) == (1, True, None)
    assert (again.version, is_new_again) == (1, False)
    assert [path.name for path in (root / "toy").iterdir()] == ["v0001"]


def test_changed_content_becomes_the_next_version_with_its_parent(
    dataset: Path, make_raw: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "snapshots"
    publish(dataset, "toy", root)
    build(make_raw(), dataset, DatasetConfig(split=SplitConfig(seed=1)))
    second, is_new = publish(dataset, "toy", root)
    assert (second.version, is_new, second.manifest.parent) == (2, True, 1)
    assert newest_snapshot(root).version == 2
    assert open_snapshot(root / "toy").version == 2
    assert [snapshot.version for snapshot in list_snapshots(root)] == [1, 2]


def test_the_content_digest_does_not_depend_on_name_or_place(dataset: Path, tmp_path: Path) -> None:
    one, _ = publish(dataset, "one", tmp_path / "a")
    two, _ = publish(dataset, "two", tmp_path / "b")
    assert one.content_digest == two.content_digest


def test_two_publishers_at_once_give_one_version_of_equal_content(dataset: Path, tmp_path: Path) -> None:
    root, found = tmp_path / "snapshots", []
    threads = [threading.Thread(target=lambda: found.append(publish(dataset, "toy", root))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert [is_new for _, is_new in found].count(True) == 1
    assert verify(newest_snapshot(root)) == []
    assert [path.name for path in (root / "toy").iterdir()] == ["v0001"]


def test_tables_open_in_polars_pandas_and_duckdb_with_no_code_of_ours(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    for name, entry in snapshot.manifest.tables.items():
        path = snapshot.path / f"{name}.parquet"
        assert pl.read_parquet(path).height == entry.rows
        assert len(pd.read_parquet(path)) == entry.rows
        assert duckdb.sql(f"select count(*) from '{path}'").fetchall() == [(entry.rows,)]


def problems_of(folder: Path) -> list[str]:
    """Return the files that opening and verifying a snapshot name as wrong."""
    try:
        return [problem.split(":")[0] for problem in verify(open_snapshot(folder))]
    except InvalidSnapshotError as error:
        return [Path(str(error).split(":")[0]).relative_to(folder).as_posix()]


@pytest.fixture(scope="module")
def published(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flipped")
    dataset = build(raw_once, folder / "dataset", DatasetConfig()).path
    return publish(dataset, "toy", folder / "snapshots")[0].path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_changed_byte_anywhere_is_named_with_its_file(data: st.DataObject, published: Path) -> None:
    files = sorted(path for path in published.rglob("*") if path.is_file())
    assert {"README.md", "croissant.json", "manifest.json"} <= {path.name for path in files}
    path = data.draw(st.sampled_from(files), label="file")
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1), label="place")
    changed = bytearray(whole)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]), label="byte")
    path.write_bytes(changed)
    try:
        assert problems_of(published) == [path.relative_to(published).as_posix()]
    finally:
        path.write_bytes(whole)


def test_a_table_of_the_dataset_that_is_changed_in_place_leaves_the_snapshot_as_it_was(
    dataset: Path, tmp_path: Path
) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    for table in dataset.glob("*.parquet"):
        with table.open("rb+") as file:
            file.write(b"overwritten")
    assert verify(snapshot) == []


def test_a_table_that_is_replaced_during_publication_is_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_meanwhile(source: Path, target: Path) -> None:
        if source.name == "interactions.parquet":
            write_table(pl.read_parquet(source).head(3), Interaction, source)
        copy_file(source, target)

    monkeypatch.setattr("dataset.snapshots.writer.copy_file", replaced_meanwhile)
    with pytest.raises(InvalidTableError, match=r"interactions.parquet: was changed during publication; publish again"):
        publish(dataset, "toy", tmp_path / "snapshots")
    assert list_snapshots(tmp_path / "snapshots") == []


def test_statistics_of_older_snapshots_are_read_under_their_present_names(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    as_written = replace(snapshot.manifest, statistics={"interactions_a_user_mean": 8.0, "n_users": 12})
    (snapshot.path / "manifest.json").write_bytes(to_bytes(as_written))
    found = open_snapshot(str(snapshot.path))
    assert found.manifest.statistics == {"interactions_per_user_mean": 8.0, "n_users": 12}


def test_a_missing_and_a_surplus_file_are_named(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    (snapshot.path / "movies.parquet").rename(snapshot.path / "films.parquet")
    assert verify(snapshot) == ["movies.parquet: missing", "films.parquet: not in the manifest"]


def test_a_like_without_its_frame_is_not_published(dataset: Path, tmp_path: Path) -> None:
    likes = pl.read_parquet(dataset / "frame_likes.parquet").with_columns(frame_id=pl.lit("nowhere"))
    likes.unique("user_id").write_parquet(dataset / "frame_likes.parquet")
    write_description(dataset, read_description(dataset))
    with pytest.raises(InvalidTableError, match=r"frame_likes: .* have no match in frames"):
        publish(dataset, "toy", tmp_path / "snapshots")
    assert not (tmp_path / "snapshots").exists()


def test_what_is_not_a_snapshot_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidSnapshotError, match="not a snapshot"):
        open_snapshot(tmp_path)
    with pytest.raises(MissingInputError, match="make demo"):
        newest_snapshot(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(InvalidSnapshotError, match="not a snapshot's manifest"):
        open_snapshot(tmp_path)


def test_a_manifest_of_a_newer_format_is_refused_with_words(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    manifest = snapshot.path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    with pytest.raises(InvalidSnapshotError, match=r"format version 99 is newer .* update"):
        open_snapshot(snapshot.path)


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b"])
def test_a_name_that_is_no_folder_name_is_refused(name: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="snapshot name"):
        publish(dataset, name, tmp_path / "snapshots")


def test_the_card_has_the_head_that_hugging_face_reads(dataset: Path, tmp_path: Path) -> None:
    snapshot, _ = publish(dataset, "toy", tmp_path / "snapshots")
    card = (snapshot.path / "README.md").read_text()
    assert card.startswith("---\npretty_name: toy v0001\n")
    assert "- config_name: movies\n  data_files:\n  - split: full\n    path: movies.parquet\n" in card
    assert "Frame likes are for evaluation only" in card
