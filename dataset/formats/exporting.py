"""Exports a dataset or snapshot to files that other recommender libraries read (`dataset.formats.export_formats`).

Ratings and times are exported only if every interaction has one, because other libraries would fill gaps with
invented values. Without ratings, the rating in `uir` and `uirt` is 1. A time is in seconds since 1970; where only
the day is known, it is midnight UTC (`dataset.moments`), and where only the month is published, its first midnight.
If a snapshot has only the order of dates, RecBole's time is that.

`.exported.json` in the destination holds the SHA-256 of every file that an export has written there. An export
replaces these files, and no others.
"""

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from dataset.errors import MissingInputError, TooLittleDataError, UsageError
from dataset.feature_sets import TEXT, require_modality_name, require_set_name, table_of_modality, table_of_set
from dataset.files import atomic_path, explain_write_errors, sha256_of_file, write_json
from dataset.formats.export_features import ExportedFeatures, FeaturesOf
from dataset.formats.export_formats import ExportFormat, Writable, files_of
from dataset.moments import moment
from dataset.progress import stage
from dataset.schema import SnapshotFrame, SnapshotInteraction, SnapshotMovie
from dataset.tables import read_published

_log = logging.getLogger(__name__)

_RECORD = ".exported.json"
_FORMATS_WITHOUT_FRAMES = ("recbole", "mmrec")
_FORMATS_WITH_TIME = ("recbole", "uirt")


@dataclass(frozen=True)
class Exported:
    """The result of `export`.

    Attributes:
        path: the destination.
        files: the files written.
        values: which of `stars` and `rated_on` have no gaps.
        n_times: the number of times written.
        n_midnights: how many of these are midnight UTC of the day because the time of day is not known.
        n_filled: for each matrix of items (`image`, or the modality), how many items have no feature; their rows are
            the mean of the others.
    """

    path: Path
    files: list[Path]
    values: list[str]
    n_times: int
    n_midnights: int
    n_filled: dict[str, int]


@stage("Exporting")
def export(
    source: Path,
    destination: Path,
    file_format: ExportFormat,
    name: str = "dataset",
    leaking_columns: bool = False,
    features: FeaturesOf | Literal["none"] | None = None,
    feature_set: str | None = None,
    modality: str | None = None,
) -> Exported:
    """Write the interactions of a dataset folder or a snapshot in another library's format.

    Nothing is written if anything is refused.

    Args:
        source: the dataset folder or the folder of a version.
        destination: the folder to write.
        file_format: the format.
        name: the dataset's name in RecBole.
        leaking_columns: whether to write the columns of movies that reveal held-out rows (`recbole` only).
        features: whether to write features, of items (the mean of their frames) or of frames; None: for
            `mmrec` of items, unless there are none and a modality takes their place; for other formats none.
        feature_set: the feature set to write; None is the main set.
        modality: the modality of items to write as well; None: `text` for `mmrec` if there is one, else none.

    Raises:
        UsageError: `name` is not a valid file name, the format cannot hold an id, or a file at the destination was not
            written by an export.
        MissingInputError: `source` is neither a dataset folder nor a snapshot.
        InvalidTableError: a table is invalid.
        PipelineError: the destination cannot be written.
    """
    if not name or name.startswith(".") or set(name) & set("/\\") or not name.isprintable():
        raise UsageError(f"export: name {name!r} is not a valid file name; use letters, digits, - and _")
    if not (source / "interactions.parquet").is_file():
        raise MissingInputError(
            f"{source}: no interactions.parquet there, so it is neither a dataset folder nor a snapshot; "
            "create one with `python -m dataset build`, or name a version's folder"
        )
    interactions = read_published([source / "interactions.parquet"], SnapshotInteraction)
    movies = read_published([source / "movies.parquet"], SnapshotMovie)
    of_items = _modality(source, file_format, modality, movies)
    exported = _features(source, file_format, features, feature_set, is_needed=not of_items)
    files = files_of(file_format, interactions, movies, name, leaking_columns, exported + of_items)
    paths = [file.path for file in files]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UsageError(f"--modality {modality}: its file {twice} is also that of --features; export one of them")
    written = _write(files, destination)
    moments = interactions.select(moment()).to_series()
    has_times = file_format in _FORMATS_WITH_TIME and not moments.null_count()
    n_midnights = interactions["rated_at"].null_count() if has_times else 0
    values = [column for column, of in (("stars", interactions["stars"]), ("rated_on", moments)) if not of.null_count()]
    _log.info("exported %s as %s: %d files", source, file_format, len(written))
    n_filled = {one.name: one.n_without(movies["movie_id"]) for one in exported + of_items if one.of == "items"}
    return Exported(destination, written, values, len(moments) if has_times else 0, n_midnights, n_filled)


def _modality(
    source: Path, file_format: ExportFormat, modality: str | None, movies: pl.DataFrame
) -> list[ExportedFeatures]:
    """Return the features of items to export, if any.

    Raises:
        UsageError: the name is not valid.
        MissingInputError: there is no such modality.
    """
    if modality is None and file_format == "mmrec" and (source / f"{table_of_modality(TEXT)}.parquet").is_file():
        modality = TEXT
    if modality is None:
        return []
    require_modality_name(modality)
    found = ExportedFeatures(source / f"{table_of_modality(modality)}.parquet", "items", movies, modality)
    if not found.known.height:
        raise TooLittleDataError(f"{found.table}: has no feature of the dataset's movies; make the features again")
    return [found]


def _features(
    source: Path,
    file_format: ExportFormat,
    of: FeaturesOf | Literal["none"] | None,
    feature_set: str | None,
    is_needed: bool,
) -> list[ExportedFeatures]:
    """Return the features of frames to export, if any.

    Raises:
        UsageError: the format has no place for them.
        MissingInputError: there are none.
    """
    require_set_name(feature_set)
    table = source / f"{table_of_set(feature_set)}.parquet"
    of = of or ("items" if file_format == "mmrec" and (is_needed or feature_set or table.is_file()) else "none")
    if of == "none":
        if feature_set is not None:
            raise UsageError("--feature-set names features, and none are exported; add --features items or frames")
        return []
    if of == "frames" and file_format in _FORMATS_WITHOUT_FRAMES:
        raise UsageError(f"--features frames: {file_format} has features of items only; use --features items")
    frames = read_published([source / "frames.parquet"], SnapshotFrame)
    found = ExportedFeatures(table, of, frames)
    if not found.known.height:
        raise TooLittleDataError(f"{found.table}: has no feature of the dataset's frames; extract or import features")
    return [found]


def _write(files: list[Writable], destination: Path) -> list[Path]:
    """Write all files, each atomically, and record their digests; refuse if that would replace a file of the user's."""
    record = _read_record(destination)
    with explain_write_errors(destination):
        destination.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=destination) as scratch:
            for file in files:
                file.write(Path(scratch) / file.path)
            digests = {file.path: sha256_of_file(Path(scratch) / file.path) for file in files}
            foreign = [path for path in digests if _is_foreign(destination / path, {digests[path], record.get(path)})]
            if foreign:
                raise UsageError(
                    f"export: {destination / foreign[0]} exists and was not written by an export, or was changed since"
                    + (f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else "")
                    + "; move it away, or choose another --to"
                )
            for path in digests:
                with atomic_path(destination / path) as temporary:
                    (Path(scratch) / path).replace(temporary)
        write_json(destination / _RECORD, {"files": record | digests})
    return [destination / file.path for file in files]


def _is_foreign(path: Path, known: set[str | None]) -> bool:
    """Return whether there is something at `path` that has none of the known digests."""
    if path.is_file():
        return sha256_of_file(path) not in known
    return path.exists() or path.is_symlink()


def _read_record(destination: Path) -> dict[str, str]:
    """Return the digests of the files that exports have written to a folder, by path."""
    try:
        return dict(json.loads((destination / _RECORD).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
