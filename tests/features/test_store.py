from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from dataset.errors import InvalidTableError
from dataset.feature_schema import FrameFeature
from dataset.tables import read_table
from features.config import ExtractorIdentity
from features.store import FeatureStore
from features.table import ROWS_PER_GROUP, write_features, write_groups

IDENTITY = ExtractorIdentity("vgg19", "fc7", "random:0", "0" * 64, True, "none", "fp32")
NAMES = [f"{number:064x}" for number in range(20)]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Return a store of 20 pictures in 4 shards; feature number n is n, n, n."""
    store = FeatureStore(tmp_path / "store", IDENTITY)
    for start in range(0, 20, 5):
        features = np.arange(start, start + 5, dtype=np.float16)[:, None].repeat(3, axis=1)
        store.add(NAMES[start : start + 5], features)
    return store


def test_a_feature_that_is_not_finite_is_never_stored(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, IDENTITY)
    with pytest.raises(InvalidTableError, match="picture b is not finite"):
        store.add(["a", "b"], np.array([[1.0, 2.0], [np.inf, 0.0]], np.float16))
    assert store.shards_of(pl.Series(["a", "b"])) == ({}, [])


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_torn_shard_is_set_aside_and_the_others_stay(store: FeatureStore, damage: str) -> None:
    path = next(path for path, names in store.shards_of(pl.Series(NAMES))[0].items() if NAMES[7] in names)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    found, torn = store.shards_of(pl.Series(NAMES))
    assert torn == [path.name]
    assert sorted(name for names in found.values() for name in names) == NAMES[:5] + NAMES[10:]
    assert path.with_suffix(".corrupt").exists()
    assert store.shards_of(pl.Series(NAMES))[1] == []


def test_the_same_pictures_written_twice_are_one_shard(store: FeatureStore) -> None:
    before = sorted(store.path.iterdir())
    store.add(NAMES[:5], np.arange(5, dtype=np.float16)[:, None].repeat(3, axis=1))
    assert sorted(store.path.iterdir()) == before


def test_a_failure_is_remembered_until_there_is_a_feature(store: FeatureStore) -> None:
    store.add_failure("f" * 64, "cannot be decoded: reasons")
    assert store.failures() == {"f" * 64: "cannot be decoded: reasons"}
    store.add(["f" * 64], np.ones((1, 3), np.float16))
    assert store.failures() == {}


def test_what_the_weights_are_called_is_no_part_of_the_key() -> None:
    from dataclasses import replace

    assert replace(IDENTITY, weights="file.pth", is_random=False).extractor_id == IDENTITY.extractor_id
    for change in ({"node": "fc6"}, {"weights_sha256": "1" * 64}, {"preprocessing": "other"}, {"precision": "bf16"}):
        assert replace(IDENTITY, **change).extractor_id != IDENTITY.extractor_id


def test_a_table_has_every_frame_in_order_and_is_the_same_whatever_the_groups_and_shards(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.table.ROWS_PER_GROUP", 4)
    frames = [f"f{number:02}" for number in range(25)]
    images = pl.DataFrame({"frame_id": frames, "image_sha256": [NAMES[(7 * n) % 20] for n in range(25)]})
    written = []
    for number, shuffled in enumerate((images, images.sample(fraction=1, shuffle=True, seed=3))):
        shards = store.shards_of(images["image_sha256"])[0]
        path = tmp_path / f"{number}.parquet"
        assert write_features(shuffled, reversed(shards) if number else shards, store, path) == 25
        written.append(path.read_bytes())
    assert written[0] == written[1]
    table = read_table(path, FrameFeature)
    assert table["frame_id"].to_list() == frames
    assert table["feature"].to_numpy()[:, 2].tolist() == [float((7 * n) % 20) for n in range(25)]


def test_a_table_that_is_up_to_date_is_not_written_again(store: FeatureStore, tmp_path: Path) -> None:
    images = pl.DataFrame({"frame_id": ["a", "b"], "image_sha256": NAMES[:2]})
    path = tmp_path / "t.parquet"
    shards = store.shards_of(images["image_sha256"])[0]
    write_features(images, shards, store, path)
    before = path.stat().st_ino
    write_features(images, shards, store, path)
    assert path.stat().st_ino == before
    write_features(images.head(1), shards, store, path)
    assert read_table(path, FrameFeature).height == 1
    path.write_bytes(b"torn")
    write_features(images, shards, store, path)
    assert read_table(path, FrameFeature).height == 2


@pytest.mark.parametrize("error", [InvalidTableError("a shard is corrupt"), KeyboardInterrupt()])
def test_what_stops_the_rows_of_a_table_is_raised_as_it_is(error: BaseException, tmp_path: Path) -> None:
    def groups() -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        yield pl.DataFrame({"frame_id": ["a"], "image_sha256": ["0" * 64]}), np.zeros((1, 2), np.float16)
        raise error

    with pytest.raises(type(error)) as raised:
        write_groups(groups(), tmp_path / "t.parquet", tmp_path / "t.parquet", 2, pl.Float16, "made by")
    assert raised.value is error


def test_each_row_group_says_between_which_ids_it_lies(tmp_path: Path) -> None:
    """So that a reader of a few frames skips the others, of tables of gigabytes."""
    ids = ([f"a{number:04}" for number in range(ROWS_PER_GROUP)], ["b1", "b2"])
    rows = [pl.DataFrame({"frame_id": some, "image_sha256": ["0" * 64] * len(some)}) for some in ids]
    groups = ((some, np.zeros((some.height, 2), np.float16)) for some in rows)
    write_groups(groups, tmp_path / "t.parquet", tmp_path / "t.parquet", 2, pl.Float16, "made by")
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    found = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
    assert metadata.row_group(0).column(0).path_in_schema == "frame_id"
    assert [(one.min, one.max) for one in found] == [("a0000", f"a{ROWS_PER_GROUP - 1:04}"), ("b1", "b2")]
