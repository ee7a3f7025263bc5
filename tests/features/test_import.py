"""Vectors that exist become a dataset's features, from every kind of file, and all know where they come from."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vector_files import (
    FRAMES,
    ITEMS,
    KINDS,
    WIDTH,
    as_folder,
    as_npy,
    features_of,
    matrix,
    parquet_of,
    reasons_of,
    shuffled,
    text_ids,
    write_safetensors,
)

from dataset.__main__ import main as dataset_main
from dataset.building.build import DatasetConfig, build
from dataset.description import read_proven
from dataset.errors import InvalidTableError, PipelineError
from dataset.feature_sets import extractors_of
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import open_snapshot
from features.__main__ import main
from features.importing import import_features
from features.vectors.config import VectorsConfig


@pytest.mark.parametrize("write", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_file_gives_the_same_features(built: Path, tmp_path: Path, write) -> None:
    ids = shuffled(FRAMES)
    vectors = matrix(ids)
    path, config = write(tmp_path, ids, vectors)
    done = import_features(path, built, VectorsConfig(**{**vars(config), "dtype": "float32"}))
    names, stored = features_of(built)
    assert names == sorted(FRAMES)
    assert stored.tobytes() == vectors[np.argsort(ids)].tobytes()
    assert (done.n_rows, done.n_features, done.n_new_frames, done.n_without, done.reasons) == (24, 24, 0, 0, {})
    assert done.loss.largest == 0
    assert read_proven(built)["extractor"]["file_sha256"] == done.identity.file_sha256
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
@pytest.mark.parametrize("kept", ["float16", "float32"])
def test_any_type_of_number_is_kept_as_asked_and_the_loss_is_said(
    built: Path, tmp_path: Path, dtype: str, kept: str
) -> None:
    vectors = (100 * matrix(FRAMES, "float64") % 100).astype(dtype)
    path, config = as_npy(tmp_path, FRAMES, vectors)
    done = import_features(path, built, VectorsConfig(ids=config.ids, dtype=kept))
    stored = features_of(built)[1]
    assert stored.dtype == kept
    assert np.array_equal(stored, vectors.astype(kept))
    is_exact = np.array_equal(vectors.astype(kept).astype(dtype), vectors)
    assert (done.loss.largest == 0) == is_exact
    assert done.loss.largest < 1e-3


def test_bfloat16_is_read_from_safetensors(built: Path, tmp_path: Path) -> None:
    numbers = matrix(FRAMES)
    upper = (numbers.view(np.uint32) >> 16).astype("<u2")
    path = write_safetensors(tmp_path / "v.safetensors", {"v": ("BF16", list(upper.shape), upper.tobytes())})
    import_features(path, built, VectorsConfig(ids=text_ids(tmp_path, FRAMES), dtype="float32"))
    assert np.array_equal(features_of(built)[1].view(np.uint32) >> 16, upper)


def test_vectors_of_items_become_their_only_frame_or_a_frame_of_their_own(built: Path, tmp_path: Path) -> None:
    frames = pl.read_parquet(built / "frames.parquet")
    path, config = as_npy(tmp_path, ITEMS, matrix(ITEMS))
    done = import_features(path, built, config)
    assert (done.identity.vectors_of, done.n_new_frames, done.n_without) == ("items", 8, 0)
    assert features_of(built)[0] == [f"item:{item}" for item in ITEMS]
    after = pl.read_parquet(built / "frames.parquet")
    assert after.filter(~pl.col("frame_id").str.starts_with("item:")).equals(frames)
    numbers = read_proven(built)["statistics"]
    assert (numbers["n_frames"], numbers["frames_per_movie_max"]) == (32, 4)
    again = import_features(path, built, config, "second")
    assert (again.n_new_frames, again.n_features) == (0, 8)
    assert features_of(built, "frame_features-second")[0] == features_of(built)[0]
    snapshot, _ = publish(built, "items", tmp_path / "snapshots")
    assert snapshot.manifest.statistics["n_frames"] == 32


def test_an_item_with_one_frame_gives_its_vector_to_it(tmp_path: Path, make_raw) -> None:
    raw = make_raw()
    frames = pl.read_parquet(raw / "frames.parquet")
    frames.filter(pl.col("frame_id").str.ends_with("f0")).write_parquet(raw / "frames.parquet")
    images = pl.read_parquet(raw / "images.parquet")
    images.filter(pl.col("frame_id").str.ends_with("f0")).write_parquet(raw / "images.parquet")
    pl.read_parquet(raw / "frame_likes.parquet").clear().write_parquet(raw / "frame_likes.parquet")
    build(raw, tmp_path / "dataset", DatasetConfig())
    path, config = as_npy(tmp_path, ITEMS, matrix(ITEMS))
    done = import_features(path, tmp_path / "dataset", config)
    assert done.n_new_frames == 0
    assert features_of(tmp_path / "dataset")[0] == [f"{item}f0" for item in ITEMS]


def test_rows_in_are_features_plus_rows_of_the_quarantine(built: Path, tmp_path: Path) -> None:
    ids = [*FRAMES[:20], "stranger", "", FRAMES[3], FRAMES[4], FRAMES[5]]
    vectors = matrix(ids)
    vectors[2, 1], vectors[4, 0], vectors[5], vectors[24, 3] = np.nan, np.inf, 0, -np.inf
    path, config = as_npy(tmp_path, ids, vectors)
    done = import_features(path, built, config)
    assert done.reasons == reasons_of(built)
    assert done.reasons == {
        "not finite (NaN or infinity)": 2,
        "id is not in the dataset": 1,
        "no id": 1,
        "repeats an id": 2,
    }
    assert done.n_features + sum(done.reasons.values()) == done.n_rows == 25
    names, stored = features_of(built)
    assert FRAMES[2] not in names  # it has no other row
    assert np.array_equal(stored[names.index(FRAMES[4])], vectors[23].astype("float16"))  # the first finite row
    assert np.array_equal(stored[names.index(FRAMES[3])], vectors[3].astype("float16"))  # the first row
    assert done.loss.n_zero == 1
    assert done.n_without == 24 - len(names)
    lost = pl.read_parquet(built / "features_quarantine.parquet")
    assert set(lost["table"]) == {"features"}
    assert "row 20" in lost.filter(pl.col("frame_id") == "stranger")["detail"].item()


def test_lists_of_another_width_and_files_without_a_vector_are_in_the_quarantine(built: Path, tmp_path: Path) -> None:
    lists = [row.tolist() for row in matrix(FRAMES)]
    lists[3], lists[7], lists[9] = lists[3][:2], None, [1.0, None, 2.0, 3.0, 4.0, 5.0]
    path, config = parquet_of(tmp_path, FRAMES, pa.array(lists, pa.list_(pa.float32())))
    done = import_features(path, built, config)
    expected = {"vector of another width": 1, "no vector": 1, "not finite (NaN or infinity)": 1}
    assert done.reasons == expected == reasons_of(built)
    assert done.n_features == 21
    folder, config = as_folder(tmp_path, FRAMES[:20], matrix(FRAMES[:20]))
    np.save(folder / f"{FRAMES[20]}.npy", np.ones(WIDTH + 1, np.float32))
    np.save(folder / f"{FRAMES[21]}.npy", np.ones((2, WIDTH), np.float32))
    np.save(folder / f"{FRAMES[22]}.npy", np.array([{"a": 1}]), allow_pickle=True)
    (folder / f"{FRAMES[23]}.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (folder / "notes.txt").write_text("hello")
    (folder / "gone.npy").symlink_to(tmp_path / "nothing")
    done = import_features(folder, built, config)
    assert done.reasons == {"vector of another width": 1, "no vector in the file": 5}
    assert (done.n_features, done.n_rows) == (20, 26)


def test_ids_are_the_same_but_for_spaces_and_the_composition_of_accents(tmp_path: Path) -> None:
    from features.matching import _find

    rows = pl.DataFrame({"row": [0, 1, 2, 3], "id": ["e\u0301 ", " b", "c", None]})
    found = _find(rows, pl.Series(["\u00e9", "b", "c ", "c"]))
    assert found["known"].to_list() == ["\u00e9", "b", "c", None]


def test_row_numbers_are_ids(tmp_path: Path) -> None:
    rows = "\n".join(f"{user},{item}" for user in range(6) for item in range(6))
    (tmp_path / "r.csv").write_text(f"user,item\n{rows}\n")
    dataset_main(["import", str(tmp_path / "r.csv"), "--to", str(tmp_path / "raw")])
    dataset_main(["build", "--raw", str(tmp_path / "raw"), "--to", str(tmp_path / "dataset")])
    np.save(tmp_path / "image_feat.npy", matrix(ITEMS[:6]))
    main(["import", str(tmp_path / "image_feat.npy"), "--row-numbers", "--dataset", str(tmp_path / "dataset")])
    assert features_of(tmp_path / "dataset")[0] == [f"item:{number}" for number in range(6)]


def test_manifest_card_show_and_diff_say_where_features_come_from(built: Path, tmp_path: Path, capsys) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    publish(built, "mine", tmp_path / "snapshots")
    main(["import", str(path), "--ids", str(config.ids), "--dataset", str(built), "--extractor", "clip-vit-b32"])
    assert "Imported 24 of 24 vectors of frames" in capsys.readouterr().out
    snapshot, is_new = publish(built, "mine", tmp_path / "snapshots")
    digest = snapshot.manifest.extractor["file_sha256"]
    assert is_new
    phrase = f"clip-vit-b32 features (6 x float16, vectors of frames imported from v.npy, SHA-256 {digest[:16]}…)"
    assert phrase in (snapshot.path / "README.md").read_text("utf-8")
    dataset_main(["show", str(snapshot.path)])
    assert phrase in capsys.readouterr().out
    old = open_snapshot(snapshot.path.parent / "v0001")
    assert any(phrase in line for line in describe_changes(old, snapshot, diff_tables(old, snapshot)))
    dataset_main(["report", str(snapshot.path), "--to", str(tmp_path / "report")])
    assert phrase in (tmp_path / "report" / "report.html").read_text("utf-8").replace("&#39;", "'")
    assert publish(built, "mine", tmp_path / "snapshots")[1] is False
    import_features(path, built, config)
    assert publish(built, "mine", tmp_path / "snapshots")[1] is True  # the same vectors, said to be of another network


def test_several_feature_sets_stand_side_by_side(built: Path, tmp_path: Path, capsys, raw_once: Path) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    import_features(path, built, config)
    without, _ = publish(built, "mine", tmp_path / "snapshots")
    assert "feature_sets" not in json.loads((without.path / "manifest.json").read_text("utf-8"))
    before = features_of(built)[1]
    small = matrix(FRAMES)[:, :3]
    np.save(tmp_path / "v.npy", small)
    import_features(path, built, VectorsConfig(ids=config.ids, dtype="float32"), "clip")
    description = read_proven(built)
    assert list(extractors_of(description)) == [None, "clip"]
    assert np.array_equal(features_of(built)[1], before)
    assert np.array_equal(features_of(built, "frame_features-clip")[1], small)
    snapshot, _ = publish(built, "mine", tmp_path / "snapshots")
    assert snapshot.manifest.tables["frame_features-clip"].rows == 24
    assert snapshot.read("frame_features-clip").height == 24
    assert "config_name: frame_features-clip" in (snapshot.path / "README.md").read_text("utf-8")
    dataset_main(["verify", str(snapshot.path)])
    dataset_main(["diff", str(without.path), str(snapshot.path)])
    told = capsys.readouterr().out
    assert "feature set clip: no visual features → v.npy features (3 x float32" in told
    assert "frame_features-clip: 0 → 24 rows" in told
    build(raw_once, built, DatasetConfig())  # a build of the same frames keeps both
    assert list(extractors_of(read_proven(built))) == [None, "clip"]


def test_a_changed_table_of_a_named_set_is_not_published(built: Path, tmp_path: Path) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    import_features(path, built, config, "clip")
    table = built / "frame_features-clip.parquet"
    pl.read_parquet(table).head(3).write_parquet(table)
    with pytest.raises(PipelineError, match="is not of this build"):
        publish(built, "mine", tmp_path / "snapshots")
    table.unlink()
    with pytest.raises(PipelineError, match="no such table"):
        publish(built, "mine", tmp_path / "snapshots")


@pytest.mark.parametrize("fixed", [True, False])
def test_a_table_may_lack_vectors_numbers_and_ids(built: Path, tmp_path: Path, fixed: bool) -> None:
    lists: list[list[float | None] | None] = [[float(n), 1.0] for n in range(24)]
    lists[2], lists[5], lists[6] = None, [None, 1.0], [float("nan"), 1.0]
    ids: list[str | None] = [*FRAMES]
    ids[9] = None
    kind = pa.list_(pa.float32(), 2) if fixed else pa.large_list(pa.float64())
    pq.write_table(pa.table({"id": pa.array(ids).dictionary_encode(), "v": pa.array(lists, kind)}), tmp_path / "v")
    done = import_features(tmp_path / "v", built, VectorsConfig())
    assert done.reasons == {"no vector": 1, "not finite (NaN or infinity)": 2, "no id": 1}
    names, stored = features_of(built)
    assert [names[n] for n in range(3)] == [FRAMES[0], FRAMES[1], FRAMES[3]]
    assert stored[:3].tolist() == [[0, 1], [1, 1], [3, 1]]


def test_the_ids_of_a_table_may_be_numbers(tmp_path: Path) -> None:
    from features.vectors.ids import ids_of_column

    assert ids_of_column(pl.Series([1, 2]), "x").to_list() == ["1", "2"]
    assert ids_of_column(pl.Series([1.0, None, 2.0]), "x").to_list() == ["1", None, "2"]


def test_a_name_that_is_not_utf8_or_breaks_lines_is_recorded_on_one_line(built: Path, tmp_path: Path) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    odd = path.rename(tmp_path / "v\udcff\n.npy")
    done = import_features(odd, built, VectorsConfig(ids=config.ids, extractor="a\nb | c"))
    assert (done.identity.file, done.identity.imported) == ("v? .npy", "a b | c")
    publish(built, "mine", tmp_path / "snapshots")


@pytest.mark.parametrize(
    "extractor",
    [
        {"imported": "x"},
        {"imported": "x", "architecture": "vgg19", "node": "fc7", "weights": "w", "is_random": True},
        {"architecture": "vgg19"},
        {"imported": 3, "file": "", "file_sha256": "0" * 64, "width": 1, "dtype": "", "vectors_of": ""},
        {"imported": "x", "file": "", "file_sha256": "zz", "width": 1, "dtype": "", "vectors_of": ""},
    ],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_description_of_features_that_is_none_is_refused(built: Path, tmp_path: Path, extractor, is_named) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    import_features(path, built, config, "clip" if is_named else None)
    described = json.loads((built / "dataset.json").read_text("utf-8"))
    described |= {"feature_sets": {"clip": extractor}} if is_named else {"extractor": extractor}
    (built / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(InvalidTableError, match=r"dataset\.json"):
        read_proven(built)
