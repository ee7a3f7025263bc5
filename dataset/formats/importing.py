"""Imports your own data: turns a ratings file, and optionally pictures, videos and an items file, into raw tables.

User and item ids are kept as text. Options decide what is done with spaces around them and with numbers like 1.0, and
the result says what was done. Pictures are `<item>.jpg` or `<item>/<any>.jpg`; each becomes a frame of its item. Videos
are `<item>.mp4` or `<item>/<any>.mp4`; each gives several frames. Unusable rows and files go to `quarantine.parquet`
with the reason. Pictures may lie in tar, zip, Parquet or Arrow files (`dataset.shards`), which stay where they are;
`shards.json` names them. `provenance.json` holds the files' SHA-256, how they were read and the options.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dataset.errors import PipelineError
from dataset.files import sha256_of_file, write_json
from dataset.formats.frame_likes import FrameLikes, read_frame_likes
from dataset.formats.items import ItemsFile, ReadItems, read_items
from dataset.formats.pictures import ImportedPictures, import_pictures, no_pictures
from dataset.formats.ratings import RatingsFormat
from dataset.formats.split_files import GivenSplit, read_given
from dataset.formats.videos import ImportedVideos, Videos, import_videos, require_videos
from dataset.placeholders.fingerprints import write_fingerprints
from dataset.placeholders.raw_folder import placeholders_of_raw
from dataset.progress import stage
from dataset.schema import OPTIONAL_RAW_TABLES, RAW_TABLES, Movie, Quarantine
from dataset.shards.references import write_shards
from dataset.shards.shard import PictureColumns
from dataset.tables import empty, fill_columns, write_table
from dataset.version import code_version

_log = logging.getLogger(__name__)

_PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Imported:
    """The result of `import_ratings`: the raw folder, counts, and what the user should know.

    Attributes:
        n_rows: the rows of the ratings file: `n_ratings` and those that are in the quarantine.
        n_dropped_rows: its rows that are in the quarantine.
        pictures: the pictures, without those from videos, and counts; None without `--pictures`.
        videos: the frames from videos, and counts; they are not in `n_pictures`.
        n_quarantined: all rows of the quarantine, also those of pictures and videos.
        reasons: for each reason of a dropped row of the ratings file, the number of rows.
        facts: how the ratings file was read.
        notes: what the user should know, in sentences.
    """

    path: Path
    n_ratings: int
    n_users: int
    n_items: int
    n_titles: int
    n_pictures: int
    n_items_with_pictures: int
    pictures: ImportedPictures | None
    videos: ImportedVideos
    n_quarantined: int
    n_rows: int
    n_dropped_rows: int
    has_items_file: bool
    reasons: dict[str, int]
    facts: dict[str, str]
    notes: tuple[str, ...]


@stage("Importing")
def import_ratings(
    ratings: Path,
    file_format: RatingsFormat,
    pictures: Path | None,
    destination: Path,
    items_file: ItemsFile | None = None,
    replace: bool = False,
    split: GivenSplit = GivenSplit(),  # noqa: B008 - frozen
    videos: Videos = Videos(),  # noqa: B008 - frozen
    origin: Mapping[str, Any] | None = None,
    likes: FrameLikes = FrameLikes(),  # noqa: B008 - frozen
    pictures_in: PictureColumns = PictureColumns(),  # noqa: B008 - frozen
) -> Imported:
    """Write a raw folder (see `dataset.building.build`) from a ratings file, pictures, videos and an items file.

    Args:
        ratings: the ratings file.
        file_format: its columns and how to read it.
        pictures: where the pictures are, if there are any: a folder, a tar, zip, Parquet or Arrow file, or a name with
            braces or `*` that stands for several.
        destination: the raw folder.
        items_file: the items file, if there is one.
        replace: whether to replace the tables that another import or a crawl has written to `destination`.
        split: the other files of a published split, if there are any.
        videos: the folder of videos, if there is one. If it is also the folder of pictures, a file's name decides
            whether it is read as a video or as a picture.
        pictures_in: what in a shard says whose a picture is.
        origin: more for `provenance.json`, such as the name of the published data set.
        likes: the file of who likes which picture, if there is one.

    Raises:
        MissingInputError: a file or a folder is missing.
        MissingExtraError: the library that reads videos is missing.
        UsageError: an option's value is impossible.
        InvalidTableError: a file cannot be read, or a column is missing or invalid.
        TooLittleDataError: no row, no picture or no video is usable.
        PipelineError: `destination` holds tables of another source, and `replace` is false.
    """
    require_videos(videos)
    digest = sha256_of_file(ratings) if ratings.is_file() else ""
    if not replace:
        _require_own(destination, ratings.name, digest)
    known = read_items(items_file, file_format.id_rules) if items_file else None
    read = read_given(ratings, file_format, split)
    items = read.rows["movie_id"].unique().sort()
    has_both = pictures is not None and videos.videos is not None and pictures.resolve() == videos.videos.resolve()
    found = no_pictures()
    if pictures is not None:
        column = file_format.item_column
        found = import_pictures(pictures, set(items), destination, has_both, pictures_in, column)
    filmed = import_videos(videos, set(items), destination, set(found.frames["frame_id"]), has_both)
    frames, images = pl.concat([found.frames, filmed.frames]), pl.concat([found.images, filmed.images])
    tables = {name: empty(schema) for name, schema in RAW_TABLES.items()}
    movies = _movies(items, None if known is None else known.rows)
    liked = read_frame_likes(likes, file_format, frames)
    tables |= {"movies": movies, "ratings": read.rows, "frames": frames, "images": images, "frame_likes": liked.rows}
    for name, schema in RAW_TABLES.items():
        write_table(tables[name], schema, destination / f"{name}.parquet")
    for name in OPTIONAL_RAW_TABLES:  # of what was there before
        (destination / f"{name}.parquet").unlink(missing_ok=True)
    write_shards(destination, found.shards)
    if pictures is None or filmed.images.height:
        write_fingerprints(destination, images)
    quarantine = pl.concat([read.quarantine, found.quarantine, filmed.quarantine, liked.quarantine])
    write_table(quarantine, Quarantine, destination / "quarantine.parquet")
    n_rows, n_dropped = read.rows.height + read.quarantine.height, read.quarantine.height
    write_json(
        destination / _PROVENANCE,
        {
            "source": "import",
            "file": ratings.name,
            "file_sha256": digest,
            "file_rows": {"given": n_rows, "imported": read.rows.height, "quarantined": n_dropped},
            "read_as": read.facts,
            "options": _given(file_format),
            "items_file": items_file.path.name if items_file else None,
            **_provenance_of_items(items_file, known),
            **_provenance_of_split(ratings, file_format, split),
            "has_pictures": pictures is not None,
            **_provenance_of_shards(found, pictures_in),
            **filmed.provenance(videos),
            **_provenance_of_likes(likes),
            **(origin or {}),
            "code_version": code_version(),
        },
    )
    _log.info(
        "imported %s: %d ratings, %d pictures, %d dropped",
        ratings,
        read.rows.height,
        images.height,
        quarantine.height,
    )
    n_titles = 0 if known is None else int(items.is_in(known.rows["movie_id"].implode()).sum())
    return Imported(
        path=destination,
        n_ratings=read.rows.height,
        n_users=read.rows["user_id"].n_unique(),
        n_items=len(items),
        n_titles=n_titles,
        n_pictures=found.images.height,
        n_items_with_pictures=frames["movie_id"].n_unique(),
        pictures=None if pictures is None else found,
        videos=filmed,
        n_quarantined=quarantine.height,
        n_rows=n_rows,
        n_dropped_rows=n_dropped,
        has_items_file=items_file is not None,
        reasons=dict(read.quarantine.group_by("reason").len().sort("reason").iter_rows()),
        facts=read.facts,
        notes=(*read.notes, *(known.notes if known else ()), *liked.notes, *placeholders_of_raw(destination)),
    )


def _require_own(destination: Path, name: str, digest: str) -> None:
    """Check that a folder holds no tables, or those of an import of the same file.

    Raises:
        PipelineError: it holds others.
    """
    written = [path for path in (destination / f"{table}.parquet" for table in RAW_TABLES) if path.exists()]
    if not written and not (destination / _PROVENANCE).exists():
        return
    try:
        before = json.loads((destination / _PROVENANCE).read_text(encoding="utf-8"))
        source = before["source"] if before["source"] != "import" else f"the file {before['file']}"
        is_same = (
            before["source"] == "import" and before.get("file_sha256", digest) == digest and before["file"] == name
        )
    except (OSError, ValueError, TypeError, LookupError):
        source, is_same = "an unknown source", False
    if not is_same:
        what = f"another {name}" if source == f"the file {name}" else source
        raise PipelineError(
            f"{destination}: already holds tables of {what}; name another folder with --to, or pass --replace"
        )


def _given(config: Any) -> dict[str, Any]:
    """Return the fields of a configuration that differ from their defaults."""
    default = asdict(type(config)())
    return {name: value for name, value in asdict(config).items() if value != default[name]}


def _provenance_of_items(file: ItemsFile | None, read: ReadItems | None) -> dict[str, Any]:
    if file is None or read is None:
        return {}
    return {
        "items_file_sha256": sha256_of_file(file.path),
        "items_read_as": read.facts,
        "items_options": _given(file.format),
    }


def _provenance_of_shards(found: ImportedPictures, columns: PictureColumns) -> dict[str, Any]:
    """Return in which shards the pictures are, empty if they are files."""
    names = [shard.path.name for shard in found.shards]
    return {"pictures_in": {"files": names, "options": _given(columns), "beside": found.n_beside}} if names else {}


def _provenance_of_likes(likes: FrameLikes) -> dict[str, Any]:
    if likes.frame_likes is None:
        return {}
    named = {"file": likes.frame_likes.name, "sha256": sha256_of_file(likes.frame_likes)}
    return {"frame_likes": {**named, "are": likes.frame_likes_are}}


def _provenance_of_split(ratings: Path, file_format: RatingsFormat, split: GivenSplit) -> dict[str, Any]:
    """Return where the split of the ratings stands, empty if they have none."""
    files = {name: {"file": path.name, "sha256": sha256_of_file(path)} for name, path in split.files(ratings).items()}
    named: dict[str, Any] = {"files": files} if files else {"column": file_format.split_column}
    return {"given_split": named} if files or file_format.split_column else {}


def _movies(items: pl.Series, known: pl.DataFrame | None) -> pl.DataFrame:
    """Return one `Movie` row per item; an item without a known title has its id as title."""
    none = pl.lit([], pl.List(pl.String))
    movies = pl.DataFrame({"movie_id": items})
    if known is None:
        movies = movies.with_columns(title=pl.col("movie_id"), genres=none)
    else:
        movies = movies.join(known, on="movie_id", how="left").with_columns(
            title=pl.coalesce("title", "movie_id"), genres=pl.col("genres").fill_null([])
        )
    return fill_columns(movies.with_columns(directors=none), Movie)
