"""Refuses a Parquet file whose footer claims more than the file can hold, before a row of it is read.

A few kilobytes can claim hundreds of millions of equal rows, or pages that grow a thousandfold: reading them would use
up the memory. The footer says how many values each column has, and how large its pages are when unpacked.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset.errors import InvalidTableError

_ALWAYS_ALLOWED = 1_000_000
_VALUES_PER_BYTE = 32
"""A dense matrix of users and movies without any other column, whose ids repeat in the same order, has 25."""

_BYTES_PER_VALUE = 16
"""What polars needs in memory for a text, apart from its letters."""


def require_plausible(path: Path, is_read_whole: bool = True) -> None:
    """Check what a Parquet file claims to hold.

    Args:
        path: the file.
        is_read_whole: whether it is read into memory as a whole, so that it has to fit.

    Raises:
        InvalidTableError: it is not Parquet, or claims more than its size allows or than the memory holds.
    """
    try:
        with pq.ParquetFile(path) as file:
            footer = file.metadata
            groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
            columns = [[group.column(place) for group in groups] for place in range(footer.num_columns)]
            counts = [sum(part.num_values for part in parts) for parts in columns]
            unpacked = sum(part.total_uncompressed_size for parts in columns for part in parts)
    except (OSError, pa.ArrowException, MemoryError, UnicodeError) as error:  # the last: the name of a column
        reason = " ".join(str(error).split())[:120]
        raise InvalidTableError(f"{path}: cannot be read as Parquet ({reason}); create it again") from None
    size, most = path.stat().st_size, max([footer.num_rows, *counts])
    if most > max(_ALWAYS_ALLOWED, _VALUES_PER_BYTE * size) or min([footer.num_rows, *counts]) < 0:
        raise InvalidTableError(
            f"{path}: claims {most:,} rows or values in {size:,} bytes, more than a table of ids can have; "
            "get or create the file again"
        )
    needed, present = unpacked + _BYTES_PER_VALUE * sum(counts), _memory_bytes()
    if is_read_whole and present is not None and needed > present:
        raise InvalidTableError(
            f"{path}: its {footer.num_rows:,} rows need about {needed >> 30:,} GiB of memory, and this machine has "
            f"{present >> 30:,}; check that the file is what it should be, or use a larger machine"
        )


def _memory_bytes() -> int | None:
    """Return the size of the machine's memory, None if the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
