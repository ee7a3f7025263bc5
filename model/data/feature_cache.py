"""Caches a snapshot's features in a memory-mapped file, so that they open at once and need little memory.

    <folder of a snapshot's versions>/.cache/<key>.npy    (L, F) float16 or float32, rows in the order of `Ids.frames`;
                                                          of items' features, in the order of `Ids.movies`
    <folder of a snapshot's versions>/.cache/<key>.json   the states of that file and of the files it was made from

The key is a digest of the manifest's digests of the two source tables. So versions with
the same frames (or movies) share a cache file, and versions with other frames never read it. A file is current if
its state and those of its sources are the recorded ones: this check is fast, while hashing 2 GB takes seconds.
Otherwise the cache is made again, from the table whose bytes are the published ones. A state includes the
file's inode and when that was last changed, which nobody can choose: so a cache that came with somebody's
snapshot, or that was changed or replaced here, is not used.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dataset.errors import InvalidTableError, PipelineError
from dataset.feature_sets import FEATURES, table_of_modality
from dataset.files import atomic_path, write_json
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import concat_files, read_parquet

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 4096


def cache_folder(snapshot: Snapshot) -> Path:
    """Return the folder of what is derived from a snapshot's features, which all its versions share."""
    return snapshot.path.parent / ".cache"


def frame_features(snapshot: Snapshot, feature_table: str = FEATURES) -> pl.DataFrame:
    """Return a snapshot's frame features, ordered by movie and frame, without reading them into memory.

    The cache is built if it is missing, and rebuilt if it has changed. If it cannot be written, the
    table is read into memory.

    Args:
        snapshot: the snapshot.
        feature_table: the table of the feature set.

    Returns:
        `frame_id`, `feature: Array[f16 or f32, F]`; the features are a view of the mapped file.

    Raises:
        InvalidSnapshotError: the snapshot's table has changed since it was published.
    """
    return _features(snapshot, feature_table, "frames", "frame_id")


def item_features(snapshot: Snapshot, modality: str) -> pl.DataFrame:
    """Return the features of a snapshot's items of a modality, ordered by movie; otherwise as `frame_features`.

    Returns:
        `movie_id`, `feature: Array[f16 or f32, F]`.
    """
    return _features(snapshot, table_of_modality(modality), "movies", "movie_id")


def _features(snapshot: Snapshot, feature_table: str, parent: str, key: str) -> pl.DataFrame:
    digests = [file.sha256 for name in (parent, feature_table) for file in snapshot.manifest.tables[name].files]
    name = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    path = cache_folder(snapshot) / f"{name[:32]}.npy"
    is_current = _is_current(path, snapshot, feature_table)
    if not is_current:
        snapshot.require_published(feature_table)
    ids = _ids_in_order(snapshot, feature_table, parent, key)
    if not is_current:
        try:
            _derive(snapshot, feature_table, ids, path)
        except InvalidTableError:
            raise
        except PipelineError as error:
            logger.warning("%s; features are read into memory instead", error)
            return snapshot.read(feature_table).select(key, "feature")
    return pl.DataFrame({key: ids, "feature": _as_series(np.load(path, mmap_mode="r"))})


def as_tensor(features: npt.NDArray[Any]) -> Tensor:
    """Return (L, F) float16 or float32 as a tensor on the same memory, mapped or not. Do not write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(features)


def _ids_in_order(snapshot: Snapshot, feature_table: str, parent: str, key: str) -> pl.Series:
    """Return the frames or movies that have a feature, in the order of `model.data.tables.index_ids`.

    Raises:
        InvalidTableError: a feature is of no frame or movie, or one has several.
    """
    known = concat_files({str(path): read_parquet(path, [key]) for path in snapshot.paths_of(feature_table)})
    if known.schema != {key: pl.String}:
        raise InvalidTableError(f"{snapshot.path}: {feature_table} has no column {key} of text; publish it again")
    rows = snapshot.read(parent).join(known, on=key, how="semi")
    if len(rows) != known.height:
        raise InvalidTableError(
            f"{snapshot.path}: {known.height - len(rows):,} of {known.height:,} features belong to no {parent[:-1]}, "
            "or to one that has another feature; publish it again"
        )
    return rows.sort(list(dict.fromkeys(("movie_id", key))))[key]


def _width_and_type(tables: Sequence[pq.ParquetFile], where: str) -> tuple[int, np.dtype[Any]]:
    """Return the width of the features and the type of their numbers.

    Raises:
        InvalidTableError: they are not float16 or float32 vectors of one width.
    """
    kinds = {
        dict(zip(table.schema_arrow.names, table.schema_arrow.types, strict=True)).get("feature") for table in tables
    }
    kind = kinds.pop() if len(kinds) == 1 else None
    number = kind.value_type if kind is not None and pa.types.is_fixed_size_list(kind) else None
    if kind is None or number not in (pa.float16(), pa.float32()):
        raise InvalidTableError(f"{where} holds no float16 or float32 vectors of one width; publish it again")
    return int(kind.list_size), np.dtype(np.float16 if number == pa.float16() else np.float32)


def _batches(tables: Sequence[pq.ParquetFile], key: str) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.iter_batches(_ROWS_AT_ONCE, columns=[key, "feature"])


def _derive(snapshot: Snapshot, feature_table: str, ids: pl.Series, path: Path) -> None:
    """Write the cache from the snapshot's table, a few thousand rows at a time."""
    sources = snapshot.paths_of(feature_table)
    positions = ids.to_frame().with_row_index("position")
    tables = [pq.ParquetFile(source) for source in sources]
    width, number = _width_and_type(tables, f"{snapshot.path}: {feature_table}")
    logger.info("building %s from %s", path, ", ".join(map(str, sources)))
    with atomic_path(path) as temporary:
        cache = np.lib.format.open_memmap(temporary, "w+", number, (len(ids), width))
        for batch in _batches(tables, ids.name):
            rows = pl.DataFrame(pl.from_arrow(batch)).join(positions, on=ids.name, maintain_order="left")
            cache[rows["position"].to_numpy()] = rows["feature"].to_numpy()
        cache.flush()
        del cache
    write_json(path.with_suffix(".json"), _states(path, snapshot, feature_table))


def _is_current(path: Path, snapshot: Snapshot, feature_table: str) -> bool:
    """Return whether a cache exists, and neither it nor what it was made from has changed."""
    try:
        return bool(
            json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == _states(path, snapshot, feature_table)
        )
    except (OSError, ValueError):
        return False


def _states(path: Path, snapshot: Snapshot, feature_table: str) -> dict[str, list[int]]:
    """Return the state of each file: its size, times and inode. A copy or a rewritten file has another state."""
    files = {"cache": path} | {source.name: source for source in snapshot.paths_of(feature_table)}
    found = {name: file.stat() for name, file in files.items()}
    return {name: [one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino] for name, one in found.items()}


def _as_series(features: npt.NDArray[Any]) -> pl.Series:
    """Return (L, F) as a series of arrays on the same memory."""
    flat = pa.Array.from_buffers(
        pa.from_numpy_dtype(features.dtype), features.size, [None, pa.py_buffer(features.reshape(-1).view(np.uint8))]
    )
    return pl.Series(pl.from_arrow(pa.FixedSizeListArray.from_arrays(flat, features.shape[1])))
