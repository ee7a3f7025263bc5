"""Writes vectors as features of frames: checked, rounded to the type that is kept, in the order of the frames."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.errors import InvalidTableError
from features.table import ROWS_PER_GROUP, FeatureWriter
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


class StoredFeatures:
    """Writes a feature table from vectors.

    Args:
        vectors: the vectors.
        dtype: the type to keep.
        where: the file, for messages.
    """

    def __init__(self, vectors: Rows, dtype: StoredType, where: str) -> None:
        self._vectors, self._dtype, self._where = vectors, np.dtype(dtype), where
        self.loss = Loss()
        self._unused: list[dict[str, object]] = []

    @property
    def unused(self) -> pl.DataFrame:
        """`row`, `id`, `reason`, `detail` of the rows that were not written."""
        return pl.DataFrame(self._unused, schema=_UNUSED)

    def write(self, known: pl.DataFrame, path: Path, shown: Path) -> pl.Series:
        """Write one feature per frame, the first of its rows that is finite; return the frames that have one.

        Args:
            known: `row`, `id`, `frame_id`; several rows may have the same frame.
            path: the file to write.
            shown: its path for messages.

        Raises:
            InvalidTableError: a number does not fit into the kept type, or a vector becomes 0 in it.
        """
        first = known.unique("frame_id", keep="first", maintain_order=True).sort("frame_id")
        others: dict[str, list[tuple[int, str]]] = {}
        for row, id_, frame in known.join(first, on="row", how="anti").sort("row")["row", "id", "frame_id"].iter_rows():
            others.setdefault(frame, []).append((row, id_))
        width = self._vectors.width
        number = pl.Float16 if self._dtype == np.float16 else pl.Float32
        at_once = min(ROWS_PER_GROUP, block_rows(width))
        written = []
        with FeatureWriter(path, shown, width, number, "import") as writer:
            for group in first.iter_slices(at_once):
                features, kept = self._group(group, others)
                rows = group.select("frame_id", image_sha256=pl.lit(None, dtype=pl.String)).filter(kept)
                if rows.height:
                    writer.write(rows, features[kept])
                written.append(rows["frame_id"])
        return pl.concat(written)

    def _group(
        self, group: pl.DataFrame, others: dict[str, list[tuple[int, str]]]
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the features of a group of frames, and which of these have one."""
        raw = self._vectors.read(group["row"].to_numpy())
        kept = _are_finite(raw)
        for row, id_ in group.filter(~kept)["row", "id"].iter_rows():
            self._leave_out(row, id_, NOT_FINITE)
        for place, frame in enumerate(group["frame_id"] if others else ()):
            for row, id_ in others.pop(frame, ()):
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
                example = group["frame_id"][int(is_bad.argmax())]
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
