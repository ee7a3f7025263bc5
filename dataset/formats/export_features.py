"""Exports features: a matrix of float32, one row per item or frame, in the order of the exported ids.

| file | rows |
|---|---|
| `image_feat.npy`, `image_feat_ids.txt` | of items: each row is the mean of the item's frames; one id per line |
| `frame_feat.npy`, `frame_feat_ids.tsv` | of frames, sorted by id; the frame's and the item's id |
| `<name>.itememb` | RecBole's: the item's id and its numbers as text |

An item without a feature has the mean of the others, because other libraries need a row for every item.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dataset.errors import InvalidTableError, MissingInputError, UsageError
from dataset.formats.writable_ids import LONGEST_FIELD
from dataset.tables import read_parquet

FeaturesOf = Literal["items", "frames"]
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ExportedFeatures:
    """The features of a dataset folder or snapshot.

    Attributes:
        table: the file of the feature table.
        of: whether each row of a matrix is an item's or a frame's.
        all_frames: the `SnapshotFrame` rows.
    """

    table: Path
    of: FeaturesOf
    all_frames: pl.DataFrame

    @cached_property
    def frames(self) -> pl.DataFrame:
        """`frame_id`, `movie_id` of the frames with a feature, sorted by frame.

        Raises:
            MissingInputError: there are no features.
        """
        if not self.table.is_file():
            raise MissingInputError(
                f"{self.table}: no such features; run `python -m features extract` or `import`, or pass --features none"
            )
        known = read_parquet(self.table, ["frame_id"])
        return self.all_frames.select("frame_id", "movie_id").join(known, on="frame_id", how="semi").sort("frame_id")

    @cached_property
    def width(self) -> int:
        """The numbers per feature."""
        schema = pq.read_schema(self.table)
        kind = dict(zip(schema.names, schema.types, strict=True)).get("feature")
        if kind is None or not pa.types.is_fixed_size_list(kind):
            raise InvalidTableError(f"{self.table}: holds no vectors of one width; extract or import them again")
        return int(kind.list_size)

    def n_without(self, items: pl.Series) -> int:
        """Return how many of these items have no feature."""
        return len(items) - int(items.is_in(self.frames["movie_id"].implode()).sum())

    def array(self, path: str, order: pl.Series) -> "ArrayFile":
        """Return the file of a matrix whose row i is of `order[i]`: items or frames."""
        key = "movie_id" if self.of == "items" else "frame_id"
        ids = pl.DataFrame({key: order}).with_row_index("place")
        return ArrayFile(path, self, self.frames.join(ids, on=key).select("frame_id", "place"), len(order))

    def files(self, items: pl.Series) -> list["ArrayFile | IdsFile"]:
        """Return the matrix and the list of its ids.

        Args:
            items: all item ids, in the order of the rows.
        """
        if self.of == "items":
            return [self.array("image_feat.npy", items), IdsFile("image_feat_ids.txt", items.to_frame(), False)]
        ids = self.frames.rename({"movie_id": "item_id"})
        return [self.array("frame_feat.npy", ids["frame_id"]), IdsFile("frame_feat_ids.tsv", ids, True)]


@dataclass(frozen=True)
class IdsFile:
    """The ids of a matrix, one row per line, separated by tabs."""

    path: str
    ids: pl.DataFrame
    has_header: bool

    def write(self, path: Path) -> None:
        """Write the file to `path`."""
        self.ids.write_csv(path, separator="\t", include_header=self.has_header, quote_style="never")


@dataclass(frozen=True)
class ArrayFile:
    """A `.npy` of float32.

    Attributes:
        path: its path below the destination.
        features: where the vectors are.
        places: `frame_id` and the row that it belongs to.
        n_rows: the rows of the matrix.
    """

    path: str
    features: ExportedFeatures
    places: pl.DataFrame
    n_rows: int

    def write(self, path: Path) -> None:
        """Write the file to `path`, about a thousand frames at a time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (self.n_rows, self.features.width))
        self.fill(matrix)
        matrix.flush()

    def fill(self, matrix: npt.NDArray[np.float32]) -> None:
        """Write the mean of the frames of each row into a matrix, and the mean of the others where there are none."""
        counts = np.zeros(self.n_rows, np.int64)
        with pq.ParquetFile(self.features.table, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["frame_id", "feature"]):
                rows = pl.DataFrame(pl.from_arrow(batch)).join(self.places, on="frame_id").sort("place", "frame_id")
                if rows.height:
                    _add(rows["feature"].to_numpy().astype(np.float32), rows["place"].to_numpy(), matrix, counts)
        several = np.flatnonzero(counts > 1)
        matrix[several] /= counts[several, None].astype(np.float32)
        if (counts == 0).any() and (counts > 0).any():
            total = np.zeros(matrix.shape[1])
            for start in range(0, self.n_rows, _ROWS_AT_ONCE):
                block = slice(start, start + _ROWS_AT_ONCE)
                total += matrix[block][counts[block] > 0].sum(0, dtype=np.float64)
            matrix[counts == 0] = total / (counts > 0).sum()


def _add(
    vectors: npt.NDArray[np.float32], places: npt.NDArray[Any], matrix: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    """Add vectors, sorted by their places, to the rows of a matrix; a row's first one is copied, so -0 stays -0."""
    rows, starts, lengths = np.unique(places, return_index=True, return_counts=True)
    sums = np.add.reduceat(vectors, starts, axis=0)
    is_new = counts[rows] == 0
    matrix[rows[is_new]] = sums[is_new]
    matrix[rows[~is_new]] += sums[~is_new]
    counts[rows] += lengths


@dataclass(frozen=True)
class TextVectors:
    """RecBole's file of embeddings: the item's id and its numbers, with their shortest text that is read back."""

    path: str
    features: ExportedFeatures
    items: pl.Series

    def write(self, path: Path) -> None:
        """Write the file to `path`.

        Raises:
            UsageError: RecBole cannot read so many numbers per item.
        """
        matrix = np.empty((len(self.items), self.features.width), np.float32)
        self.features.array("", self.items).fill(matrix)
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = []
        for item, vector in zip(self.items, matrix, strict=True):
            text = " ".join(vector.astype(str))
            if len(text) > LONGEST_FIELD:
                raise UsageError(
                    f"export: the {len(vector):,} numbers of movie {item!r} take more than {LONGEST_FIELD:,} "
                    "characters, which RecBole cannot read; pass --features none, or export as mmrec or uir"
                )
            texts.append(text)
        table = pl.DataFrame({"iid:token": self.items, "item_emb:float_seq": texts})
        table.write_csv(path, separator="\t", quote_style="necessary")
