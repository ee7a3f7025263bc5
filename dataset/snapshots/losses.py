"""Counts what a version loses of its parent: rows, users, values of columns, and the sides of pairs.

A row is lost if the new version has none with its key, whatever else it has: as many other users do not make up for the
lost ones. A value is lost if its row is still there and the value is not. Rows are compared by 64-bit hashes of their
keys, so that only these stay in memory.
"""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow.parquet as pq

from dataset.dates import personal_dates
from dataset.errors import HeldError, InvalidTableError
from dataset.schema import SPLITS, is_known, schema_of
from dataset.snapshots.diff import describe_changes, diff_tables
from dataset.snapshots.publication import GateConfig
from dataset.snapshots.snapshot import Snapshot
from dataset.tables import Schema

_KEEPS_SIDES = ("stable", "given")
_OF_SIDES = ("frame_likes", "frame_likes_train")  # the likes of held-out pairs, and those of pairs in train
_OF = {"interactions": ["user_id"], **{table: ["user_id", "movie_id"] for table in _OF_SIDES}}
_OF_SPLIT = "train_"  # columns that are computed from the pairs in train begin so
_BATCH_ROWS = 262_144
_DIGITS = 12


@dataclass(frozen=True)
class Loss:
    """What a version loses of one kind of thing: how many its parent has, and how many of them are lost."""

    what: str
    before: int
    lost: int

    @property
    def share(self) -> float:
        """The lost share."""
        return self.lost / self.before if self.before else 0.0

    def __str__(self) -> str:
        return f"{self.lost:,} of {self.before:,} {self.what} ({100 * self.share:.1f} %)"


def losses(before: Snapshot, after: Snapshot) -> list[Loss]:
    """Return what `after` loses of `before`, the largest shares first; nothing where nothing is lost.

    If the splits of both promise that pairs stay where they are, pairs that do not stay are losses too.

    Raises:
        InvalidTableError: a file cannot be read.
        StorageError: the object store cannot be reached.
    """
    found: list[Loss] = []
    for table, entry in before.manifest.tables.items():
        other = after.manifest.tables.get(table)
        if is_known(table) and not (other and other.content_sha256 == entry.content_sha256):
            try:
                found += _losses_of(table, before, after)
            except pl.exceptions.PolarsError as error:  # a key that the other version does not have
                reason = " ".join(str(error).split())[:200]
                raise InvalidTableError(
                    f"{before}: {table} cannot be compared ({reason}); to publish without comparing: --max-loss 1"
                ) from None
    return sorted((loss for loss in found if loss.lost), key=lambda loss: -loss.share)


def moved_pairs(before: Snapshot, after: Snapshot) -> Loss:
    """Return how many pairs that both versions have are in another split now."""
    one, other = before.manifest.tables["interactions"], after.manifest.tables["interactions"]
    if one.content_sha256 == other.content_sha256:
        return Loss("pairs in another split", one.rows, 0)
    pairs = [_digest(snapshot, "interactions", ["split"]).drop("of") for snapshot in (before, after)]
    return _moved(pairs[0].join(pairs[1], on="key"))


def require_little_loss(before: Snapshot | None, after: Snapshot, gate: GateConfig) -> None:
    """Check that a version may follow its parent.

    Args:
        before: the parent, None if there is none.
        after: the version that is not published yet.
        gate: how much it may lose; 1: the versions are not compared.

    Raises:
        HeldError: it loses more, or its crawl raised an alarm, and it is not released.
    """
    reasons = [str(alarm) for alarm in after.manifest.provenance.get("alarms") or []]
    if before is not None and gate.max_loss < 1:
        reasons += [str(loss) for loss in losses(before, after) if loss.share > gate.max_loss]
    digest = after.content_digest
    if not reasons or (gate.release and digest.startswith(gate.release)):
        return
    changes = () if before is None else tuple(describe_changes(before, after, diff_tables(before, after)))
    against = f" against {before.label}" if before else ""
    others = f" (--release {gate.release} names another content)" if gate.release else ""
    raise HeldError(
        f"{after.name}: held, not published{against}: {'; '.join(reasons)}; a version may lose "
        f"{100 * gate.max_loss:g} % (--max-loss); if this is right, publish again with --release "
        f"{digest[:_DIGITS]}{others}",
        changes,
    )


def _moved(both: pl.DataFrame) -> Loss:
    return Loss("pairs in another split", both.height, both.filter(pl.col("split") != pl.col("split_right")).height)


def _keeps_sides(snapshot: Snapshot) -> bool:
    """Return whether a version's split promises that a pair stays where it is."""
    split = snapshot.manifest.config.get("split")
    return isinstance(split, dict) and split.get("strategy") in _KEEPS_SIDES


def _losses_of(table: str, before: Snapshot, after: Snapshot) -> Iterator[Loss]:
    schema = schema_of(table)
    columns = _compared(before, after, table, schema)
    sides = ["split"] if table == "interactions" and _keeps_sides(before) and _keeps_sides(after) else []
    one = _digest(before, table, columns + sides)
    other = _digest(after, table, columns + sides)
    if table in _OF_SIDES:  # a like of a pair that is on the other side now is not lost
        pairs = _digest(after, "interactions", ["split"])
        is_elsewhere = (pl.col("split") == 0) if table == "frame_likes" else (pl.col("split") != 0)
        one = one.filter(~pl.col("of").is_in(pairs.filter(is_elsewhere)["key"].implode()))
    if table == "interactions":
        users = one["of"].unique()
        yield Loss("users", len(users), len(users.filter(~users.is_in(other["of"].unique().implode()))))
    both = one.drop("of").join(other.drop("of"), on="key")
    yield Loss(_in_words(table), one.height, one.height - both.height)
    if sides:
        yield _moved(both)
    for column in columns:
        lost = both.filter(pl.col(column) & ~pl.col(f"{column}_right")).height
        yield Loss(f"values of {table}.{column}", both.filter(pl.col(column)).height, lost)


def _compared(before: Snapshot, after: Snapshot, table: str, schema: Schema) -> list[str]:
    """Return the columns whose values can be lost: not keys, vectors, or what the split or `--dates` decides."""
    left_out = {*schema.primary_key(), "split"}
    if before.manifest.dates != after.manifest.dates:
        acts = personal_dates(schema)
        left_out |= {column for columns in acts.values() for column in columns} | {f"{act}_rank" for act in acts}
    return [
        column
        for column, dtype in before.manifest.tables[table].columns.items()
        if column not in left_out and not column.startswith(_OF_SPLIT) and not dtype.startswith("Array")
    ]


def _digest(snapshot: Snapshot, table: str, columns: list[str]) -> pl.DataFrame:
    """Return for each row the hash of its key, what it is `of` (`_OF`), and which columns have a value.

    Of the column `split`, the place in `SPLITS` is returned.
    """
    keys = schema_of(table).primary_key()
    of = _OF.get(table, keys)
    types: dict[str, type[pl.DataType]] = {"key": pl.UInt64, "of": pl.UInt64}
    types |= {column: pl.UInt8 if column == "split" else pl.Boolean for column in columns}
    entry = snapshot.manifest.tables.get(table)
    if entry is None:
        return pl.DataFrame(schema=types)
    present = [column for column in columns if column in entry.columns]
    parts = [pl.DataFrame(schema=types)]
    for name in entry.names:
        with snapshot.open_file(name, is_read_whole=False) as file:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=list({*keys, *of, *present})):
                rows = pl.DataFrame(pl.from_arrow(batch))
                has = [
                    _has_value(rows, column) if column in present else pl.lit(False).alias(column) for column in columns
                ]
                parts.append(rows.select(_hash(keys).alias("key"), _hash(of).alias("of"), *has).cast(pl.Schema(types)))
    return pl.concat(parts)


def _hash(columns: list[str]) -> pl.Expr:
    hashes = (pl.col(name).cast(pl.String).hash(seed=seed) for seed, name in enumerate(columns))
    return functools.reduce(operator.xor, hashes)  # of a struct, a hash takes several times as long


def _has_value(rows: pl.DataFrame, column: str) -> pl.Expr:
    value, dtype = pl.col(column), rows.schema[column]
    if column == "split":
        return value.cast(pl.String).cast(pl.Enum(SPLITS)).to_physical()
    if isinstance(dtype, pl.List):
        return (value.list.len() > 0).fill_null(value=False)
    return (value.is_not_null() & (value != "")) if dtype == pl.String else value.is_not_null()


def _in_words(table: str) -> str:
    return f"rows of {table}" if table == "users" else table.replace("_", " ")
