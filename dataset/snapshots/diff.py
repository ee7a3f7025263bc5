"""Compares two snapshots: which rows differ, and a summary in words."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from dataset.description import flatten_settings
from dataset.errors import InvalidTableError
from dataset.feature_sets import is_feature_table, is_item_table
from dataset.progress import stage
from dataset.risk import words
from dataset.risk.figures import POINTS
from dataset.schema import SNAPSHOT_TABLES, schema_of
from dataset.snapshots.feature_words import describe_extractor, name_in_words
from dataset.snapshots.manifest import Manifest, TableEntry
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import concat_files, fill_optional

_EXAMPLES = 3


@dataclass(frozen=True)
class TableDiff:
    """The differences in one table.

    Attributes:
        table: the table's name.
        rows: one row per differing row: its key, `change` (added, removed, changed) and, for a changed row,
            `columns`: the names of the columns that differ.
        is_hidden: whether the rows are equal except for vectors, so `rows` is empty; vectors are not compared.
        moves: how many rows that both snapshots have went from one split to another, by the two splits.
    """

    table: str
    rows: pl.DataFrame
    is_hidden: bool = False
    moves: dict[tuple[str, str], int] = field(default_factory=dict)


@stage("Comparing the snapshots")
def diff_tables(before: Snapshot, after: Snapshot) -> list[TableDiff]:
    """Return the differences in each table that differs between two snapshots.

    Tables with equal digests are not read; vectors are never read.

    Raises:
        InvalidTableError: a file cannot be read.
        StorageError: the object store cannot be reached.
    """
    found = []
    named = {table for one in (before, after) for table in one.manifest.tables if is_feature_table(table)}
    for table in dict.fromkeys((*SNAPSHOT_TABLES, *sorted(named))):
        one, other = before.manifest.tables.get(table), after.manifest.tables.get(table)
        if one == other or (one and other and one.content_sha256 == other.content_sha256):
            continue
        try:
            rows, moves = _compare(_comparable(before, table), _comparable(after, table), table)
        except pl.exceptions.PolarsError as error:  # a key of another type
            reason = " ".join(str(error).split())[:200]
            raise InvalidTableError(f"{after}: {table} cannot be compared with {before}'s ({reason})") from None
        is_hidden = rows.is_empty() and _has_vectors(one or other)
        if is_hidden or not rows.is_empty():
            found.append(TableDiff(table, rows, is_hidden, moves))
    return found


def describe_changes(before: Snapshot, after: Snapshot, tables: list[TableDiff]) -> Iterator[str]:
    """Yield the changes, one line each; nothing if the snapshots are equal."""
    for diff in tables:
        yield from _describe_rows(diff, before, after)
    one, other = before.manifest, after.manifest
    yield from _describe_values("setting", flatten_settings(one.config), flatten_settings(other.config))
    yield from _describe_extractors(one, other)
    yield from _describe_values("statistic", flatten_settings(one.statistics), flatten_settings(other.statistics))
    yield from _describe_values("", _facts(one), _facts(other))
    yield from _describe_values("singled out", _risk(one), _risk(other))


def _describe_extractors(before: Manifest, after: Manifest) -> Iterator[str]:
    old, new = before.makers, after.makers
    for table in dict.fromkeys((*old, *new)):
        one, other = old.get(table), new.get(table)
        if one != other:
            words = (describe_extractor(by) if by or not is_item_table(table) else "none" for by in (one, other))
            yield f"{name_in_words(table)}: {' → '.join(words)}"
            yield from _describe_values("  extractor", one or {}, other or {})


def _comparable(snapshot: Snapshot, table: str) -> pl.DataFrame:
    """Return a table's rows without vectors; no rows if the snapshot lacks the table.

    An optional column that it lacks is null, so that a snapshot of an older format differs only where a value does.
    """
    schema = schema_of(table)
    entry = snapshot.manifest.tables.get(table)
    if entry is None:
        return pl.DataFrame(schema=dict.fromkeys(schema.primary_key(), pl.String))
    columns = [column for column, dtype in entry.columns.items() if not dtype.startswith("Array")]
    parts = {f"{snapshot.folder}/{name}": _read_columns(snapshot, name, columns) for name in entry.names}
    return fill_optional(concat_files(parts), schema)


def _has_vectors(entry: TableEntry | None) -> bool:
    return entry is not None and any(dtype.startswith("Array") for dtype in entry.columns.values())


def _read_columns(snapshot: Snapshot, name: str, columns: list[str]) -> pl.DataFrame:
    with snapshot.open_file(name) as file:
        return pl.DataFrame(pl.from_arrow(pq.read_table(file, columns=columns, use_threads=False, pre_buffer=False)))


def _compare(before: pl.DataFrame, after: pl.DataFrame, table: str) -> tuple[pl.DataFrame, dict[tuple[str, str], int]]:
    """Return the keys of the rows that differ, with `change` the differing `columns`, and the moves (`TableDiff`)."""
    keys = schema_of(table).primary_key()
    columns = [column for column in after.columns if column in before.columns and column not in keys]
    joined = before.with_columns(_in=True).join(
        after.with_columns(_in=True), on=keys, how="full", coalesce=True, suffix=" after", maintain_order="left_right"
    )
    differing = [
        pl.when(pl.col(column).ne_missing(pl.col(f"{column} after"))).then(pl.lit(column)) for column in columns
    ]
    changed = pl.concat_list(differing).list.drop_nulls() if differing else pl.lit([], pl.List(pl.String))
    change = (
        pl.when(pl.col("_in").is_null())
        .then(pl.lit("added"))
        .when(pl.col("_in after").is_null())
        .then(pl.lit("removed"))
        .when(pl.col("columns").list.len() > 0)
        .then(pl.lit("changed"))
    )
    rows = joined.with_columns(columns=changed).with_columns(change=change)
    kept = rows.filter(pl.col("change").is_not_null())
    only_changed = pl.when(pl.col("change") == "changed").then(pl.col("columns"))
    return kept.select(*keys, "change", columns=only_changed).sort(keys), _moves(kept)


def _moves(changed: pl.DataFrame) -> dict[tuple[str, str], int]:
    if not {"split", "split after"} <= set(changed.columns):
        return {}
    sides = changed.select(pl.col("split", "split after").cast(pl.String)).drop_nulls()
    moved = sides.filter(pl.col("split") != pl.col("split after")).group_by("split", "split after").len()
    return {(one, other): n for one, other, n in moved.sort("len", descending=True).rows()}


def _describe_rows(diff: TableDiff, before: Snapshot, after: Snapshot) -> Iterator[str]:
    one, other = before.manifest.tables.get(diff.table), after.manifest.tables.get(diff.table)
    yield f"{diff.table}: {one.rows if one else 0:,} → {other.rows if other else 0:,} rows"
    if diff.is_hidden:
        yield "  the same rows with different vectors"
    for change in ("added", "removed", "changed"):
        rows = diff.rows.filter(change=change)
        if rows.is_empty():
            continue
        counts = rows["columns"].drop_nulls().explode(empty_as_null=False).value_counts(sort=True).rows()
        where = f" ({', '.join(f'{column} in {n:,}' for column, n in counts)})" if counts else ""
        examples = rows.drop("change", "columns").head(_EXAMPLES).rows()
        shown = ", ".join("/".join(map(str, key)) for key in examples) + (" …" if rows.height > len(examples) else "")
        yield f"  {rows.height:,} {change}{where}: {shown}"
    if diff.moves:
        sides = ", ".join(f"{n:,} {one} → {other}" for (one, other), n in diff.moves.items())
        yield f"  {sum(diff.moves.values()):,} changed sides: {sides}"


def _describe_values(what: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key), after.get(key)
        if one != other and not isinstance(one or other, list):
            yield f"{what} {key}: {_format_value(one)} → {_format_value(other)}".lstrip()


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "source": manifest.provenance.get("source"),
        "dates": manifest.dates,
        "licence": manifest.licence,
        "code version": manifest.code_version,
    }


def _risk(manifest: Manifest) -> dict[str, Any]:
    """Return the shares of users whom most points single out, in percent."""
    return {
        f"by {heading} points ({row.known}) of {row.table}": share
        for row in words.rows(manifest.risk_figures)
        for heading, share in zip(words.COLUMNS, row.shares, strict=True)
        if heading.startswith(str(POINTS[-1]))
    }


def _format_value(value: Any) -> str:
    if value is None:
        return "not set"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
