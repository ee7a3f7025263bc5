"""Files that hold no vectors, wrong ones, or a trap: counted, or refused in one line with the dataset unchanged."""

import contextlib
import random
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vector_files import FRAMES, KINDS, as_amazon, as_npy, as_npz, features_of, matrix, text_ids

from dataset.description import read_proven
from dataset.errors import InvalidTableError, MissingInputError, PipelineError, TooLittleDataError, UsageError
from features.importing import import_features
from features.vectors.config import VectorsConfig


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


def _vectors_only_of_strangers(folder: Path) -> Path:
    pq.write_table(pa.table({"id": ["x", "y", FRAMES[0]], "v": [[1.0, 2.0], [1.0, 2.0], [1.0]]}), folder / "v.parquet")
    return folder / "v.parquet"


def _table_of_nothing(folder: Path) -> Path:
    nothing = pa.array([None] * 24, pa.list_(pa.float32(), 4))
    pq.write_table(pa.table({"id": FRAMES, "v": nothing}), folder / "v.parquet")
    return folder / "v.parquet"


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


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_vectors_only_of_strangers, r"none of its 3 rows has both .* row 2: vector of another width \(1 numbers"),
        (_table_of_nothing, "none of its 24 rows has both .* row 0: no vector$"),
    ],
)
def test_a_table_in_which_no_known_id_has_a_vector_ends_in_one_line(built: Path, tmp_path: Path, write, words) -> None:
    with pytest.raises(TooLittleDataError, match=words):
        import_features(write(tmp_path), built, VectorsConfig())


def test_a_named_array_that_is_a_single_number_is_refused(built: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", v=matrix(FRAMES), scale=np.float32(3))
    with pytest.raises(InvalidTableError, match=r"'scale': has the shape \(\); reshape it"):
        import_features(tmp_path / "v.npz", built, VectorsConfig(array="scale"))


@pytest.mark.parametrize("dtype", ["<U0", "|S0"])
def test_a_file_of_ids_without_bytes_is_refused(built: Path, tmp_path: Path, dtype: str) -> None:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (1000000000000,), }}".ljust(117) + "\n"
    (tmp_path / "ids.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    path, _ = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    with pytest.raises(InvalidTableError, match=r"ids\.npy: claims 1,000,000,000,000 ids in 0 bytes"):
        import_features(path, built, VectorsConfig(ids=tmp_path / "ids.npy"))


def test_an_empty_file_of_ids_has_no_ids(built: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([], "U"))
    path, _ = as_npy(tmp_path, FRAMES, matrix(FRAMES))
    with pytest.raises(InvalidTableError, match=r"ids\.npy: has 0 ids"):
        import_features(path, built, VectorsConfig(ids=tmp_path / "ids.npy"))


@pytest.mark.parametrize("first", ["PK", "PAR1"])
def test_an_id_that_looks_like_the_start_of_another_kind_is_an_id(built: Path, tmp_path: Path, first: str) -> None:
    path, config = as_amazon(tmp_path, [f"{first}00001", *FRAMES], matrix(["", *FRAMES]))
    assert import_features(path, built, config).n_features == len(FRAMES)


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
