"""Imports feature vectors that exist already as a dataset's feature set.

Each vector names a frame or an item. An item's vector is the feature of its only frame; an item that has none, or
several, gets a frame of its own for it, whose id is `item:` and the item's id. Rows that cannot be used go to the
quarantine with the reason: rows in the file = features + rows in the quarantine.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from dataset.building.statistics import frame_statistics
from dataset.description import read_description
from dataset.errors import InvalidTableError, TooLittleDataError
from dataset.feature_sets import files_of_set, require_set_name
from dataset.files import atomic_path, sha256_of_file
from dataset.formats.picture_files import composed
from dataset.schema import Quarantine, SnapshotFrame, SnapshotMovie
from dataset.tables import fill_columns, quarantine_rows, read_table, write_table
from features.dataset_folder import Addition, add_feature_set, frames_sha256
from features.stored import Loss, StoredFeatures
from features.vectors.config import StoredType, VectorsConfig
from features.vectors.folder import sha256_of_folder
from features.vectors.opening import open_vectors
from features.vectors.rows import Vectors

_log = logging.getLogger(__name__)

ITEM_FRAME = "item:"
"""What the id of a frame starts with that stands for an item's imported vector, not for a picture."""

_UNKNOWN, _NO_ID = "id is not in the dataset", "no id"
Named = Literal["frames", "items"]


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


@dataclass(frozen=True)
class _Matched:
    """What the ids name.

    Attributes:
        of: frames or items.
        known: `row`, `id` (as in the file), `frame_id` and `movie_id` of the rows whose ids the dataset has.
        lost: `row`, `id`, `reason`, `detail` of the others.
        n_named: the frames or items of the dataset.
    """

    of: Named
    known: pl.DataFrame
    lost: pl.DataFrame
    n_named: int


def import_features(source: Path, dataset: Path, config: VectorsConfig, name: str | None = None) -> ImportedFeatures:
    """Write the vectors of a file or folder as a feature set of a dataset.

    Args:
        source: the file or folder.
        dataset: the dataset folder; it is replaced as a whole.
        config: how to read and keep the vectors.
        name: the name of the feature set; None is the main set.

    Raises:
        UsageError: an option is impossible, or the dataset folder holds other files.
        MissingInputError: a file is missing.
        InvalidTableError: a file cannot be read, or its numbers do not fit into the type that was chosen.
        TooLittleDataError: no vector is usable.
    """
    require_set_name(name)
    expected = frames_sha256(dataset)
    frames = read_table(dataset / "frames.parquet", SnapshotFrame)
    movies = read_table(dataset / "movies.parquet", SnapshotMovie)
    before = _state(source)
    with ExitStack() as files:
        vectors, ids = open_vectors(source, config, dataset.resolve().parent, files)
        matched = _match(ids, vectors, frames, movies, config, source)
        digest = files.enter_context(ThreadPoolExecutor(1)).submit(_sha256, source)

        def write(folder: Path) -> tuple[ImportedFeatures, Addition]:
            table_file, quarantine_file = files_of_set(name)
            stored = StoredFeatures(vectors.rows, config.dtype, str(source))
            with atomic_path(folder / table_file) as temporary:
                written = stored.write(matched.known, temporary, dataset / table_file)
            if not len(written):
                raise TooLittleDataError(f"{source}: none of {vectors.rows.n_rows:,} vectors is finite; check the file")
            if _state(source) != before:
                raise InvalidTableError(f"{source}: was changed while it was read; run the same command again")
            lost = pl.concat([matched.lost, stored.unused])
            _write_quarantine(lost, matched.of, folder / quarantine_file)
            identity = _identity(source, config, vectors, matched.of, digest.result())
            statistics = {}
            added = _new_frames(matched.known, written, frames)
            if added.height:
                every = pl.concat([frames, added])
                write_table(every, SnapshotFrame, folder / "frames.parquet")
                n_movies = read_description(dataset)["statistics"]["n_movies"]
                statistics = frame_statistics(every, n_movies)
            reasons = dict(lost.group_by("reason").len().sort("reason").iter_rows())
            paths = dataset / table_file, dataset / quarantine_file
            counts = vectors.rows.n_rows, len(written), added.height, matched.n_named - len(written)
            done = ImportedFeatures(*paths, identity, *counts, reasons, stored.loss)
            return done, Addition(asdict(identity), statistics)

        done = add_feature_set(dataset, name, expected, write)
    _log.info("imported %s: %d features, %d rows unused", source, done.n_features, done.n_rows - done.n_features)
    return done


def _match(
    ids: pl.Series, vectors: Vectors, frames: pl.DataFrame, movies: pl.DataFrame, config: VectorsConfig, source: Path
) -> _Matched:
    """Find the frame or item of each row.

    Raises:
        TooLittleDataError: no id is one of the dataset, or none of these has a vector.
    """
    rows = pl.DataFrame({"row": pl.Series(range(len(ids)), dtype=pl.Int64), "id": ids})
    candidates: dict[Named, pl.Series] = {"frames": frames["frame_id"], "items": movies["movie_id"]}
    chosen: list[Named] = ["frames", "items"] if config.ids_are == "auto" else [config.ids_are]
    found = {of: _find(rows, candidates[of]) for of in chosen}
    of = max(chosen, key=lambda one: found[one]["known"].drop_nulls().n_unique())
    known = found[of]
    if known["known"].null_count() == known.height:
        theirs = ids.drop_nulls()
        example = f", for example {theirs[0][:40]!r}" if len(theirs) else ""
        ours = next((candidates[one][0] for one in chosen if len(candidates[one])), None)
        raise TooLittleDataError(
            f"{source}: none of its {len(ids):,} ids{example} is one of {' or '.join(chosen)} of the dataset"
            + (f", whose ids look like {ours!r}" if ours is not None else "")
            + "; check --ids and --id-column"
        )
    problems = vectors.problems.join(rows, on="row", how="left").select("row", "id", "reason", "detail")
    good = known.filter(~pl.col("row").is_in(problems["row"].implode()))
    why = pl.when(pl.col("id").is_null()).then(pl.lit(_NO_ID)).otherwise(pl.lit(_UNKNOWN))
    unknown = good.filter(pl.col("known").is_null()).select(
        "row", "id", reason=why, detail=pl.lit(None, dtype=pl.String)
    )
    usable = good.filter(pl.col("known").is_not_null())
    if usable.is_empty():
        row, _, reason, detail = problems.row(0)
        raise TooLittleDataError(
            f"{source}: none of its {len(ids):,} rows has both an id of the dataset and a usable vector; for example "
            f"row {row}: {reason}{f' ({detail})' if detail else ''}"
        )
    return _Matched(of, _frames_of(usable, of, frames), pl.concat([problems, unknown]), len(candidates[of]))


def _find(rows: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Return `rows` with the dataset's id of each as `known`: the same, or the same but for spaces and composition."""
    loose = pl.DataFrame(
        {"known": known, "loose": [composed(one.strip()) for one in known]}, schema_overrides={"loose": pl.String}
    )
    loose = loose.filter(~pl.col("loose").is_duplicated())
    texts = [None if one is None else composed(one.strip()) for one in rows["id"]]
    exact = rows.with_columns(loose=pl.Series(texts, dtype=pl.String)).join(
        pl.DataFrame({"id": known, "exact": known}), on="id", how="left", maintain_order="left"
    )
    return exact.join(loose, on="loose", how="left", maintain_order="left").select(
        "row", "id", known=pl.coalesce("exact", "known")
    )


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


def _write_quarantine(lost: pl.DataFrame, of: Named, path: Path) -> None:
    key = "frame_id" if of == "frames" else "movie_id"
    number = pl.format("row {}", pl.col("row"))
    detail = pl.when(pl.col("detail").is_null()).then(number).otherwise(pl.format("{}: {}", number, pl.col("detail")))
    rows = lost.sort("row").select("reason", pl.col("id").alias(key), detail=detail)
    write_table(quarantine_rows(rows, "features"), Quarantine, path)


def _identity(source: Path, config: VectorsConfig, vectors: Vectors, of: Named, digest: str) -> ImportIdentity:
    name, rows = _line(source.resolve().name), vectors.rows
    return ImportIdentity(
        _line(config.extractor or name), name, digest, rows.width, config.dtype, rows.number, vectors_of=of
    )


def _line(text: str) -> str:
    """Return a text on one line, as UTF-8 can hold it."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _sha256(source: Path) -> str:
    return sha256_of_folder(source) if source.is_dir() else sha256_of_file(source)


def _state(source: Path) -> Any:
    """Return what changes when a file changes; of a folder, its own state."""
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
