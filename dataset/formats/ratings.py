"""Reads a user's ratings file as `Rating` rows; defines the known formats."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.errors import InvalidTableError, MissingInputError, TooLittleDataError, UsageError
from dataset.formats.user_files import read_user_file
from dataset.schema import Rating
from dataset.tables import quarantine_rows, validate

_MILLISECONDS_FROM = 100_000_000_000
"""A number from this on is a time in milliseconds; in seconds it would be after the year 5000."""


@dataclass(frozen=True)
class RatingsFormat:
    """The columns of a ratings file and how to read it. None: the file has no such column.

    Attributes:
        user_column: the user's id; without a header, columns are `column_1`, `column_2`, …
        item_column: the item's id.
        rating_column: the rating, above 0 and up to `max_rating`; empty means "not rated".
        time_column: a date, an ISO date or time as text, or seconds (or milliseconds) since 1970.
        max_rating: the highest possible rating; ratings are scaled so that it becomes 5 stars.
        separator: the field separator of a text file; None chooses by the name (.tsv: tab, else comma).
        has_header: whether the first line of a text file names the columns.
        has_types: whether the names in the header end in a type, as in RecBole's `user_id:token`.
    """

    user_column: str = "user"
    item_column: str = "item"
    rating_column: str | None = None
    time_column: str | None = None
    max_rating: float = 5.0
    separator: str | None = None
    has_header: bool = True
    has_types: bool = False


FORMATS = {
    "movielens-csv": RatingsFormat("userId", "movieId", "rating", "timestamp"),
    # ratings.dat separates fields by `::`; read with `:`, every second column is empty.
    "movielens-dat": RatingsFormat("column_1", "column_3", "column_5", "column_7", separator=":", has_header=False),
    "movielens-100k": RatingsFormat("column_1", "column_2", "column_3", "column_4", separator="\t", has_header=False),
    "recbole": RatingsFormat("user_id", "item_id", "rating", "timestamp", separator="\t", has_types=True),
}
"""The known formats, which need no column names."""

_FORMAT_BY_NAME = {"ratings.csv": "movielens-csv", "ratings.dat": "movielens-dat", "u.data": "movielens-100k"}


def detect_format(path: Path) -> str | None:
    """Return which of `FORMATS` a ratings file has, by its name (and a `ratings.csv` by its header), else None."""
    if path.suffix == ".inter":
        return "recbole"
    name = _FORMAT_BY_NAME.get(path.name)
    if name == "movielens-csv":
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                return name if file.readline().startswith("userId,movieId,") else None
        except OSError:
            return None
    return name


def _read(path: Path, file_format: RatingsFormat) -> pl.DataFrame:
    """Return the format's columns of a file as `user`, `item`, `rating` and `time`; those of a text file as text."""
    if not path.is_file():
        raise MissingInputError(f"{path}: no such ratings file; name a .csv, .tsv or .parquet file (see --format)")
    try:
        table = read_user_file(path, file_format.separator, file_format.has_header, file_format.has_types)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InvalidTableError(
            f"{path}: cannot be read as {'Parquet' if path.suffix == '.parquet' else 'CSV'} "
            f"({str(error).splitlines()[0]}); check the file, and --separator for a CSV"
        ) from None
    wanted = {
        "user": file_format.user_column,
        "item": file_format.item_column,
        "rating": file_format.rating_column,
        "time": file_format.time_column,
    }
    for role, column in wanted.items():
        if column is not None and column not in table.columns:
            if file_format.has_types and column in ("rating", "timestamp"):
                continue  # RecBole's atomic files may lack these
            raise InvalidTableError(
                f"{path}: no column '{column}' for the {role}; it has {', '.join(map(repr, table.columns))}: "
                f"name the right one with --{role}-column"
            )
    return table.select(pl.col(column).alias(role) for role, column in wanted.items() if column in table.columns)


def read_ratings(path: Path, file_format: RatingsFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a ratings file.

    Returns:
        The `Rating` rows, and the rows without a user or an item as `Quarantine` rows.

    Raises:
        MissingInputError: the file is missing.
        InvalidTableError: the file cannot be read, or a column is missing or invalid.
        TooLittleDataError: no row has a user and an item.
    """
    source = _read(path, file_format)
    rows = source.select(
        user_id=pl.col("user").cast(pl.String),
        movie_id=pl.col("item").cast(pl.String),
        stars=_stars(source, file_format, path),
        rated_on=_date(source, file_format, path),
    )
    complete = pl.all_horizontal(pl.col("user_id", "movie_id").fill_null("") != "")
    incomplete = quarantine_rows(rows.filter(~complete), "ratings", "no user or no item")
    rows = rows.filter(complete)
    if rows.is_empty():
        raise TooLittleDataError(f"{path}: no row has both a user and an item; check the file and the column names")
    return validate(rows, Rating, str(path)), incomplete


def _stars(source: pl.DataFrame, file_format: RatingsFormat, path: Path) -> pl.Series:
    if "rating" not in source.columns:
        return pl.Series("stars", [None] * source.height, dtype=pl.Float32)
    if file_format.max_rating <= 0:
        raise UsageError(
            f"--max-rating must be above 0 (got {file_format.max_rating}); it is the highest possible rating"
        )
    ratings = _cast(source["rating"], pl.Float64, f"{path}: column '{file_format.rating_column}'", "a number")
    stars = ratings * (5 / file_format.max_rating)
    if not stars.drop_nulls().is_between(0.5, 5).all():
        raise InvalidTableError(
            f"{path}: column '{file_format.rating_column}' goes from {ratings.min()!r} to {ratings.max()!r}, but with "
            f"--max-rating {file_format.max_rating:g} ratings start at {file_format.max_rating / 10:g}; pass the "
            "highest possible rating as --max-rating, or omit --rating-column to treat every row as implicit feedback"
        )
    return stars.cast(pl.Float32).alias("stars")


def _date(source: pl.DataFrame, file_format: RatingsFormat, path: Path) -> pl.Series:
    if "time" not in source.columns:
        return pl.Series("rated_on", [None] * source.height, dtype=pl.Date)
    times, what = source["time"], f"{path}: column '{file_format.time_column}'"
    if times.dtype.is_temporal():
        return times.cast(pl.Date).alias("rated_on")
    if times.dtype == pl.String:
        dates = times.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        if dates.null_count() == times.null_count():
            return dates.alias("rated_on")
    seconds = _cast(times, pl.Float64, what, "a date like 2024-05-31 or seconds since 1970")
    seconds = pl.select(pl.when(seconds >= _MILLISECONDS_FROM).then(seconds / 1000).otherwise(seconds)).to_series()
    return pl.from_epoch(seconds.cast(pl.Int64), time_unit="s").cast(pl.Date).alias("rated_on")


def _cast(column: pl.Series, dtype: type[pl.DataType], where: str, what: str) -> pl.Series:
    cast = column.cast(dtype, strict=False)
    bad = column.filter(cast.is_null() & column.is_not_null())
    if len(bad):
        raise InvalidTableError(f"{where}: {len(bad):,} values are not {what}; for example {bad[0]!r}: fix the file")
    return cast
