"""Reads a Parquet or Arrow file with a column of ids and a column of lists of numbers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from pyarrow import types

from dataset.claims import require_plausible
from dataset.errors import InvalidTableError
from dataset.reading.table import listed
from features.vectors.ids import ID_COLUMNS, ids_of_column
from features.vectors.rows import Vectors, check_width, no_problems, spooled

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class _Opened:
    schema: pa.Schema
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]


def read_vector_table(
    path: Path, id_column: str | None, feature_column: str | None, scratch: BinaryIO, files: ExitStack
) -> Vectors:
    """Read the ids and vectors of a Parquet or Arrow file.

    Args:
        path: the file.
        id_column: the column of ids; None: the one with a known name, if there is one.
        feature_column: the column of lists; None: the only one.
        scratch: an empty file for the vectors.
        files: gets the open file to close.

    Raises:
        InvalidTableError: it has no such columns, or is damaged.
    """
    try:
        opened = _open(path, files)
        feature = _feature_column(opened.schema, feature_column, path)
        by_default = next((name for name in ID_COLUMNS if name in opened.schema.names and name != feature), None)
        ids = id_column or by_default
        if ids is not None and opened.schema.names.count(ids) != 1:
            raise InvalidTableError(
                f"{path}: no column {ids!r} of ids; it has {listed(opened.schema.names)}: name it with --id-column"
            )
        width = _most_common_width(opened, feature, path)
        check_width(width, str(path))
        collected = _Collected([], [], 0)
        names = [feature, *([ids] if ids else [])]
        rows = spooled(_blocks(opened.batches(names), feature, ids, width, collected), scratch, width, str(path))
        column = pl.concat(collected.ids) if collected.ids else None
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:120]
        raise InvalidTableError(f"{path}: cannot be read ({reason or type(error).__name__}); check the file") from None
    return Vectors(
        "a table", rows, None if column is None else ids_of_column(column, f"{path}: column {ids!r}"),
        pl.DataFrame(collected.problems, schema=no_problems().schema),
    )  # fmt: skip


@dataclass
class _Collected:
    ids: list[pl.Series]
    problems: list[dict[str, object]]
    n_rows: int


def _open(path: Path, files: ExitStack) -> _Opened:
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PAR1"):
        require_plausible(path, is_read_whole=False)
        table = files.enter_context(pq.ParquetFile(path, pre_buffer=False))

        def of_parquet(columns: list[str]) -> Iterator[pa.RecordBatch]:
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=columns):
                yield from _checked(batch, columns)

        return _Opened(table.schema_arrow, of_parquet)
    source = files.enter_context(pa.OSFile(str(path)))
    if head == b"ARROW1":
        reader = pa.ipc.open_file(source)

        def of_file(columns: list[str]) -> Iterator[pa.RecordBatch]:
            for number in range(reader.num_record_batches):
                yield from _checked(reader.get_batch(number), columns)

        return _Opened(reader.schema, of_file)

    def of_stream(columns: list[str]) -> Iterator[pa.RecordBatch]:
        source.seek(0)
        for batch in pa.ipc.open_stream(source):
            yield from _checked(batch, columns)

    return _Opened(pa.ipc.open_stream(source).schema, of_stream)


def _checked(batch: pa.RecordBatch, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield a batch in parts, after checking its offsets and texts: whoever wrote the file is not trusted."""
    batch.validate(full=True)
    chosen = batch.select(columns)
    for start in range(0, chosen.num_rows, _ROWS_AT_ONCE):
        yield chosen.slice(start, _ROWS_AT_ONCE)


def _is_list(dtype: pa.DataType) -> bool:
    is_list: bool = types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype)
    return is_list and bool(types.is_floating(dtype.value_type) or types.is_integer(dtype.value_type))


def _feature_column(schema: pa.Schema, asked: str | None, path: Path) -> str:
    lists = [column.name for column in schema if _is_list(column.type)]
    if asked is not None:
        if lists.count(asked) != 1:
            raise InvalidTableError(
                f"{path}: no column {asked!r} of lists of numbers; it has {listed(lists) or 'none'}: name one with "
                "--feature-column"
            )
        return asked
    if len(lists) != 1:
        raise InvalidTableError(
            f"{path}: has {len(lists)} columns of lists of numbers among {listed(schema.names)}; name one with "
            "--feature-column (one list per row: a column per number is not read)"
        )
    return str(lists[0])


def _most_common_width(opened: _Opened, feature: str, path: Path) -> int:
    dtype = opened.schema.field(feature).type
    if types.is_fixed_size_list(dtype):
        return int(dtype.list_size)
    counts: dict[int, int] = {}
    for batch in opened.batches([feature]):
        lengths = batch.column(0).value_lengths().drop_null().to_numpy(zero_copy_only=False)
        for length, n in zip(*np.unique(lengths, return_counts=True), strict=True):
            counts[int(length)] = counts.get(int(length), 0) + int(n)
    if not counts:
        raise InvalidTableError(f"{path}: column {feature!r} has no vector")
    return max(counts, key=lambda length: (counts[length], length))


def _blocks(
    batches: Iterator[pa.RecordBatch], feature: str, ids: str | None, width: int, collected: _Collected
) -> Iterator[npt.NDArray[Any]]:
    """Yield the vectors of each batch; a row that has none is a problem, and 0 here."""
    for batch in batches:
        lists = batch.column(feature)
        lengths = lists.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
        if types.is_fixed_size_list(lists.type):
            lengths = np.where(lists.is_valid().to_numpy(zero_copy_only=False), width, -1)
        is_good = lengths == width
        for place in np.flatnonzero(~is_good):
            length = int(lengths[place])
            reason = "no vector" if length < 0 else "vector of another width"
            detail = None if length < 0 else f"{length:,} numbers; most have {width:,}"
            collected.problems.append({"row": collected.n_rows + int(place), "reason": reason, "detail": detail})
        good = lists.filter(pa.array(is_good)).flatten()
        values = _numbers(good)
        block = np.zeros((batch.num_rows, width), values.dtype)
        block[is_good] = values.reshape(-1, width)
        if ids is not None:
            collected.ids.append(pl.Series(pl.from_arrow(batch.column(ids))))
        collected.n_rows += batch.num_rows
        yield block


def _numbers(values: pa.Array) -> npt.NDArray[Any]:
    """Return numbers as float16, float32 or float64; null is NaN."""
    if types.is_integer(values.type):
        values = values.cast(pa.float64() if values.type.bit_width > 16 else pa.float32(), safe=False)
    numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers
