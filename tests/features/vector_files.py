"""Writes the same vectors as every kind of file that `features import` reads, and reads what became of them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

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


def parquet_of(folder: Path, ids: list[str], lists: pa.Array) -> tuple[Path, VectorsConfig]:
    pq.write_table(pa.table({"note": ids, "item_id": ids, "embedding": lists}), folder / "v.parquet")
    return folder / "v.parquet", VectorsConfig()


def fixed_lists(vectors: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def as_parquet_of_lists(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return parquet_of(folder, ids, pa.array(list(vectors), pa.list_(pa.from_numpy_dtype(vectors.dtype))))


def as_parquet_of_arrays(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    return parquet_of(folder, ids, fixed_lists(vectors))


def as_arrow_file(folder: Path, ids: list[str], vectors: np.ndarray) -> tuple[Path, VectorsConfig]:
    table = pa.table({"key": ids, "a": fixed_lists(vectors), "b": fixed_lists(vectors + 1)})
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
