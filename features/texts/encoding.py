"""Encodes the texts of a dataset's items and writes the vectors as the features of a modality.

Equal texts are encoded once, so they have equal vectors. Rows without a text, and those of items that the dataset does
not have, go to the quarantine with the reason: rows of texts = features + rows in the quarantine.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from dataset.building.dataset_folder import Addition, add_item_features, movies_sha256
from dataset.errors import WeightsError
from dataset.feature_sets import TEXT, files_of_table, require_modality_name, table_of_modality
from dataset.files import sha256_of_file
from dataset.schema import SnapshotMovie
from dataset.tables import read_table
from features.matching import match
from features.stored import Loss, store
from features.texts.columns import Texts, template, texts_of_file, texts_of_movies
from features.texts.config import TextConfig
from features.texts.encoders import Encoder, open_encoder
from features.vectors.config import StoredType
from features.vectors.folder import one_line
from features.vectors.rows import Floats, Rows, check_width, spooled

_log = logging.getLogger(__name__)
_TEXTS_AT_ONCE = 1024
_NO_TEXT = "no text"


@dataclass(frozen=True)
class EncoderIdentity:
    """What made the features of texts; part of the manifest of every snapshot with them.

    Attributes:
        encoder: the library.
        package_version: its version.
        model: the name of the model.
        model_sha256: the SHA-256 of its file (wordllama: of its weights) or folder (see `sha256_of_folder`).
        columns: the columns of the text.
        template: how the text is put together from them.
        texts: where the columns are from: `movies`, or the name of a file.
        texts_sha256: the file's SHA-256; None for movies, which the snapshot holds.
        width: numbers per vector.
        dtype: how they are kept.
    """

    encoder: str
    package_version: str
    model: str
    model_sha256: str
    columns: list[str]
    template: str
    texts: str
    texts_sha256: str | None
    width: int
    dtype: StoredType


@dataclass(frozen=True)
class EncodedTexts:
    """The result of `encode_texts`.

    Attributes:
        table: the table of features.
        quarantine: the rows that were not used.
        identity: what made the features.
        n_features: the items that have a feature.
        n_items: the items of the dataset.
        n_ids_as_titles: the items whose title is only their id, which is no text.
        n_cut: the texts that are longer than the encoder reads.
        reasons: for each reason of the quarantine, the number of rows.
        loss: what rounding has changed.
    """

    table: Path
    quarantine: Path
    identity: EncoderIdentity
    n_features: int
    n_items: int
    n_ids_as_titles: int
    n_cut: int
    reasons: dict[str, int]
    loss: Loss


def encode_texts(
    dataset: Path, config: TextConfig, modality: str = TEXT, advance: Callable[[int, int], None] = lambda _n, _of: None
) -> EncodedTexts:
    """Write the vectors of the texts of a dataset's items as the features of a modality.

    Args:
        dataset: the dataset folder; it is replaced as a whole.
        config: which texts, which encoder.
        modality: the name of the modality.
        advance: called with the number of texts that were encoded, and of those to encode.

    Raises:
        UsageError: an option is impossible, or the dataset folder holds other files.
        MissingExtraError: the encoder's library is not installed.
        MissingInputError: a file or the encoder is missing.
        InvalidTableError: a table cannot be read.
        TooLittleDataError: no item has a text.
        WeightsError: the encoder cannot be loaded, or gives numbers that are not finite.
    """
    require_modality_name(modality)
    expected, path = movies_sha256(dataset), dataset / "movies.parquet"
    texts = (
        texts_of_movies(path, config.columns)
        if config.texts is None
        else texts_of_file(config.texts, config.columns, config.id_column)
    )
    where = str(config.texts or path)
    movies = read_table(path, SnapshotMovie)["movie_id"]
    matched = match(texts.ids, _without_text(texts), {"items": movies}, where, "check --texts and --id-column")
    used = texts.texts.gather(matched.known["row"])
    known = matched.known.rename({"known": "movie_id"}).with_columns(text_sha256=used.map_elements(_sha256, pl.String))
    encoder, distinct = open_encoder(config.encoder), used.unique(maintain_order=True)

    with tempfile.TemporaryFile(dir=dataset.resolve().parent) as scratch:
        encoded = _encoded(distinct.to_list(), encoder, cast(BinaryIO, scratch), advance)
        place = dict(zip(distinct, range(len(distinct)), strict=True))
        places = np.array([-1 if text is None else place.get(text, -1) for text in texts.texts])
        identity = EncoderIdentity(
            encoder.package, encoder.package_version, encoder.model, encoder.model_sha256, list(config.columns),
            template(config.columns), "movies" if config.texts is None else one_line(config.texts.name),
            None if config.texts is None else sha256_of_file(config.texts), encoded.width, config.dtype,
        )  # fmt: skip

        def write(folder: Path) -> tuple[EncodedTexts, Addition]:
            table = table_of_modality(modality)
            stored = store(_Placed(encoded, places), known, matched.lost, table, config.dtype, where, folder)
            file, quarantine = (dataset / name for name in files_of_table(table))
            n_cut = encoder.n_cut(distinct.to_list())
            counts = len(stored.ids), matched.n_named, texts.n_ids_as_titles, n_cut
            done = EncodedTexts(file, quarantine, identity, *counts, stored.reasons, stored.loss)
            return done, Addition(asdict(identity))

        done = add_item_features(dataset, modality, expected, write)
    _log.info("encoded the texts of %d of %d items", done.n_features, done.n_items)
    return done


@dataclass(frozen=True)
class _Placed:
    """The vector of each row's text; implements `Rows`. Rows whose place is -1 have none and are not read."""

    distinct: Rows
    places: npt.NDArray[np.int64]

    @property
    def n_rows(self) -> int:
        return len(self.places)

    @property
    def width(self) -> int:
        return self.distinct.width

    @property
    def number(self) -> str:
        return self.distinct.number

    def read(self, rows: npt.NDArray[np.int64]) -> Floats:
        return self.distinct.read(self.places[rows])


def _without_text(texts: Texts) -> pl.DataFrame:
    rows = texts.texts.is_null().arg_true().cast(pl.Int64)
    return pl.DataFrame({"row": rows}).with_columns(reason=pl.lit(_NO_TEXT), detail=pl.lit(None, dtype=pl.String))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _encoded(texts: list[str], encoder: Encoder, scratch: BinaryIO, advance: Callable[[int, int], None]) -> Rows:
    """Return the vectors of texts, through a scratch file."""
    blocks = _blocks(texts, encoder, advance)
    first = next(blocks)
    check_width(first.shape[1], encoder.model)
    return spooled(chain([first], blocks), scratch, first.shape[1], encoder.model)


def _blocks(texts: list[str], encoder: Encoder, advance: Callable[[int, int], None]) -> Iterator[Floats]:
    """Yield the vectors of the next texts.

    Raises:
        WeightsError: a number is not finite.
    """
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        block = texts[start : start + _TEXTS_AT_ONCE]
        vectors = encoder.encode(block)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            example = block[int(finite.argmin())][:60]
            raise WeightsError(f"{encoder.model}: its vector of {example!r} is not finite; use another --encoder")
        advance(len(block), len(texts))
        yield vectors
