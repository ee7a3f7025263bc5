"""Vectors that exist become a dataset's features, from every kind of file; what is wrong is counted or refused."""

import contextlib
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset.__main__ import main as dataset_main
from dataset.building.build import DatasetConfig, build
from dataset.description import read_proven
from dataset.errors import InvalidTableError, MissingInputError, PipelineError, TooLittleDataError, UsageError
from dataset.feature_sets import extractors_of
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import open_snapshot
from features.__main__ import main
from features.importing import import_features
from features.vectors.config import VectorsConfig

WIDTH = 6
FRAMES = [f"m{movie}f{n}" for movie in range(8) for n in range(3)]
ITEMS = [f"m{movie}" for movie in range(8)]


def matrix(ids: list[str], dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(ids), WIDTH)).astype(dtype)


def text_ids(folder: Path, ids: list[str]) -> Path:
    (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    return folder / "ids.txt"


def as_npy(folder: Path, ids: list[str], vectors: np.ndarray, order: str = "C") -> tuple[Path, VectorsConfig]:
    np.save(folder / "v.npy", np.asarray(vectors, order=order))
    return folder / "v.npy", VectorsConfig(ids=text_ids(folder, ids))


def as_fortran_npy(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return as_npy(folder, ids, vectors, "F")


def as_big_endian_npy(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return as_npy(folder, ids, vectors.astype(vectors.dtype.newbyteorder(">")))


def as_npy_in_the_order_of_a_table(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    path, _ = as_npy(folder, ids, vectors)
    pl.DataFrame({"number": range(len(ids)), "asin": ids}).write_csv(folder / "items.csv", separator="\t")
    return path, VectorsConfig(ids=folder / "items.csv", id_column="asin")


def as_npy_with_parquet_ids(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    path, _ = as_npy(folder, ids, vectors)
    pl.DataFrame({"title": ids, "item_id": ids}).write_parquet(folder / "items.parquet")
    return path, VectorsConfig(ids=folder / "items.parquet")


def as_npy_with_npy_ids(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    path, _ = as_npy(folder, ids, vectors)
    np.save(folder / "ids.npy", np.array(ids))
    return path, VectorsConfig(ids=folder / "ids.npy")


def as_npz(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    np.savez_compressed(folder / "v.npz", features=vectors, names=np.array(ids))
    return folder / "v.npz", VectorsConfig()


def as_stored_fortran_npz(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    np.savez(folder / "v.npz", features=np.asfortranarray(vectors), other=np.zeros((2, 2)), names=np.array(ids, "S"))
    return folder / "v.npz", VectorsConfig(array="features")


def as_folder(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    (folder / "vectors").mkdir()
    for number, (id_, vector) in enumerate(zip(ids, vectors, strict=True)):
        np.save(folder / "vectors" / f"{id_}.npy", vector[None] if number % 2 else vector)
    return folder / "vectors", VectorsConfig()


def _parquet(folder: Path, ids: list[str], lists: pa.Array) -> tuple[Path, VectorsConfig]:
    pq.write_table(pa.table({"note": ids, "item_id": ids, "embedding": lists}), folder / "v.parquet")
    return folder / "v.parquet", VectorsConfig()


def _fixed(vectors: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def as_parquet_of_lists(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return _parquet(folder, ids, pa.array(list(vectors), pa.list_(pa.from_numpy_dtype(vectors.dtype))))


def as_parquet_of_arrays(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return _parquet(folder, ids, _fixed(vectors))


def as_arrow_file(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    table = pa.table({"key": ids, "a": _fixed(vectors), "b": _fixed(vectors + 1)})
    with pa.ipc.new_file(folder / "v.feather", table.schema) as writer:
        writer.write_table(table, 5)
    return folder / "v.feather", VectorsConfig(id_column="key", feature_column="a")


def as_arrow_stream(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    lists = pa.array(list(vectors), pa.large_list(pa.from_numpy_dtype(vectors.dtype)))
    table = pa.table({"id": ids, "vector": lists})
    with pa.ipc.new_stream(folder / "v.arrow", table.schema) as writer:
        writer.write_table(table, 5)
    return folder / "v.arrow", VectorsConfig()


def as_amazon(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    rows = [id_.encode().ljust(10) + v.astype("<f4").tobytes() for id_, v in zip(ids, vectors, strict=True)]
    (folder / "image_features.b").write_bytes(b"".join(rows))
    return folder / "image_features.b", VectorsConfig(width=WIDTH)


SAFE = {"float16": "F16", "float32": "F32", "float64": "F64"}


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(content)]}
        start += len(content)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(part[2] for part in tensors.values()))
    return path


def as_safetensors(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    whole = (SAFE[vectors.dtype.name], list(vectors.shape), vectors.tobytes())
    path = write_safetensors(folder / "v.safetensors", {"scale": ("F32", [1], bytes(4)), "embeddings": whole})
    return path, VectorsConfig(ids=text_ids(folder, ids))


def as_safetensors_per_id(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    one = {i: (SAFE[v.dtype.name], [WIDTH], v.tobytes()) for i, v in zip(ids, vectors, strict=True)}
    return write_safetensors(folder / "v.safetensors", one), VectorsConfig()


KINDS = [
    as_npy, as_fortran_npy, as_big_endian_npy, as_npy_in_the_order_of_a_table, as_npy_with_parquet_ids,
    as_npy_with_npy_ids, as_npz, as_stored_fortran_npz, as_folder, as_parquet_of_lists, as_parquet_of_arrays,
    as_arrow_file, as_arrow_stream, as_amazon, as_safetensors, as_safetensors_per_id,
]  # fmt: skip


def features_of(dataset: Path, table: str = "frame_features") -> tuple[list[str], np.ndarray]:
    found = pl.read_parquet(dataset / f"{table}.parquet")
    return found["frame_id"].to_list(), found["feature"].to_numpy()


def reasons_of(dataset: Path) -> dict[str, int]:
    return dict(pl.read_parquet(dataset / "features_quarantine.parquet").group_by("reason").len().iter_rows())


def shuffled(ids: list[str]) -> list[str]:
    return np.random.default_rng(1).permutation(ids).tolist()


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
    path, config = _parquet(tmp_path, FRAMES, pa.array(lists, pa.list_(pa.float32())))
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
    from features.importing import _find

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


class Pickled:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def _pickled_npy(folder: Path) -> Path:
    np.save(folder / "v.npy", np.array([[Pickled()] * 2] * 24), allow_pickle=True)
    return folder / "v.npy"


def _pickled_npz_ids(folder: Path) -> Path:
    np.savez(folder / "v.npz", v=matrix(FRAMES), ids=np.array(FRAMES, dtype=object))
    return folder / "v.npz"


def _torch_file(folder: Path) -> Path:
    import torch

    torch.save({"a": torch.ones(3)}, folder / "v.pt")
    return folder / "v.pt"


def _bytes(name: str, content: bytes):
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    write.__name__ = f"{name} {content[:12]!r}"
    return write


def _npy(array: np.ndarray):
    def write(folder: Path) -> Path:
        np.save(folder / "v.npy", array)
        return folder / "v.npy"

    write.__name__ = f"npy {array.dtype} {array.shape}"
    return write


def _header_that_claims(shape: str):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return _bytes("v.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(96))


def _zip_bomb(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "v.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("v.npy", "w") as file:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1100000, 256), }".ljust(117) + "\n"
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        block = bytes(11 << 20)
        for _ in range(1100000 * 1024 // len(block) + 1):
            file.write(block)
    return folder / "v.npz"


def _truncated_npz(folder: Path) -> Path:
    path, _ = as_npz(folder, FRAMES, matrix(FRAMES))
    path.write_bytes(path.read_bytes()[:-60])
    return path


def _safetensors(header: bytes, content: bytes = b"") -> object:
    return _bytes("v.safetensors", len(header).to_bytes(8, "little") + header + content)


def _arrow_of_hostile_offsets(folder: Path) -> Path:
    offsets = pa.array([0, 2_000_000_000, *range(6, 6 * 24, 6)], pa.int32())
    lists = pa.Array.from_buffers(
        pa.list_(pa.float32()), 24, [None, offsets.buffers()[1]], children=[pa.array(matrix(FRAMES).ravel())]
    )
    table = pa.RecordBatch.from_arrays([pa.array(FRAMES), lists], ["id", "v"])
    with pa.ipc.new_file(folder / "v.arrow", table.schema) as writer:
        writer.write_batch(table)
    return folder / "v.arrow"


def _many_equal_rows(folder: Path) -> Path:
    pq.write_table(pa.table({"id": ["a"] * 2_000, "v": [[0.0] * 4096] * 2_000}), folder / "v.parquet")
    return folder / "v.parquet"


def _parquet_without_lists(folder: Path) -> Path:
    pl.DataFrame({"id": FRAMES, "0": 1.0, "1": 2.0}).write_parquet(folder / "v.parquet")
    return folder / "v.parquet"


REFUSED = [
    (_pickled_npy, "pickle"),
    (_pickled_npz_ids, "pickle"),
    (_torch_file, "pickles, which could run code"),
    (_bytes("v.pkl", b"\x80\x04\x95rest"), "a pickle, which could run code"),
    (_bytes("v.csv", b"id,0,1\na,1,2\n"), "of another kind"),
    (_bytes("v.h5", b"\x89HDF\r\n\x1a\n"), "of another kind"),
    (_bytes("empty.npy", b""), "of another kind"),
    (_bytes("v.npy", b"\x93NUMPY\x07\x00" + bytes(50)), "damaged"),
    (_bytes("v.npy", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 9000), "damaged"),
    (_header_that_claims("(1000000000, 4096)"), "its header claims"),
    (_header_that_claims("(-24, -1)"), "damaged"),
    (_header_that_claims("(0, 6)"), "its header claims"),
    (_npy(np.ones(24, np.float32)), "reshape it to one vector per row"),
    (_npy(np.ones((24, 2, 3), np.float32)), "reshape it to one vector per row"),
    (_npy(np.ones((24, 2), np.complex64)), "holds complex64"),
    (_npy(np.full((24, 2), "a")), "holds <U1"),
    (_npy(np.ones((24, 2), "f4,f4")), "holds "),
    (_npy(np.ones((24, 0), np.float32)), "0 numbers per vector"),
    (_npy(np.ones((1, 70_000), np.float16)), "70,000 numbers per vector"),
    (_npy(np.ones((23, 2), np.float32)), "has 24 ids, and"),
    (_truncated_npz, "cannot be read as an .npz"),
    (_zip_bomb, "more than features can be compressed"),
    (_bytes("v.b", b"x" * 47), "not whole records"),
    (_bytes("v.b", (b"\xff\xfe" + b"x" * 32) * 24), "not text"),
    (_safetensors(b"{" + b"[" * 100_000), "v.safetensors"),
    (_safetensors(b'{"v": {"dtype": "F32", "shape": [24, 6], "data_offsets": [0, 999999]}}'), "its header describes"),
    (_safetensors(b'{"v": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 8]}}', bytes(8)), "has the shape"),
    (_safetensors(b'{"v": {"dtype": "F8_E4M3", "shape": [4, 2], "data_offsets": [0, 8]}}', bytes(8)), "F8_E4M3"),
    (_safetensors(b'{"v": {"dtype": "F32", "shape": [-1, 2], "data_offsets": [0, 8]}}', bytes(8)), "v.safetensors"),
    (_bytes("v.safetensors", b"\xfe" * 7 + b"\x7f{"), "its header claims"),
    (_bytes("v.arrow", b"\xff" * 7 + b"\x7f{"), "cannot be read"),
    (_arrow_of_hostile_offsets, "cannot be read"),
    (_bytes("v.arrow", b"ARROW1\0\0" + bytes(50)), "cannot be read"),
    (_bytes("v.parquet", b"PAR1" + bytes(50)), "cannot be read"),
    (_many_equal_rows, "claims"),
    (_parquet_without_lists, "0 columns of lists of numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "words"), REFUSED, ids=lambda value: getattr(value, "__name__", None))
def test_a_file_that_cannot_hold_vectors_ends_in_one_line(built: Path, tmp_path: Path, capsys, write, words) -> None:
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    path = write(tmp_path)
    config = VectorsConfig(ids=text_ids(tmp_path, FRAMES), width=6)
    with pytest.raises((InvalidTableError, UsageError)) as caught:
        import_features(path, built, VectorsConfig() if path.suffix == ".npz" else config)
    assert words in str(caught.value)
    assert path.name in str(caught.value)
    assert "must not run" not in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (VectorsConfig(), UsageError, "without ids"),
        (VectorsConfig(ids=Path("nowhere")), MissingInputError, "no such file of ids"),
        (VectorsConfig(row_numbers=True, ids=Path("x")), UsageError, "not both"),
        (VectorsConfig(row_numbers=True), TooLittleDataError, "none of its 24 ids, for example '0'"),
        (VectorsConfig(ids_are="items"), UsageError, "without ids"),
    ],
)
def test_vectors_whose_ids_are_not_known_end_in_one_line(built: Path, tmp_path: Path, config, error, words) -> None:
    path, _ = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    with pytest.raises(error, match=words):
        import_features(path, built, config)


@pytest.mark.parametrize("value", [7e4, 1e-9])
def test_numbers_that_float16_cannot_hold_are_refused_with_the_remedy(
    built: Path, tmp_path: Path, value: float
) -> None:
    vectors = matrix(FRAMES)
    vectors[5] = value
    path, config = as_npy(tmp_path, FRAMES, vectors)
    with pytest.raises(InvalidTableError, match="--dtype float32"):
        import_features(path, built, config)
    import_features(path, built, VectorsConfig(ids=config.ids, dtype="float32"))
    assert np.array_equal(features_of(built)[1][5], vectors[5])


def test_a_folder_without_a_vector_ends_in_one_line(built: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TooLittleDataError, match="none of its 0 files"):
        import_features(tmp_path / "empty", built, VectorsConfig())


def test_a_file_of_nothing_but_nan_leaves_the_dataset_as_it_was(built: Path, tmp_path: Path) -> None:
    path, config = as_npy(tmp_path, FRAMES, np.full((24, 3), np.nan))
    with pytest.raises(TooLittleDataError, match="none of 24 vectors is finite"):
        import_features(path, built, config)
    assert not (built / "frame_features.parquet").exists()
    read_proven(built)


def test_a_name_that_is_no_file_name_is_refused(built: Path, tmp_path: Path) -> None:
    path, config = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    for name in ("../x", "", "A", "a/b", "a-b", "x" * 65):
        with pytest.raises(UsageError, match="feature set"):
            import_features(path, built, config, name)


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


def _damage(content: bytes, rng: random.Random) -> bytes:
    """Return bytes of which a few are changed, most of them near the start, or with a part cut off or put in."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 2, 5])):
        place = rng.randrange(1 + min(len(damaged), rng.choice([200, 10_000])))
        how = rng.randrange(4)
        if how < 2:
            damaged[place : place + 1] = bytes([rng.choice([0, 128, 255, rng.randrange(256)])])
        elif how == 2:
            del damaged[place:]
        else:
            damaged[place:place] = rng.randbytes(rng.randrange(9))
    return bytes(damaged)


@pytest.mark.parametrize("write", [kind for kind in KINDS if "parquet" not in kind.__name__], ids=lambda k: k.__name__)
def test_damaged_files_give_features_and_quarantine_or_one_line(built: Path, tmp_path: Path, is_long, write) -> None:
    """Parquet is left out: pyarrow 26 ends the process at some damaged footers."""
    for seed in range(400 if is_long else 15):
        rng, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        path, config = write(folder, FRAMES, matrix(FRAMES))
        victim = rng.choice(sorted(file for file in folder.rglob("*") if file.is_file()))
        victim.write_bytes(_damage(victim.read_bytes(), rng))
        with contextlib.suppress(PipelineError):
            done = import_features(path, built, config)
            assert done.n_features + sum(done.reasons.values()) == done.n_rows
