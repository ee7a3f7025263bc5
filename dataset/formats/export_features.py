"""Exports features: a matrix of float32, one row per item or frame, in the order of the exported ids.

| file | rows |
|---|---|
| `image_feat.npy`, `image_feat_ids.txt` | of items: each row is the mean of the item's frames; one id per line |
| `text_feat.npy`, `text_feat_ids.txt` | of items: the features of the modality `text`, or of another of this name |
| `frame_feat.npy`, `frame_feat_ids.tsv` | of frames, sorted by id; the frame's and the item's id |
| `<name>.itememb`, `<name>.textemb` | RecBole's: the item's id and its numbers as text |

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
from dataset.feature_sets import is_item_table
from dataset.formats.writable_ids import LONGEST_FIELD
from dataset.tables import read_parquet

FeaturesOf = Literal["items", "frames"]
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ExportedFeatures:
    """The features of a dataset folder or snapshot.

    Attributes:
        table: the file of the feature table, of frames or of a modality.
        of: whether each row of a matrix is an item's or a frame's.
        all_rows: the `SnapshotFrame` rows, or for a modality the `SnapshotMovie` rows.
        name: what the files are called: `image`, or the modality.
    """

    table: Path
    of: FeaturesOf
    all_rows: pl.DataFrame
    name: str = "image"

    @property
    def key(self) -> str:
        """The column of the feature table with the id: `frame_id`, or `movie_id` for a modality."""
        return "movie_id" if is_item_table(self.table.stem) else "frame_id"

    @cached_property
    def known(self) -> pl.DataFrame:
        """The key and `movie_id` of each frame or item that has a feature, sorted by the key.

        Raises:
            MissingInputError: there are no features.
        """
        if not self.table.is_file():
            remedy = (
                "run `python -m features text` or `import --modality`, or leave --modality out"
                if self.key == "movie_id"
                else "run `python -m features extract` or `import`, or pass --features none"
            )
            raise MissingInputError(f"{self.table}: no such features; {remedy}")
        known = read_parquet(self.table, [self.key])
        return (
            self.all_rows.select(list(dict.fromkeys((self.key, "movie_id"))))
            .join(known, on=self.key, how="semi")
            .sort(self.key)
        )

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
        return len(items) - int(items.is_in(self.known["movie_id"].implode()).sum())

    def array(self, path: str, order: pl.Series) -> "ArrayFile":
        """Return the file of a matrix whose row i is of `order[i]`: items or frames."""
        of_rows = "movie_id" if self.of == "items" else "frame_id"
        ids = pl.DataFrame({of_rows: order}).with_row_index("place")
        return ArrayFile(path, self, self.known.join(ids, on=of_rows).select(self.key, "place"), len(order))

    def files(self, items: pl.Series) -> list["ArrayFile | IdsFile"]:
        """Return the matrix and the list of its ids.

        Args:
            items: all item ids, in the order of the rows.
        """
        if self.of == "items":
            ids_file = IdsFile(f"{self.name}_feat_ids.txt", items.to_frame(), False)
            return [self.array(f"{self.name}_feat.npy", items), ids_file]
        ids = self.known.rename({"movie_id": "item_id"})
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
        places: the key of the feature table, and the row that it belongs to.
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
        """Write the mean of each row's features into a matrix; a row without features gets the mean of the others."""
        key = self.features.key
        counts = np.zeros(self.n_rows, np.int64)
        with pq.ParquetFile(self.features.table, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[key, "feature"]):
                rows = pl.DataFrame(pl.from_arrow(batch)).join(self.places, on=key).sort("place", key)
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
    """RecBole's file of embeddings: per line an item's id and its numbers, each as the shortest text that reads back.

    Attributes:
        path: its path below the destination.
        features: where the vectors are.
        items: the items, in the order of the lines.
        columns: the names of its two columns.
    """

    path: str
    features: ExportedFeatures
    items: pl.Series
    columns: tuple[str, str]

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
                    "characters, which RecBole cannot read; export no features, or as mmrec or uir"
                )
            texts.append(text)
        ids, vectors = self.columns
        table = pl.DataFrame({f"{ids}:token": self.items, f"{vectors}:float_seq": texts})
        table.write_csv(path, separator="\t", quote_style="necessary")
