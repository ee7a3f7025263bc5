"""Writes feature tables in bounded memory: any by row groups, and the table of frames from the store's shards."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dataset.feature_schema import FrameFeature, ItemFeature
from dataset.files import atomic_path
from dataset.tables import empty, validate
from features.ahead import each_ahead, one_ahead
from features.store import FeatureStore

ROWS_PER_GROUP = 4096
_READERS = 4
_STORE_KEY = b"extractor_id"


def write_features(images: pl.DataFrame, shards: Iterable[Path], store: FeatureStore, path: Path) -> int:
    """Write the `FrameFeature` table of `images` and return its number of rows.

    The rows are sorted in a temporary file on disk, so memory does not grow with their number. A table
    that is already up to date is not written again.

    Args:
        images: `frame_id`, `image_sha256`; each picture has a feature in `shards`.
        shards: the shards with the features.
        store: the store of these shards.
        path: the table to write.

    Raises:
        InvalidTableError: a shard is corrupt.
    """
    rows = images.sort("frame_id").select("frame_id", "image_sha256")
    if _is_up_to_date(rows, store, path):
        return rows.height
    places: dict[str, list[int]] = {}
    for place, name in enumerate(rows["image_sha256"]):
        places.setdefault(name, []).append(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as scratch:
        width = 0
        for names, features in each_ahead(store.read, shards, _READERS):
            width = features.shape[1]
            for name, feature in zip(names, features, strict=True):
                for place in places.pop(name, ()):
                    os.pwrite(scratch.fileno(), feature.data, place * feature.nbytes)
        scratch.seek(0)
        _write_in_groups(rows, width, cast(BinaryIO, scratch), store, path)
    return rows.height


def _write_in_groups(rows: pl.DataFrame, width: int, scratch: BinaryIO, store: FeatureStore, path: Path) -> None:
    """Write the rows with their features, which `scratch` holds in the same order, one row group at a time."""
    width, made_by = max(width, 1), store.identity.extractor_id
    with atomic_path(path) as temporary, FeatureWriter(temporary, path, width, pl.Float16, made_by) as writer:
        groups = (
            (group, np.frombuffer(scratch.read(group.height * width * 2), np.float16).reshape(group.height, width))
            for group in rows.iter_slices(ROWS_PER_GROUP)
        )
        for table in one_ahead(writer.prepare(*group) for group in groups):
            writer.write_prepared(table)


class FeatureWriter:
    """Writes a `FrameFeature` or `ItemFeature` table, one row group at a time.

    Args:
        path: the file to write.
        shown: the path for messages.
        width: the numbers per feature.
        number: their type, `pl.Float16` or `pl.Float32`.
        made_by: a key of what made the features, for the file's metadata.
        of: the table's schema.
    """

    def __init__(
        self,
        path: Path,
        shown: Path,
        width: int,
        number: type[pl.DataType],
        made_by: str,
        of: type[FrameFeature] | type[ItemFeature] = FrameFeature,
    ) -> None:
        self._shown, self._vector, self._of = shown, pl.Array(number, width), of
        self._schema = (
            empty(of)
            .with_columns(pl.Series("feature", [], dtype=self._vector))
            .to_arrow(compat_level=pl.CompatLevel.oldest())
            .schema.with_metadata({_STORE_KEY: made_by.encode()})
        )
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_page_checksum=True,
            # Those of a vector's numbers are of no use, and slow.
            write_statistics=[name for name in self._schema.names if name != "feature"],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, rows: pl.DataFrame, features: npt.NDArray[Any]) -> None:
        """Write a row group: the table's other columns, sorted by id and after all earlier rows, and the features."""
        self.write_prepared(self.prepare(rows, features))

    def prepare(self, rows: pl.DataFrame, features: npt.NDArray[Any]) -> pa.Table:
        """Return a row group, as `write` takes it, in the form in which it is written."""
        table = rows.with_columns(pl.Series("feature", features, dtype=self._vector))
        valid = validate(table, self._of, str(self._shown))
        return valid.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self._schema)

    def write_prepared(self, group: pa.Table) -> None:
        """Write a row group that `prepare` has returned."""
        self._writer.write_table(group)


def _is_up_to_date(rows: pl.DataFrame, store: FeatureStore, path: Path) -> bool:
    try:
        metadata = pq.read_schema(path).metadata or {}
        keys = pl.read_parquet(path, columns=["frame_id", "image_sha256"], glob=False)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError):
        return False
    return metadata.get(_STORE_KEY) == store.identity.extractor_id.encode() and keys.equals(rows)
