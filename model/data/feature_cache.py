"""Caches a snapshot's frame features in a memory-mapped file, so that they open at once and need little memory.

    <folder of a snapshot's versions>/.cache/<key>.npy    (L, F) float16, rows in the order of `Ids.frames`
    <folder of a snapshot's versions>/.cache/<key>.json   the file's state (`FileState`) and SHA-256 of its blocks

The key is a digest of the manifest's digests of the two source tables. So versions with
the same frames share a cache file, and versions with other frames never read it. A file is current if
its state is the recorded one: this check is fast, while hashing 2 GB takes seconds. Otherwise the file
is hashed, and rebuilt if the hash differs.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dataset.errors import InvalidSnapshotError, PipelineError
from dataset.files import FileState, atomic_path, sha256_of_file, write_json
from dataset.snapshots.snapshot import Snapshot

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 24
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
    frames = _frames_in_order(snapshot)
    if not _is_current(path):
        try:
            _derive(snapshot, frames, path)
        except InvalidSnapshotError:
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
    """Return the frames that have a feature, in the order of `model.data.tables.index_ids`."""
    known = pl.concat(
        pl.read_parquet(source, columns=["frame_id"], glob=False) for source in snapshot.paths_of("frame_features")
    )
    frames = snapshot.read("frames").join(known, on="frame_id", how="semi")
    return frames.sort("movie_id", "frame_id")["frame_id"]


def _batches(tables: Sequence[pq.ParquetFile]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.iter_batches(_ROWS_AT_ONCE, columns=["frame_id", "feature"])


def _derive(snapshot: Snapshot, frames: pl.Series, path: Path) -> None:
    """Write the cache from the snapshot's table, a few thousand rows at a time."""
    sources = snapshot.paths_of("frame_features")
    for source, published in zip(sources, snapshot.manifest.tables["frame_features"].files, strict=True):
        if sha256_of_file(source) != published.sha256:
            raise InvalidSnapshotError(
                f"{source}: changed since it was published (SHA-256 differs); download or publish the snapshot again"
            )
    positions = pl.DataFrame({"frame_id": frames}).with_row_index("position")
    tables = [pq.ParquetFile(source) for source in sources]
    width = tables[0].schema_arrow.field("feature").type.list_size
    logger.info("building %s from %s", path, ", ".join(map(str, sources)))
    with atomic_path(path) as temporary:
        cache = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(frames), width))
        for batch in _batches(tables):
            rows = pl.DataFrame(pl.from_arrow(batch)).join(positions, on="frame_id", maintain_order="left")
            cache[rows["position"].to_numpy()] = rows["feature"].to_numpy()
        cache.flush()
        del cache
    _record(path, _digest(path))


def _is_current(path: Path) -> bool:
    """Return whether a cache exists and is unchanged."""
    try:
        written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if written["changed"] == list(FileState.of(path)):
            return True
        if written["blocks_sha256"] != _digest(path):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    with suppress(PipelineError):  # a copied file, for example; if this cannot be written, the next run hashes again
        _record(path, written["blocks_sha256"])
    return True


def _record(path: Path, digest: str) -> None:
    write_json(path.with_suffix(".json"), {"changed": FileState.of(path), "blocks_sha256": digest})


def _digest(path: Path) -> str:
    """Return the SHA-256 of the SHA-256 of a file's blocks, computed by several cores."""

    def of_block(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(_BLOCK_BYTES)).digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(of_block, range(0, path.stat().st_size, _BLOCK_BYTES)))).hexdigest()


def _as_series(features: npt.NDArray[np.float16]) -> pl.Series:
    """Return (L, F) as a series of arrays on the same memory."""
    flat = pa.Array.from_buffers(pa.float16(), features.size, [None, pa.py_buffer(features.reshape(-1).view(np.uint8))])
    return pl.Series(pl.from_arrow(pa.FixedSizeListArray.from_arrays(flat, features.shape[1])))
