"""Caches a snapshot's frame features in a memory-mapped file, so that they open at once and need little memory.

    <folder of a snapshot's versions>/.cache/<key>.npy    (L, F) float16, rows in the order of `Ids.frames`
    <folder of a snapshot's versions>/.cache/<key>.json   the states of that file and of the files it was made from

The key is a digest of the manifest's digests of the two source tables. So versions with
the same frames share a cache file, and versions with other frames never read it. A file is current if
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

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dataset.errors import InvalidTableError, PipelineError
from dataset.files import atomic_path, write_json
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import concat_files, read_parquet

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 4096


def frame_features(snapshot: Snapshot) -> pl.DataFrame:
    """Return a snapshot's frame features, ordered by movie and frame, without reading them into memory.

    The cache is built if it is missing, and rebuilt if it has changed. If it cannot be written, the
    table is read into memory.

    Returns:
        `frame_id`, `feature: Array[f16, F]`; the features are a view of the mapped file.

    Raises:
        InvalidSnapshotError: the snapshot's table has changed since it was published.
    """
    digests = [file.sha256 for name in ("frames", "frame_features") for file in snapshot.manifest.tables[name].files]
    key = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    path = snapshot.path.parent / ".cache" / f"{key[:32]}.npy"
    is_current = _is_current(path, snapshot)
    if not is_current:
        snapshot.require_published("frame_features")
    frames = _frames_in_order(snapshot)
    if not is_current:
        try:
            _derive(snapshot, frames, path)
        except InvalidTableError:
            raise
        except PipelineError as error:
            logger.warning("%s; frame features are read into memory instead", error)
            return snapshot.read("frame_features").select("frame_id", "feature")
    return pl.DataFrame({"frame_id": frames, "feature": _as_series(np.load(path, mmap_mode="r"))})


def as_tensor(features: npt.NDArray[np.float16]) -> Tensor:
    """Return (L, F) float16 as a tensor on the same memory, mapped or not. Do not write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(features)


def _frames_in_order(snapshot: Snapshot) -> pl.Series:
    """Return the frames that have a feature, in the order of `model.data.tables.index_ids`.

    Raises:
        InvalidTableError: a feature is of no frame, or a frame has several.
    """
    known = concat_files({str(path): read_parquet(path, ["frame_id"]) for path in snapshot.paths_of("frame_features")})
    if known.schema != {"frame_id": pl.String}:
        raise InvalidTableError(f"{snapshot.path}: frame_features has no column frame_id of text; publish it again")
    frames = snapshot.read("frames").join(known, on="frame_id", how="semi")
    if len(frames) != known.height:
        raise InvalidTableError(
            f"{snapshot.path}: of {known.height:,} features, {known.height - len(frames):,} are of no frame or of one "
            "that has another; publish it again"
        )
    return frames.sort("movie_id", "frame_id")["frame_id"]


def _width(tables: Sequence[pq.ParquetFile], snapshot: Snapshot) -> int:
    """Return the width of the features.

    Raises:
        InvalidTableError: they are not float16 vectors of one width.
    """
    kinds = {
        dict(zip(table.schema_arrow.names, table.schema_arrow.types, strict=True)).get("feature") for table in tables
    }
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None or not pa.types.is_fixed_size_list(kind) or not pa.types.is_float16(kind.value_type):
        raise InvalidTableError(
            f"{snapshot.path}: frame_features holds no float16 vectors of one width; publish it again"
        )
    return int(kind.list_size)


def _batches(tables: Sequence[pq.ParquetFile]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.iter_batches(_ROWS_AT_ONCE, columns=["frame_id", "feature"])


def _derive(snapshot: Snapshot, frames: pl.Series, path: Path) -> None:
    """Write the cache from the snapshot's table, a few thousand rows at a time."""
    sources = snapshot.paths_of("frame_features")
    positions = pl.DataFrame({"frame_id": frames}).with_row_index("position")
    tables = [pq.ParquetFile(source) for source in sources]
    width = _width(tables, snapshot)
    logger.info("building %s from %s", path, ", ".join(map(str, sources)))
    with atomic_path(path) as temporary:
        cache = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(frames), width))
        for batch in _batches(tables):
            rows = pl.DataFrame(pl.from_arrow(batch)).join(positions, on="frame_id", maintain_order="left")
            cache[rows["position"].to_numpy()] = rows["feature"].to_numpy()
        cache.flush()
        del cache
    write_json(path.with_suffix(".json"), _states(path, snapshot))


def _is_current(path: Path, snapshot: Snapshot) -> bool:
    """Return whether a cache exists, and neither it nor what it was made from has changed."""
    try:
        return bool(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == _states(path, snapshot))
    except (OSError, ValueError):
        return False


def _states(path: Path, snapshot: Snapshot) -> dict[str, list[int]]:
    """Return the state of each file: its size, times and inode. A copy or a rewritten file has another state."""
    files = {"cache": path} | {source.name: source for source in snapshot.paths_of("frame_features")}
    found = {name: file.stat() for name, file in files.items()}
    return {name: [one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino] for name, one in found.items()}


def _as_series(features: npt.NDArray[np.float16]) -> pl.Series:
    """Return (L, F) as a series of arrays on the same memory."""
    flat = pa.Array.from_buffers(pa.float16(), features.size, [None, pa.py_buffer(features.reshape(-1).view(np.uint8))])
    return pl.Series(pl.from_arrow(pa.FixedSizeListArray.from_arrays(flat, features.shape[1])))
