"""Reads columns of pictures in Parquet and Arrow files, as Hugging Face `datasets` writes them.

A picture is a value of bytes, or of the struct `{bytes, path}` (the feature `Image`). A few rows at a time are in
memory.
Source: https://huggingface.co/docs/datasets/about_dataset_features ("Image feature").
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc, types

from dataset.claims import require_plausible
from dataset.errors import InvalidTableError, UsageError
from dataset.pictures.protocol import MAX_FILE_BYTES
from dataset.shards.shard import AGAIN, TOO_LARGE, Entry, Kind, NoPicturesError, PictureColumns

_ROWS_AT_ONCE = 16
_BUFFER_BYTES = 1 << 20
_ITEM_COLUMNS = ("movie_id", "item_id")
_BYTES, _PATH = "bytes", "path"


@dataclass
class _Batch:
    """Rows that are in memory, and the number of the first."""

    first: int
    rows: pa.RecordBatch


class RowShard:
    """A Parquet or Arrow file; implements `Shard`. A place is a row and the number of bytes.

    Args:
        path: the file.
        kind: which of both it is.
        columns: the columns that are named.
        likely: a column that has the items' ids if no column is named.

    Raises:
        InvalidTableError: the file is damaged.
        NoPicturesError: no column holds pictures.
        UsageError: a column that is named is missing; when entries are read: none says whose the pictures are.
    """

    def __init__(self, path: Path, kind: Kind, columns: PictureColumns, likely: Sequence[str] = ()) -> None:
        self.path, self.kind = path, kind
        self._open_files = ExitStack()
        with self._explained():
            self._parquet = self._arrow = None
            if kind == "parquet":
                require_plausible(path, is_read_whole=False)
                file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
                self._parquet = self._open_files.enter_context(file)
                self._schema = self._parquet.schema_arrow
            else:
                self._arrow = self._open_files.enter_context(pa.memory_map(str(path)))
                self._schema = _arrow_batches(self._arrow)[0]
        self.column = self._picture_column(columns.picture_column)
        self._has_path = types.is_struct(_stored(self._schema.field(self.column).type))
        self._named_item, self._likely = columns.picture_item, likely
        self._item_column: str | None = None
        self._batches: Iterator[_Batch] = iter(())
        self._batch: _Batch | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield the rows; see `Shard.entries`."""
        number, self._item_column = 0, self._find_item_column()
        self._batches = self._from(0)
        with self._explained():
            for batch in self._batches:
                self._batch = batch
                pictures = _values(batch.rows, self.column)
                items = batch.rows.column(self._item_column) if self._item_column else None
                for place in range(len(pictures)):
                    item = None if items is None else _text(items[place])
                    yield self._entry(number, pictures[place], item)
                    number += 1

    def read(self, place: str) -> bytes:
        """Return the bytes of a row; see `Shard.read`."""
        row, size = map(int, place.split(":"))
        with self._explained():
            if self._batch is None or row < self._batch.first:
                self._batches = self._from(row)
                self._batch = next(self._batches, None)
            while self._batch is not None and row >= self._batch.first + self._batch.rows.num_rows:
                self._batch = next(self._batches, None)
            content = None
            if self._batch is not None:
                content = _content(_values(self._batch.rows, self.column)[row - self._batch.first], self._has_path)
        if content is None or content.size != size:
            raise InvalidTableError(f"{self.path}: row {row:,} has not {size:,} bytes; {AGAIN}")
        return bytes(content.to_pybytes())

    def close(self) -> None:
        """Close the file."""
        self._batches, self._batch = iter(()), None
        self._open_files.close()

    def _entry(self, row: int, picture: pa.Scalar, item: str | None) -> Entry:
        path = picture[_PATH].as_py() if self._has_path and picture.is_valid and _has(picture.type, _PATH) else None
        name = (path or "").replace("\\", "/")
        content = _content(picture, self._has_path)
        if content is None:
            problem = "no picture in this row" if not name else "only the path of a picture in this row, not its bytes"
            return Entry(name, f"{row}:0", 0, problem, item)
        return Entry(name, f"{row}:{content.size}", content.size, TOO_LARGE * (content.size > MAX_FILE_BYTES), item)

    def _from(self, row: int) -> Iterator[_Batch]:
        """Yield the rows from the group or batch on that has a row."""
        wanted = [self.column, *([self._item_column] if self._item_column else [])]
        first = 0
        if self._parquet is not None:
            for group in range(self._parquet.num_row_groups):
                n_rows = self._parquet.metadata.row_group(group).num_rows
                if row < first + n_rows:
                    start = first
                    for rows in self._parquet.iter_batches(_ROWS_AT_ONCE, [group], wanted, use_threads=False):
                        yield _Batch(start, rows)
                        start += rows.num_rows
                first += n_rows
        elif self._arrow is not None:
            for rows in _arrow_batches(self._arrow)[1]:
                yield _Batch(first, rows.select(wanted))
                first += rows.num_rows

    def _picture_column(self, named: str | None) -> str:
        if named is not None:
            if named not in self._schema.names:
                raise UsageError(f"--picture-column: {self.path} has no column {named!r}; {self._has()}")
            if not _is_picture(self._schema.field(named).type):
                raise UsageError(
                    f"--picture-column: column {named!r} of {self.path} holds {self._schema.field(named).type}, not "
                    "bytes or a struct with the field bytes"
                )
            return named
        found = [field.name for field in self._schema if _is_picture(field.type)]
        if not found:
            raise NoPicturesError(
                f"{self.path}: no column holds pictures (bytes, or a struct with them); {self._has()}"
            )
        if len(found) > 1:
            raise UsageError(
                f"{self.path}: {len(found)} columns hold bytes ({', '.join(found)}); name one with --picture-column"
            )
        return str(found[0])

    def _find_item_column(self) -> str | None:
        named = self._named_item
        if named is not None and named not in self._schema.names:
            raise UsageError(f"--picture-item: {self.path} has no column {named!r}; {self._has()}")
        for name in [named] if named is not None else [*self._likely, *_ITEM_COLUMNS]:
            if name in self._schema.names and name != self.column:
                dtype = self._schema.field(name).type
                if not any(
                    fits(dtype) for fits in (types.is_integer, types.is_string, types.is_large_string, _is_coded)
                ):
                    raise UsageError(
                        f"{self.path}: column {name!r} holds {dtype}, but ids are text or integers; name another "
                        "column with --picture-item"
                    )
                return name
        if not self._has_path:
            raise UsageError(
                f"{self.path}: no column says whose the pictures are; name one with --picture-item; {self._has()}"
            )
        return None

    def _has(self) -> str:
        return f"it has {', '.join(self._schema.names[:20])}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, MemoryError, UnicodeError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise InvalidTableError(
                f"{self.path}: cannot be read as {self.kind.capitalize()} ({reason}); {AGAIN}"
            ) from None


def _arrow_batches(file: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the batches of an Arrow file of either form; `datasets` writes streams."""
    file.seek(0)
    try:
        reader = ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        stream = ipc.open_stream(file)
        return stream.schema, iter(stream)
    return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))


def _stored(dtype: pa.DataType) -> pa.DataType:
    return dtype.storage_type if isinstance(dtype, pa.BaseExtensionType) else dtype


def _values(rows: pa.RecordBatch, column: str) -> pa.Array:
    values = rows.column(column)
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _is_bytes(dtype: pa.DataType) -> bool:
    return bool(types.is_binary(dtype) or types.is_large_binary(dtype))


def _is_coded(dtype: pa.DataType) -> bool:
    """Return whether a type is text as numbers of a dictionary, as pandas writes categories."""
    return bool(types.is_dictionary(dtype) and types.is_string(dtype.value_type))


def _is_picture(dtype: pa.DataType) -> bool:
    stored = _stored(dtype)
    return _is_bytes(stored) or (
        types.is_struct(stored) and _has(stored, _BYTES) and _is_bytes(stored.field(_BYTES).type)
    )


def _has(dtype: pa.DataType, name: str) -> bool:
    return bool(dtype.get_field_index(name) >= 0)


def _content(picture: pa.Scalar, is_struct: bool) -> Any:
    """Return the buffer of a picture's bytes, None if there are none."""
    content = picture[_BYTES] if is_struct and picture.is_valid else picture
    return content.as_buffer() if content.is_valid else None


def _text(value: pa.Scalar) -> str:
    return str(value.as_py()) if value.is_valid else ""
