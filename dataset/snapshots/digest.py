"""Digests a table's content: equal rows have the same digest on any machine, with any library version.

Each column is hashed separately, row by row in canonical order (by primary key). Three digests cover
the null flags, the lengths of texts and lists, and the values: numbers as little-endian bytes, text as
UTF-8, null as 0 or empty text. The table's digest is the SHA-256 of the columns' names, types and
digests. The size of the batches does not change it.
"""

import hashlib
import json

import numpy as np
import polars as pl


class TableDigest:
    """Digests a table from batches of rows, in order.

    Args:
        columns: the table's column types.
    """

    def __init__(self, columns: pl.Schema) -> None:
        self._columns = {name: (str(dtype), _ColumnDigest()) for name, dtype in columns.items()}

    def update(self, batch: pl.DataFrame) -> None:
        """Add the next rows."""
        for name, (_, column) in self._columns.items():
            column.update(batch[name])

    def hexdigest(self) -> str:
        """Return the digest of the rows so far, in hexadecimal."""
        parts = [[name, dtype, *column.hexdigests()] for name, (dtype, column) in self._columns.items()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class _ColumnDigest:
    """The digests of a column's nulls, lengths and values; for a list, also those of its elements."""

    def __init__(self) -> None:
        self._nulls, self._lengths, self._values = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._elements: _ColumnDigest | None = None

    def update(self, column: pl.Series) -> None:
        dtype = column.dtype
        self._nulls.update(_little_endian(column.is_null().cast(pl.UInt8)))
        if isinstance(dtype, pl.List):
            self._elements = self._elements or _ColumnDigest()
            self._lengths.update(_little_endian(column.list.len().fill_null(0).cast(pl.UInt64)))
            self._elements.update(column.drop_nulls().explode(empty_as_null=False))
        elif isinstance(dtype, pl.Enum | pl.String):
            text = column.cast(pl.String).fill_null("")
            self._lengths.update(_little_endian(text.str.len_bytes().cast(pl.UInt64)))
            self._values.update(text.str.join("").item().encode())
        elif isinstance(dtype, pl.Array):
            self._values.update(_little_endian(column.drop_nulls().explode()))
        else:
            numbers = column.to_physical()
            numbers = numbers.cast(pl.UInt8) if dtype == pl.Boolean else numbers
            self._values.update(_little_endian(numbers.fill_null(0)))

    def hexdigests(self) -> list[str]:
        own = [part.hexdigest() for part in (self._nulls, self._lengths, self._values)]
        return own + (self._elements.hexdigests() if self._elements else [])


def _little_endian(numbers: pl.Series) -> memoryview | bytes:
    array = np.ascontiguousarray(numbers.to_numpy())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B") if array.size else b""
