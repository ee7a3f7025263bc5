"""Checks and digests the tables of a dataset folder before publication, without loading whole tables.

A table in canonical order, as `write_table` writes it, is read batch by batch: strictly increasing
primary keys are unique, so each batch can be checked alone. Only ids and splits of all rows stay in
memory. A table that is invalid or in any other order is read as a whole; this gives the same digest, or an
error message with full counts.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dataset.claims import require_plausible
from dataset.errors import InvalidTableError
from dataset.feature_sets import is_feature_table, is_item_table
from dataset.files import FileState
from dataset.schema import OPTIONAL_SNAPSHOT_TABLES, schema_of
from dataset.snapshots.digest import TableDigest
from dataset.tables import Schema, canonical, read_table, require_references, validate

_BATCH_BYTES = 32 << 20
_MAX_BATCH_ROWS = 262_144
_REFERENCES = (
    ("frames", "movies", ["movie_id"]),
    ("interactions", "movies", ["movie_id"]),
    ("frame_likes", "frames", ["frame_id", "movie_id"]),
    ("frame_likes", "interactions", ["user_id", "movie_id", "split"]),
    ("frame_likes_train", "frames", ["frame_id", "movie_id"]),
    ("frame_likes_train", "interactions", ["user_id", "movie_id", "split"]),
    ("users", "interactions", ["user_id"]),
)


@dataclass(frozen=True)
class TableContent:
    """A checked table: its file and a description of its rows. `keys` holds its ids and splits, as text."""

    source: Path
    state: FileState
    rows: int
    columns: dict[str, str]
    content_sha256: str
    keys: pl.DataFrame


def read_contents(files: dict[str, Path]) -> dict[str, TableContent]:
    """Check all tables of a dataset and the references between them, and return their descriptions.

    Args:
        files: the file of each table, by the table's name; features and `OPTIONAL_SNAPSHOT_TABLES` may be missing.

    Raises:
        MissingInputError: a table is missing.
        InvalidTableError: a table or a reference is invalid.
    """
    contents = {
        name: _read(path, schema_of(name))
        for name, path in files.items()
        if path.is_file() or not (is_feature_table(name) or name in OPTIONAL_SNAPSHOT_TABLES)
    }
    of_features = [
        (name, "movies", ["movie_id"]) if is_item_table(name) else (name, "frames", ["frame_id"])
        for name in contents
        if is_feature_table(name)
    ]
    for child, parent, columns in (*_REFERENCES, *of_features):
        if child in contents:
            require_references(contents[child].keys, contents[parent].keys, columns, child, parent)
    return contents


def content_digest(contents: dict[str, TableContent], description: dict[str, Any]) -> str:
    """Return the SHA-256 of the tables' rows, and of the description's settings and extractors: the same anywhere."""
    config = dict(description["config"])
    if not config.get("drop_placeholders"):  # then the thresholds change no row, and older builds have none
        config = {key: config[key] for key in config if key not in ("drop_placeholders", "placeholders")}
    value = {
        "tables": {name: content.content_sha256 for name, content in contents.items()},
        "config": config,
        "extractor": description.get("extractor"),
    }
    value |= {key: description[key] for key in ("feature_sets", "item_features") if description.get(key)}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def table_digest(table: pl.DataFrame, schema: Schema) -> str:
    """Return the digest of a table's rows, independent of their order (`dataset.snapshots.digest`)."""
    digest = TableDigest(table.schema)
    digest.update(canonical(table, schema))
    return digest.hexdigest()


def _read(path: Path, schema: Schema) -> TableContent:
    if not path.is_file():
        read_table(path, schema)  # raises
    require_plausible(path, is_read_whole=False)
    before = FileState.of(path)
    present = _names(path)
    described = _read_in_batches(path, schema, present)
    if described is None:
        rows = read_table(path, schema)
        described = rows.height, rows.schema, table_digest(_only(rows, present), schema), _keys(rows)
    height, columns, digest, keys = described
    types = {name: str(dtype) for name, dtype in columns.items() if name in present}
    return TableContent(path, before, height, types, digest, keys)


def _names(path: Path) -> list[str]:
    """Return the columns of a Parquet file; a table of an older version lacks optional columns."""
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return []  # whoever reads the table says why


def _only(rows: pl.DataFrame, present: list[str]) -> pl.DataFrame:
    """Return rows without the columns that their file lacks, so that a new optional column changes no digest."""
    return rows.select(name for name in rows.columns if name in present)


def _read_in_batches(path: Path, schema: Schema, present: list[str]) -> tuple[int, pl.Schema, str, pl.DataFrame] | None:
    """Return the number of rows, the column types, the digest and the keys of a table in canonical order.

    Returns None if the rows are in another order, or the table is invalid or empty.
    """
    digest, keys, columns, last = None, [], pl.Schema(), None
    primary = schema.primary_key()
    try:
        for batch in _batches(path):
            rows = validate(batch, schema, str(path))
            digested = _only(rows, present)
            if digest is None:
                digest, columns = TableDigest(digested.schema), rows.schema
            head = rows.select(primary)
            if not _increases(head if last is None else pl.concat([last, head])):
                return None
            digest.update(digested)
            keys.append(_keys(rows))
            last = head.tail(1)
    except (InvalidTableError, OSError, pa.ArrowException):
        return None
    if digest is None:
        return None
    all_keys = pl.concat(keys)
    return all_keys.height, columns, digest.hexdigest(), all_keys


def _batches(path: Path) -> Iterator[pl.DataFrame]:
    """Yield a Parquet file's rows in batches of bounded size, never holding a whole row group."""
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        rows, size = (
            file.metadata.num_rows,
            sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)),
        )
        batch_rows = min(_MAX_BATCH_ROWS, max(1, _BATCH_BYTES * rows // max(1, size)))
        for batch in file.iter_batches(batch_size=batch_rows):
            yield pl.DataFrame(pl.from_arrow(batch))


def _keys(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col(name).cast(pl.String) for name in rows.columns if name.endswith("_id") or name == "split")


def _increases(keys: pl.DataFrame) -> bool:
    """Return whether the rows increase strictly, in lexicographic order of the columns."""
    greater: pl.Expr = pl.lit(False)
    for name in reversed(keys.columns):
        before = pl.col(name).shift(1)
        greater = (pl.col(name) > before) | ((pl.col(name) == before) & greater)
    return keys.height < 2 or bool(keys.select(greater)[1:].to_series().all())
