"""The options of an import of vectors, in one class. This module loads neither torch nor numpy."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

StoredType = Literal["float16", "float32"]


@dataclass(frozen=True)
class VectorsConfig:
    """How vectors are read and kept.

    Attributes:
        ids: file of ids in the order of the vectors: an id per line, a .npy, or a table (with --id-column)
        id_column: the column of ids in a table (by default frame_id, item_id, movie_id or id)
        row_numbers: row i is the vector of the id i, from 0
        ids_are: what the ids name (by default what more of them are)
        feature_column: the column of lists in a Parquet or Arrow table (by default the only one)
        array: the name of the matrix in an .npz or safetensors file (by default the only one)
        width: numbers per vector in Amazon's .b (by default 4096)
        dtype: how numbers are kept; float16 takes half the space, and the command says what it loses
        extractor: what made the vectors, such as clip-vit-b32, for the dataset card (by default the file's name)
    """

    ids: Path | None = None
    id_column: str | None = None
    row_numbers: bool = False
    ids_are: Literal["auto", "frames", "items"] = "auto"
    feature_column: str | None = None
    array: str | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    dtype: StoredType = "float16"
    extractor: str | None = None
