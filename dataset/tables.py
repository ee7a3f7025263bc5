"""Validated reading and writing of tables: nothing passes between stages unchecked.

Written tables are Parquet (zstd), rows sorted by primary key and columns in schema order, so
that equal content gives equal bytes.
"""

import hashlib
from pathlib import Path
from typing import Any, TypeVar, cast

import dataframely as dy
import polars as pl
import pyarrow as pa
from dataframely.exc import SchemaError, ValidationError

from dataset.errors import InvalidTableError, MissingInputError
from dataset.files import atomic_path

S = TypeVar("S", bound=dy.Schema)
Schema = type[dy.Schema]

_SHOWN_EXAMPLE_CHARACTERS = 160
_DIGEST_ROWS = 65_536


def validate(table: pl.DataFrame, schema: type[S], name: str) -> dy.DataFrame[S]:
    """Return `table` with exactly `schema`'s columns, in its order, after checking every rule.

    Args:
        table: the rows; columns may be in any order, types must fit exactly.
        schema: the schema to satisfy.
        name: what to call the table in an error, a file's path or a table's name.

    Raises:
        InvalidTableError: one line with the table, the columns or rules broken, the number of
            rows and one example.
    """
    surplus = [column for column in table.columns if column not in schema.column_names()]
    try:
        if surplus:
            raise SchemaError(f"unknown columns {', '.join(map(repr, surplus))}")
        return schema.validate(table.select(_ordered(table, schema)), cast=False)
    except SchemaError as error:
        what = " ".join(str(error).split("Resolved plan")[0].split())
        raise InvalidTableError(
            f"{name}: {what}; it must have the columns of {schema.__name__} (dataset/schema.py)"
        ) from None
    except ValidationError:
        _, failures = schema.filter(table, cast=False)
        broken = ", ".join(f"{_spoken(rule)} in {n:,} rows" for rule, n in failures.counts().items())
        example = str(failures.invalid().row(0, named=True))[:_SHOWN_EXAMPLE_CHARACTERS]
        raise InvalidTableError(f"{name}: {broken} (of {table.height:,}); for example {example}") from None


def require_references(
    child: pl.DataFrame, parent: pl.DataFrame, columns: list[str], child_name: str, parent_name: str
) -> None:
    """Check that every combination of `columns` in `child` occurs in `parent`.

    Raises:
        InvalidTableError: with the number of dangling rows and one example.
    """
    dangling = child.join(parent, on=columns, how="anti")
    if dangling.height:
        example = dangling.select(columns).row(0, named=True)
        raise InvalidTableError(
            f"{child_name}: {dangling.height:,} rows have no match in {parent_name} by "
            f"{', '.join(columns)}; for example {example}"
        )


def write_table(table: pl.DataFrame, schema: type[S], path: Path) -> dy.DataFrame[S]:
    """Validate `table`, sort it by primary key, write it as Parquet atomically, and return it.

    Raises:
        InvalidTableError: the table breaks its schema (see `validate`).
        PipelineError: the file cannot be written.
    """
    valid = canonical(validate(table, schema, str(path)), schema)
    with atomic_path(path) as temporary:
        valid.write_parquet(temporary, compression="zstd")
    return cast("dy.DataFrame[S]", valid)


def read_table(path: Path, schema: type[S]) -> dy.DataFrame[S]:
    """Read a Parquet table and validate it.

    Raises:
        MissingInputError: there is no such file.
        InvalidTableError: the file is not Parquet, or the table breaks its schema.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such table; run the stage that writes it first (see README)")
    try:
        table = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidTableError(f"{path}: cannot be read as Parquet ({error}); make it again") from error
    return validate(table, schema, str(path))


def canonical(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the rows in their one order: by primary key, or by all columns where there is none."""
    keys = schema.primary_key() or schema.column_names()
    return table.sort(keys, maintain_order=True, nulls_last=False).rechunk()


def content_digest(table: pl.DataFrame, schema: Schema) -> str:
    """Return the SHA-256 of a table's content: equal rows give it on any machine, in any row order.

    Hashed are the canonical rows as an Arrow IPC stream (uncompressed, fixed batch size), not
    the Parquet bytes, which may differ between library versions.
    """
    digest = hashlib.sha256()
    ordered = canonical(table, schema)
    for start in range(0, max(ordered.height, 1), _DIGEST_ROWS):
        batch = _without_hidden_bytes(ordered.slice(start, _DIGEST_ROWS))
        arrow = batch.to_arrow(compat_level=pl.CompatLevel.oldest())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as writer:
            writer.write_table(arrow, max_chunksize=_DIGEST_ROWS)
        digest.update(sink.getvalue())
    return digest.hexdigest()


def _without_hidden_bytes(table: pl.DataFrame) -> pl.DataFrame:
    """Make nulls a column of their own, so that what a buffer holds under a null is not hashed."""
    columns: list[pl.Expr] = []
    for name, dtype in table.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.Enum):
            column = column.cast(pl.String)
        elif dtype.is_temporal():
            column = column.to_physical()
        if table[name].null_count():
            columns.append(pl.col(name).is_null().alias(f"{name} is null"))
            column = column.fill_null("" if isinstance(dtype, pl.Enum | pl.String) else 0)
        columns.append(column)
    return table.select(columns).rechunk()


def _ordered(table: pl.DataFrame, schema: Schema) -> list[str]:
    return [column for column in schema.column_names() if column in table.columns]


def _spoken(rule: str) -> str:
    """Turn dataframely's `column|rule` into words: "column 'stars' breaks 'max'"."""
    column, _, check = rule.rpartition("|")
    return f"column {column!r} breaks '{check}'" if column else f"'{check}' is broken"


def empty(schema: Schema) -> pl.DataFrame:
    """Return a table of `schema` with no row."""
    return cast(pl.DataFrame, cast(Any, schema).create_empty())
