"""Imports feature vectors that exist already as a dataset's feature set, or as the features of its items.

Each vector names a frame or an item. An item's vector is the feature of its only frame; an item that has none, or
several, gets a frame of its own for it, whose id is `item:` and the item's id. Vectors of a modality, such as text,
stay with the items. Rows that cannot be used go to the quarantine with the reason: rows in the file = features + rows
in the quarantine.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from dataset.building.dataset_folder import Addition, add_feature_set, add_item_features, frames_sha256, movies_sha256
from dataset.building.statistics import frame_statistics
from dataset.description import read_description
from dataset.errors import InvalidTableError, UsageError
from dataset.feature_sets import (
    files_of_table,
    require_modality_name,
    require_set_name,
    table_of_modality,
    table_of_set,
)
from dataset.files import sha256_of_file
from dataset.progress import stage
from dataset.schema import SnapshotFrame, SnapshotMovie
from dataset.tables import fill_columns, read_table, write_table
from features.matching import Named, match
from features.stored import Loss, store
from features.vectors.config import StoredType, VectorsConfig
from features.vectors.folder import one_line, sha256_of_folder
from features.vectors.opening import open_vectors
from features.vectors.rows import Vectors

_log = logging.getLogger(__name__)

ITEM_FRAME = "item:"
"""What the id of a frame starts with that stands for an item's imported vector, not for a picture."""


@dataclass(frozen=True)
class ImportIdentity:
    """Where imported features come from; part of the manifest of every snapshot with them.

    Attributes:
        imported: what made the vectors, in the user's words.
        file: the name of the file or folder.
        file_sha256: its SHA-256 (of a folder: see `sha256_of_folder`).
        width: numbers per vector.
        dtype: how they are kept.
        dtype_in_file: how the file has them.
        vectors_of: what the ids name.
    """

    imported: str
    file: str
    file_sha256: str
    width: int
    dtype: StoredType
    dtype_in_file: str
    vectors_of: Named


@dataclass(frozen=True)
class ImportedFeatures:
    """The result of an import.

    Attributes:
        table: the feature table.
        quarantine: the rows that could not be used.
        identity: where the features come from.
        n_rows: the vectors in the file: `n_features` and those in the quarantine.
        n_features: the features written.
        n_new_frames: the frames that were added for items.
        n_without: the frames (or items) of the dataset that have no feature.
        reasons: for each reason of the quarantine, the number of rows.
        loss: what rounding has changed.
    """

    table: Path
    quarantine: Path
    identity: ImportIdentity
    n_rows: int
    n_features: int
    n_new_frames: int
    n_without: int
    reasons: dict[str, int]
    loss: Loss


@stage("Importing vectors")
def import_features(
    source: Path, dataset: Path, config: VectorsConfig, name: str | None = None, modality: str | None = None
) -> ImportedFeatures:
    """Write the vectors of a file or folder as a feature set of a dataset, or as features of its items.

    Args:
        source: the file or folder.
        dataset: the dataset folder; it is replaced as a whole.
        config: how to read and keep the vectors.
        name: the name of the feature set; None is the main set.
        modality: the name of the modality; None: the vectors are features of frames.

    Raises:
        UsageError: an option is impossible, or the dataset folder holds other files.
        MissingInputError: a file is missing.
        InvalidTableError: a file cannot be read, or its numbers do not fit into the type that was chosen.
        TooLittleDataError: no vector is usable.
    """
    table = _table(name, modality, config)
    expected = frames_sha256(dataset) if modality is None else movies_sha256(dataset)
    frames = read_table(dataset / "frames.parquet", SnapshotFrame)
    before = _state(source)
    with ExitStack() as files:
        vectors, ids = open_vectors(source, config, dataset.resolve().parent, files)
        named = _named(dataset, frames, config.ids_are if modality is None else "items")
        matched = match(ids, vectors.problems, named, str(source), "check --ids and --id-column")
        known = matched.known.rename({"known": "movie_id"})
        if modality is None:
            known = _frames_of(matched.known, matched.of, frames)
        digest = files.enter_context(ThreadPoolExecutor(1)).submit(_sha256, source)

        def write(folder: Path) -> tuple[ImportedFeatures, Addition]:
            stored = store(vectors.rows, known, matched.lost, table, config.dtype, str(source), folder)
            if _state(source) != before:
                raise InvalidTableError(f"{source}: was changed while it was read; run the same command again")
            identity = _identity(source, config, vectors, matched.of, digest.result())
            added = frames.clear() if modality is not None else _new_frames(known, stored.ids, frames)
            statistics = _add_frames(folder, frames, added, dataset) if added.height else {}
            counts = vectors.rows.n_rows, len(stored.ids), added.height, matched.n_named - len(stored.ids)
            file, quarantine = (dataset / name for name in files_of_table(table))
            done = ImportedFeatures(file, quarantine, identity, *counts, stored.reasons, stored.loss)
            return done, Addition(asdict(identity), statistics)

        if modality is None:
            done = add_feature_set(dataset, name, expected, write)
        else:
            done = add_item_features(dataset, modality, expected, write)
    _log.info("imported %s: %d features, %d rows unused", source, done.n_features, done.n_rows - done.n_features)
    return done


def _table(name: str | None, modality: str | None, config: VectorsConfig) -> str:
    """Return the table to write.

    Raises:
        UsageError: a name is not valid, or the options do not fit together.
    """
    if modality is None:
        require_set_name(name)
        return table_of_set(name)
    require_modality_name(modality)
    if name is not None:
        raise UsageError("--name and --modality: a feature set is of frames, a modality of items; give one of them")
    if config.ids_are == "frames":
        raise UsageError("--modality: its vectors are of items; use --ids-are items, or leave --modality out")
    return table_of_modality(modality)


def _named(dataset: Path, frames: pl.DataFrame, ids_are: Named | Literal["auto"]) -> dict[Named, pl.Series]:
    """Return the dataset's ids that the vectors may be of."""
    movies = read_table(dataset / "movies.parquet", SnapshotMovie)
    named: dict[Named, pl.Series] = {"frames": frames["frame_id"], "items": movies["movie_id"]}
    return named if ids_are == "auto" else {ids_are: named[ids_are]}


def _add_frames(folder: Path, frames: pl.DataFrame, added: pl.DataFrame, dataset: Path) -> dict[str, Any]:
    """Write the frames and those that are added; return the statistics that this changes."""
    every = pl.concat([frames, added])
    write_table(every, SnapshotFrame, folder / "frames.parquet")
    return frame_statistics(every, read_description(dataset)["statistics"]["n_movies"])


def _frames_of(usable: pl.DataFrame, of: Named, frames: pl.DataFrame) -> pl.DataFrame:
    """Return `row`, `id`, `frame_id` and `movie_id`; an item without a frame of its own gets the id of a new one.

    Raises:
        InvalidTableError: the id of a new frame is that of another item's frame.
    """
    if of == "frames":
        return usable.rename({"known": "frame_id"}).join(
            frames.select("frame_id", "movie_id"), on="frame_id", maintain_order="left"
        )
    only = frames.group_by("movie_id").agg(pl.col("frame_id").first(), n=pl.len()).filter(n=1).drop("n")
    own = pl.lit(ITEM_FRAME) + pl.col("movie_id")
    found = (
        usable.rename({"known": "movie_id"})
        .join(only, on="movie_id", how="left", maintain_order="left")
        .with_columns(frame_id=pl.coalesce("frame_id", own))
    )
    of_others = found.join(frames.select("frame_id", owner="movie_id"), on="frame_id").filter(
        pl.col("owner") != pl.col("movie_id")
    )
    if of_others.height:
        raise InvalidTableError(
            f"frames: {of_others.height:,} frames of other items have the ids that imported vectors need, for example "
            f"{of_others['frame_id'][0]!r}; rename the items in the ratings file"
        )
    return found.select("row", "id", "frame_id", "movie_id")


def _new_frames(known: pl.DataFrame, written: pl.Series, frames: pl.DataFrame) -> pl.DataFrame:
    """Return `SnapshotFrame` rows for the frames with a feature that the dataset does not have yet."""
    new = known.select("frame_id", "movie_id").unique().filter(pl.col("frame_id").is_in(written.implode()))
    new = new.join(frames, on="frame_id", how="anti")
    no_likes_collected = frames["train_like_count"].null_count() == frames.height
    likes = None if no_likes_collected else 0
    return fill_columns(new.with_columns(kind=pl.lit("still"), train_like_count=pl.lit(likes)), SnapshotFrame)


def _identity(source: Path, config: VectorsConfig, vectors: Vectors, of: Named, digest: str) -> ImportIdentity:
    name, rows = one_line(source.resolve().name), vectors.rows
    return ImportIdentity(
        one_line(config.extractor or name), name, digest, rows.width, config.dtype, rows.number, vectors_of=of
    )


def _sha256(source: Path) -> str:
    return sha256_of_folder(source) if source.is_dir() else sha256_of_file(source)


def _state(source: Path) -> Any:
    """Return what changes when a file changes; of a folder, its own state."""
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
