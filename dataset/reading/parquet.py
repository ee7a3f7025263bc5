"""Reads a Parquet file: only the columns that are asked for, with their types."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from dataset.claims import require_plausible
from dataset.errors import InvalidTableError
from dataset.reading.table import Rows, shown


class ParquetFile:
    """A Parquet file; implements `UserFile`."""

    def __init__(self, path: Path) -> None:
        """Read the names of the columns.

        Raises:
            InvalidTableError: the file cannot be read as Parquet.
        """
        self.path = path
        require_plausible(path)
        with self._open() as file:
            self.names = list(file.schema_arrow.names)
        self.facts = {"format": "parquet"}
        self.notes: list[str] = []
        self.header_doubt = ""

    def read(self, columns: Mapping[str, str]) -> Rows:
        """Read only some columns; see `UserFile.read`."""
        names = list(dict.fromkeys(columns.values()))
        with self._open() as file:
            known = {name: self._to_known_type(name, file.schema_arrow.field(name).type) for name in names}
            table = file.read(columns=names)
            table.validate(full=True)  # polars ends the process at a text that is not UTF-8
            cast = {name: self._cast(table[name], name, dtype) for name, dtype in known.items()}
        return Rows(pl.DataFrame({new: pl.from_arrow(cast[name]) for new, name in columns.items()}))

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            # Without a unit, old Spark timestamps (INT96) after 2262 would overflow.
            with pq.ParquetFile(self.path, coerce_int96_timestamp_unit="us", pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, MemoryError, UnicodeError) as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise InvalidTableError(
                f"{self.path}: cannot be read as Parquet ({reason or type(error).__name__}); check the file"
            ) from None

    def _to_known_type(self, name: str, dtype: pa.DataType) -> pa.DataType:
        """Return the type to read a column as: one that polars has, with times in UTC.

        Raises:
            InvalidTableError: there is none.
        """
        if types.is_dictionary(dtype):
            dtype = dtype.value_type
        if types.is_timestamp(dtype):
            return pa.timestamp("us", "UTC" if dtype.tz else None)
        if types.is_float16(dtype):
            return pa.float32()
        if types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_binary_view(dtype):
            return pa.large_binary()
        is_known = (
            types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype)
            or types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)
            or types.is_date(dtype) or types.is_time(dtype) or types.is_duration(dtype) or types.is_null(dtype)
            or (types.is_decimal(dtype) and dtype.bit_width <= 128)
        )  # fmt: skip
        if types.is_list(dtype) or types.is_large_list(dtype):
            self._to_known_type(name, dtype.value_type)
            is_known = True
        if not is_known:
            raise InvalidTableError(f"{self.path}: column {shown(name)} has the type {dtype}; store text or numbers")
        return dtype

    def _cast(self, column: pa.ChunkedArray, name: str, dtype: pa.DataType) -> pa.ChunkedArray:
        is_nanoseconds = types.is_timestamp(column.type) and column.type.unit == "ns"
        try:
            return column if column.type == dtype else column.cast(dtype, safe=not is_nanoseconds)
        except pa.ArrowException:
            raise InvalidTableError(
                f"{self.path}: column {shown(name)} has values that its type {column.type} cannot hold; check the file"
            ) from None
