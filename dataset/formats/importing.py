"""Imports your own data: turns a ratings file, and optionally pictures and an items file, into raw tables.

User and item ids are kept unchanged, as text. Pictures are `<item>.jpg` or `<item>/<any>.jpg`; each becomes a frame
of its item. Unusable rows and files go to `quarantine.parquet` with the reason.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.files import write_json
from dataset.formats.items import ItemsFile, read_items
from dataset.formats.pictures import import_pictures
from dataset.formats.ratings import RatingsFormat, read_ratings
from dataset.schema import RAW_TABLES, Frame, Image, Movie, Quarantine
from dataset.tables import empty, fill_columns, write_table
from dataset.version import code_version

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imported:
    """The result of `import_ratings`: the raw folder and counts."""

    path: Path
    n_ratings: int
    n_items: int
    n_titles: int
    n_pictures: int
    n_quarantined: int


def import_ratings(
    ratings: Path,
    file_format: RatingsFormat,
    pictures: Path | None,
    destination: Path,
    items_file: ItemsFile | None = None,
) -> Imported:
    """Write a raw folder (see `dataset.building.build`) from a ratings file, a folder of pictures and an items file.

    Raises:
        MissingInputError: a file or the folder is missing.
        InvalidTableError: a file cannot be read, or a column is missing or invalid.
        TooLittleDataError: no row or no picture is usable.
    """
    known = read_items(items_file) if items_file else None
    rows, incomplete = read_ratings(ratings, file_format)
    items = rows["movie_id"].unique().sort()
    frames, images, bad_pictures = empty(Frame), empty(Image), empty(Quarantine)
    if pictures is not None:
        frames, images, bad_pictures = import_pictures(pictures, set(items), destination)
    tables = {name: empty(schema) for name, schema in RAW_TABLES.items()}
    movies = _movies(items, known)
    tables |= {"movies": movies, "ratings": rows, "frames": frames, "images": images}
    for name, schema in RAW_TABLES.items():
        write_table(tables[name], schema, destination / f"{name}.parquet")
    quarantine = pl.concat([incomplete, bad_pictures])
    write_table(quarantine, Quarantine, destination / "quarantine.parquet")
    write_json(
        destination / "provenance.json",
        {
            "source": "import",
            "file": ratings.name,
            "items_file": items_file.path.name if items_file else None,
            "has_pictures": pictures is not None,
            "code_version": code_version(),
        },
    )
    _log.info(
        "imported %s: %d ratings, %d pictures, %d dropped", ratings, rows.height, images.height, quarantine.height
    )
    n_titles = 0 if known is None else int(items.is_in(known["movie_id"].implode()).sum())
    return Imported(destination, rows.height, len(items), n_titles, images.height, quarantine.height)


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
