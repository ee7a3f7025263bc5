"""A snapshot's frame features as a memory-mapped file, so that training opens any number of them at once.

    <the snapshots of a name>/.cache/<key>.npy    (L, F) float16, rows in the models' order of frames
    <the snapshots of a name>/.cache/<key>.json   the SHA-256 of that file's blocks

The key is made of the digests that the manifest gives for the two tables it is derived from, so
another snapshot's cache is never taken for this one's; versions with the same frames share it.
"""

import hashlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from dataset.errors import InvalidSnapshotError, PipelineError
from dataset.files import atomic_path, sha256_of_file, write_json
from dataset.snapshot import Snapshot

_BLOCK_BYTES = 1 << 24
_ROWS_AT_ONCE = 4096


def frame_features(snapshot: Snapshot) -> pl.DataFrame:
    """Return a snapshot's frame features, ordered by movie and frame, without reading them into memory.

    The cache is derived when there is none, and anew when its bytes are not those that were
    written. Where it cannot be written, the table is read into memory as it is.

    Returns:
        `frame_id`, `feature: Array[f16, F]`, the latter a view of the mapped file.

    Raises:
        InvalidSnapshotError: the snapshot's table is not the one that was published.
    """
    entries = snapshot.manifest.tables
    key = hashlib.sha256(f"{entries['frames'].sha256} {entries['frame_features'].sha256}".encode()).hexdigest()
    path = snapshot.path.parent / ".cache" / f"{key[:32]}.npy"
    frames = _frames_in_order(snapshot)
    if _digest(path) != _digest_written(path):
        try:
            _derive(snapshot, frames, path)
        except PipelineError as error:
            if isinstance(error, InvalidSnapshotError):
                raise
            return snapshot.read("frame_features").select("frame_id", "feature")
    return pl.DataFrame({"frame_id": frames, "feature": _as_series(np.load(path, mmap_mode="r"))})


def as_tensor(features: npt.NDArray[np.float16]) -> Tensor:
    """Return a tensor on the same memory, mapped or not. It must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(features)


def _frames_in_order(snapshot: Snapshot) -> pl.Series:
    """Return the frames with a feature as `model.interactions.index_ids` orders them."""
    source = snapshot.path / snapshot.manifest.tables["frame_features"].file
    known = pl.read_parquet(source, columns=["frame_id"], glob=False)
    frames = snapshot.read("frames").join(known, on="frame_id", how="semi")
    return frames.sort("movie_id", "frame_id")["frame_id"]


def _derive(snapshot: Snapshot, frames: pl.Series, path: Path) -> None:
    """Write the cache from the snapshot's table, a few thousand rows at a time."""
    entry = snapshot.manifest.tables["frame_features"]
    source = snapshot.path / entry.file
    if sha256_of_file(source) != entry.sha256:
        raise InvalidSnapshotError(f"{source}: not the bytes that were published (SHA-256 differs); get it again")
    places = pl.DataFrame({"frame_id": frames}).with_row_index("place")
    table = pq.ParquetFile(source)
    width = table.schema_arrow.field("feature").type.list_size
    with atomic_path(path) as temporary:
        cache = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(frames), width))
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=["frame_id", "feature"]):
            rows = pl.DataFrame(pl.from_arrow(batch)).join(places, on="frame_id", maintain_order="left")
            cache[rows["place"].to_numpy()] = rows["feature"].to_numpy()
        cache.flush()
        del cache
    write_json(path.with_suffix(".json"), {"blocks_sha256": _digest(path)})


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of the SHA-256 of a file's blocks, which several cores can compute; None without a file."""
    if not path.is_file():
        return None

    def of_block(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(_BLOCK_BYTES)).digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(of_block, range(0, path.stat().st_size, _BLOCK_BYTES)))).hexdigest()


def _digest_written(path: Path) -> str:
    try:
        return str(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["blocks_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return "none"


def _as_series(features: npt.NDArray[np.float16]) -> pl.Series:
    """Return (L, F) as a series of arrays on the same memory."""
    flat = pa.Array.from_buffers(pa.float16(), features.size, [None, pa.py_buffer(features.reshape(-1).view(np.uint8))])
    return pl.Series(pl.from_arrow(pa.FixedSizeListArray.from_arrays(flat, features.shape[1])))
