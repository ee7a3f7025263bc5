"""The options of `python -m features text`, in one class. This module loads neither torch nor numpy."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from dataset.cli import COMMA_SEPARATED, SHOWN_JOINED
from features.vectors.config import StoredType

WORDLLAMA = "wordllama"
"""The encoder that a package brings with its weights."""


def _each_once(columns: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(columns)) < len(columns):
        raise ValueError("a column is named twice")
    return columns


Columns = Annotated[tuple[str, ...], Field(min_length=1), COMMA_SEPARATED, SHOWN_JOINED, AfterValidator(_each_once)]


@dataclass(frozen=True)
class TextConfig:
    """Which texts are encoded, with which encoder, and how the vectors are kept.

    Attributes:
        columns: the columns that make an item's text, separated by commas
        texts: a table of your own with such columns (CSV, TSV, Parquet, …; by default the dataset's movies)
        id_column: the column of item ids in --texts (by default item_id, movie_id or id)
        encoder: wordllama, or the folder of a sentence-transformers model
        dtype: how numbers are kept
    """

    columns: Columns = ("title", "genres", "directors")
    texts: Path | None = None
    id_column: str | None = None
    encoder: str = WORDLLAMA
    dtype: StoredType = "float32"
