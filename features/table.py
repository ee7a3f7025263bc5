"""Writes feature tables in bounded memory: any by row groups, and the table of frames from the store's shards."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from dataset.feature_schema import FrameFeature, ItemFeature
from dataset.files import atomic_path
from dataset.tables import empty, validate
from features.ahead import each_ahead, one_ahead
from features.store import FeatureStore

ROWS_PER_GROUP = 4096
_READERS = 4
_STORE_KEY = "extractor_id"


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
    width = max(width, 1)
    groups = (
        (group, np.frombuffer(scratch.read(group.height * width * 2), np.float16).reshape(group.height, width))
        for group in rows.iter_slices(ROWS_PER_GROUP)
    )
    with atomic_path(path) as temporary:
        write_groups(groups, temporary, path, width, pl.Float16, store.identity.extractor_id)


def write_groups(
    groups: Iterator[tuple[pl.DataFrame, npt.NDArray[Any]]],
    path: Path,
    shown: Path,
    width: int,
    number: type[pl.DataType],
    made_by: str,
    of: type[FrameFeature] | type[ItemFeature] = FrameFeature,
) -> None:
    """Write a `FrameFeature` or `ItemFeature` table in bounded memory. Groups of rows are encoded on all cores.

    Args:
        groups: the table's other columns, sorted by id, and the features; of at most `ROWS_PER_GROUP` rows each.
        path: the file to write.
        shown: the path for messages.
        width: the numbers per feature.
        number: their type, `pl.Float16` or `pl.Float32`.
        made_by: a key of what made the features, for the file's metadata.
        of: the table's schema.

    Raises:
        InvalidTableError: the rows break the schema; and whatever `groups` raises.
    """
    vector = pl.Array(number, width)
    schema = empty(of).with_columns(pl.Series("feature", [], dtype=vector)).schema
    failures: list[BaseException] = []

    def rows(*_: object) -> Iterator[pl.DataFrame]:
        try:
            yield from one_ahead(
                validate(group.with_columns(pl.Series("feature", features, dtype=vector)), of, str(shown))
                for group, features in groups
            )
        except GeneratorExit:
            raise
        except BaseException as error:  # Polars would wrap it
            failures.append(error)

    register_io_source(rows, schema=schema, validate_schema=True).sink_parquet(
        path,
        compression="zstd",
        compression_level=1,
        statistics=True,  # a reader of a few ids skips the row groups that do not hold them
        row_group_size=ROWS_PER_GROUP,
        metadata={_STORE_KEY: made_by},
        engine="streaming",
    )
    if failures:
        raise failures[0]


def _is_up_to_date(rows: pl.DataFrame, store: FeatureStore, path: Path) -> bool:
    try:
        made_by = pl.read_parquet_metadata(path).get(_STORE_KEY)
        keys = pl.read_parquet(path, columns=["frame_id", "image_sha256"], glob=False)
    except (OSError, pl.exceptions.PolarsError):
        return False
    return made_by == store.identity.extractor_id and keys.equals(rows)
