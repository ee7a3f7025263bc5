"""Writes vectors as features of frames or items: checked, rounded to the type that is kept, sorted by id."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError, TooLittleDataError
from dataset.feature_schema import FrameFeature, ItemFeature
from dataset.feature_sets import files_of_table, is_item_table
from dataset.files import atomic_path
from dataset.schema import Quarantine
from dataset.tables import quarantine_rows, write_table
from features.table import ROWS_PER_GROUP, write_groups
from features.vectors.config import StoredType
from features.vectors.rows import Floats, Rows, block_rows

NOT_FINITE, REPEATED = "not finite (NaN or infinity)", "repeats an id"
_EXPONENT_OF_HALF = np.uint16(0x7C00)
_UNUSED = {"row": pl.Int64, "id": pl.String, "reason": pl.String, "detail": pl.String}


@dataclass
class Loss:
    """What rounding to the kept type has changed.

    Attributes:
        largest: the largest relative change of a vector: the length of the difference per length of the vector.
        n_zero: the vectors whose numbers are all 0 in the file.
    """

    largest: float = 0.0
    n_zero: int = 0


@dataclass(frozen=True)
class Stored:
    """What was written.

    Attributes:
        ids: the frames or items that have a feature.
        reasons: for each reason why a row was not used, the number of rows.
        loss: what rounding has changed.
    """

    ids: pl.Series
    reasons: dict[str, int]
    loss: Loss


def store(
    vectors: Rows, known: pl.DataFrame, lost: pl.DataFrame, table: str, dtype: StoredType, where: str, folder: Path
) -> Stored:
    """Write a feature table, and the rows that are not in it to its quarantine.

    Args:
        vectors: the vectors.
        known: see `StoredFeatures.write`.
        lost: `row`, `id`, `reason`, `detail` of the rows that are not known.
        table: the table's name (`dataset.feature_sets`).
        dtype: the type to keep.
        where: the file of the vectors, for messages.
        folder: the folder to write to.

    Raises:
        InvalidTableError: see `StoredFeatures.write`.
        TooLittleDataError: no vector is finite.
    """
    file, quarantine = files_of_table(table)
    features = StoredFeatures(vectors, dtype, where, ItemFeature if is_item_table(table) else FrameFeature)
    with atomic_path(folder / file) as temporary:
        ids = features.write(known, temporary, folder / file)
    if not len(ids):
        raise TooLittleDataError(f"{where}: none of {vectors.n_rows:,} vectors is finite; check the file")
    every = pl.concat([lost, features.unused])
    number = pl.format("row {}", pl.col("row"))
    detail = pl.when(pl.col("detail").is_null()).then(number).otherwise(pl.format("{}: {}", number, pl.col("detail")))
    rows = every.sort("row").select("reason", pl.col("id").alias(ids.name), detail=detail)
    write_table(quarantine_rows(rows, "features"), Quarantine, folder / quarantine)
    reasons = dict(every.group_by("reason").len().sort("reason").iter_rows())
    return Stored(ids, reasons, features.loss)


class StoredFeatures:
    """Writes a feature table from vectors.

    Args:
        vectors: the vectors.
        dtype: the type to keep.
        where: the file, for messages.
        of: the table's schema.
    """

    def __init__(
        self,
        vectors: Rows,
        dtype: StoredType,
        where: str,
        of: type[FrameFeature] | type[ItemFeature] = FrameFeature,
    ) -> None:
        self._vectors, self._dtype, self._where, self._of = vectors, np.dtype(dtype), where, of
        (self._key,) = of.primary_key()
        self.loss = Loss()
        self._unused: list[dict[str, object]] = []

    @property
    def unused(self) -> pl.DataFrame:
        """`row`, `id`, `reason`, `detail` of the rows that were not written."""
        return pl.DataFrame(self._unused, schema=_UNUSED)

    def write(self, known: pl.DataFrame, path: Path, shown: Path) -> pl.Series:
        """Write one feature per frame or item, the first of its rows that is finite; return the ids that have one.

        Args:
            known: `row`, `id`, and the table's key, which may repeat; other columns of the table are null if missing.
            path: the file to write.
            shown: its path for messages.

        Raises:
            InvalidTableError: a number does not fit into the kept type, or a vector becomes 0 in it.
        """
        first = known.unique(self._key, keep="first", maintain_order=True).sort(self._key)
        others: dict[str, list[tuple[int, str]]] = {}
        for row, id_, key in known.join(first, on="row", how="anti").sort("row")["row", "id", self._key].iter_rows():
            others.setdefault(key, []).append((row, id_))
        columns = [name for name in self._of.column_names() if name != "feature"]
        rows_of_table = first.select(
            pl.col(name) if name in first.columns else pl.lit(None, dtype=pl.String).alias(name) for name in columns
        )
        width = self._vectors.width
        number = pl.Float16 if self._dtype == np.float16 else pl.Float32
        at_once = min(ROWS_PER_GROUP, block_rows(width))
        written = [first[self._key].clear()]

        def groups() -> Iterator[tuple[pl.DataFrame, Floats]]:
            slices = zip(first.iter_slices(at_once), rows_of_table.iter_slices(at_once), strict=True)
            for group, rows_of_group in slices:
                features, kept = self._group(group, others)
                rows = rows_of_group.filter(kept)
                written.append(rows[self._key])
                if rows.height:
                    yield rows, features[kept]

        write_groups(groups(), path, shown, width, number, "import", self._of)
        return pl.concat(written)

    def _group(
        self, group: pl.DataFrame, others: dict[str, list[tuple[int, str]]]
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the features of a group of ids, and which of these have one."""
        raw = self._vectors.read(group["row"].to_numpy())
        kept = _are_finite(raw)
        for row, id_ in group.filter(~kept)["row", "id"].iter_rows():
            self._leave_out(row, id_, NOT_FINITE)
        for place, key in enumerate(group[self._key] if others else ()):
            for row, id_ in others.pop(key, ()):
                spare = None if kept[place] else self._vectors.read(np.array([row]))
                if spare is None:
                    self._leave_out(row, id_, REPEATED)
                elif not _are_finite(spare)[0]:
                    self._leave_out(row, id_, NOT_FINITE)
                else:
                    raw[place], kept[place] = spare[0], True
        raw[~kept] = 0
        return self._rounded(raw, kept, group), kept

    def _leave_out(self, row: int, id_: str | None, reason: str) -> None:
        self._unused.append({"row": row, "id": id_, "reason": reason, "detail": None})

    def _rounded(self, raw: Floats, kept: npt.NDArray[np.bool_], group: pl.DataFrame) -> Floats:
        """Return the vectors in the kept type, and note what that changes."""
        is_zero = ~raw.any(axis=1)
        self.loss.n_zero += int((is_zero & kept).sum())
        if raw.dtype == self._dtype:
            return raw
        with np.errstate(over="ignore"):
            stored = raw.astype(self._dtype)
        if self._dtype.itemsize >= raw.dtype.itemsize:
            return stored
        for is_bad, what in (
            (~_are_finite(stored), f"has numbers beyond {np.finfo(self._dtype).max:.5g}, the largest"),
            (~stored.any(axis=1) & ~is_zero, "has only numbers that are 0"),
        ):
            if is_bad.any():
                example = group[self._key][int(is_bad.argmax())]
                remedy = "pass --dtype float32" if self._dtype == np.float16 else "scale the vectors"
                raise InvalidTableError(f"{self._where}: the vector of {example!r} {what} in {self._dtype}; {remedy}")
        wide = np.result_type(raw.dtype, np.float32)
        numbers = raw.astype(wide, copy=False)
        changes, lengths = np.linalg.norm(numbers - stored, axis=1), np.linalg.norm(numbers, axis=1)
        relative = changes[lengths > 0] / lengths[lengths > 0]
        self.loss.largest = max(self.loss.largest, float(relative.max(initial=0)))
        return stored


def _are_finite(vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether each row is finite; for float16, by its bits, which is several times as fast."""
    if vectors.dtype == np.float16:
        bits = np.ascontiguousarray(vectors).view(np.uint16)
        finite: npt.NDArray[np.bool_] = ((bits & _EXPONENT_OF_HALF) != _EXPONENT_OF_HALF).all(axis=1)
        return finite
    all_finite: npt.NDArray[np.bool_] = np.isfinite(vectors).all(axis=1)
    return all_finite
