"""Reads recommendations that any tool has made: a text table or Parquet file with a user, an item, and a score or rank.

Whatever could change a metric without a word is refused: a missing id or number, an item twice for one user, a rank
that contradicts the score.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dataset.errors import InvalidTableError, TooLittleDataError
from dataset.files import sha256_of_file
from dataset.formats.ids import IdRules, read_ids
from dataset.formats.values import as_text
from dataset.reading.open import open_user_file
from dataset.reading.table import FileOptions, UserFile, find_column, listed, shown
from model.evaluation.config import ListColumns

_NAMES = {
    "user_id": ("user", "user_id", "userId", "UserId", "userID", "uid"),
    "movie_id": ("item", "item_id", "itemId", "ItemId", "itemID", "iid", "movie_id", "movieId", "product_id"),
    "score": ("score", "prediction", "predicted_score", "rating"),
    "rank": ("rank",),
}
_EXACTLY = IdRules(spaces="keep", no_values=())


@dataclass(frozen=True)
class ListFile:
    """Recommendations as they are in a file.

    Attributes:
        path: the file.
        sha256: its SHA-256.
        rows: `user_id`, `movie_id`, and `place`: 1 for a user's best items; items that are as good share a place.
    """

    path: Path
    sha256: str
    rows: pl.DataFrame


def read_lists(path: Path, columns: ListColumns = ListColumns()) -> ListFile:  # noqa: B008 - frozen
    """Read a file of recommendations. If it has a score and a rank, the score decides, because equal scores are ties.

    Raises:
        MissingInputError: there is no such file.
        InvalidTableError: it cannot be read, lacks a column, or has values that cannot be ranked.
        TooLittleDataError: it has no rows.
    """
    file = open_user_file(path, FileOptions(has_header=True), "recommendations")
    found = _find_columns(file, columns)
    read = file.read(found)
    if read.ragged.height:
        raise InvalidTableError(
            f"{path}: {read.ragged.height:,} rows have too few or too many fields, for example "
            f"{read.ragged['detail'][0]}; correct them"
        )
    if read.table.is_empty():
        raise TooLittleDataError(f"{path}: no recommendation is in it")
    of = {name: f"{path}: column {shown(column)}" for name, column in found.items()}
    ids = [read_ids(read.table[name], _EXACTLY, of[name], []).alias(name) for name in ("user_id", "movie_id")]
    numbers = [_numbers(read.table[name], of[name]) for name in ("score", "rank") if name in found]
    rows = pl.DataFrame([*ids, *numbers])
    for name in ("user_id", "movie_id"):
        if n := int((rows[name].is_null() | (rows[name] == "")).sum()):
            raise InvalidTableError(f"{of[name]}: {n:,} of {rows.height:,} rows have no id; correct or remove them")
    _refuse_twice(path, rows)
    if {"score", "rank"} <= set(rows.columns):
        _refuse_contradiction(path, rows)
    order = -pl.col("score") if "score" in rows.columns else pl.col("rank")
    place = order.rank("dense").over("user_id").cast(pl.Int64).alias("place")
    return ListFile(path, sha256_of_file(path), rows.select("user_id", "movie_id", place))


def _find_columns(file: UserFile, columns: ListColumns) -> dict[str, str]:
    """Return the file's column for each of ours; of score and rank, at least one."""
    asked = {
        "user_id": (columns.user_column, "of users", "--user-column"),
        "movie_id": (columns.item_column, "of items", "--item-column"),
        "score": (columns.score_column, "of scores", "--score-column"),
        "rank": (columns.rank_column, "of ranks", "--rank-column"),
    }
    found = {}
    for name, (column, what, option) in asked.items():
        known = next((one for one in _NAMES[name] if one in file.names), None)
        if column is not None or (known is None and name in ("user_id", "movie_id")):
            found[name] = find_column(file, column or _NAMES[name][0], what, option)
        elif known is not None:
            found[name] = find_column(file, known, what, option)
    if columns.rank_column and not columns.score_column:
        found.pop("score", None)
    if columns.score_column and not columns.rank_column:
        found.pop("rank", None)
    if not {"score", "rank"} & set(found):
        raise InvalidTableError(
            f"{file.path}: no column of scores or ranks; it has {listed(file.names)}: name one with --score-column or "
            "--rank-column"
        )
    return found


def _numbers(column: pl.Series, where: str) -> pl.Series:
    """Return finite numbers as Float64.

    Raises:
        InvalidTableError: some are not.
    """
    texts = as_text(column)
    if texts is None and not column.dtype.is_numeric():
        raise InvalidTableError(f"{where} has the type {column.dtype}; store numbers")
    numbers = (column if texts is None else texts.str.strip_chars()).cast(pl.Float64, strict=False)
    is_bad = ~numbers.is_finite().fill_null(False)
    if n := int(is_bad.sum()):
        raise InvalidTableError(
            f"{where}: {n:,} of {len(column):,} values are no finite numbers, for example "
            f"{shown(column.filter(is_bad)[0])}, and cannot be ranked; remove these rows, or correct them"
        )
    return numbers.alias(column.name)


def _refuse_twice(path: Path, rows: pl.DataFrame) -> None:
    twice = rows.filter(pl.struct("user_id", "movie_id").is_duplicated())
    if twice.height:
        user, item = twice.sort("user_id", "movie_id").row(0)[:2]
        raise InvalidTableError(
            f"{path}: {twice.height:,} rows recommend an item more than once to the same user, for example "
            f"{shown(item)} to {shown(user)}; keep one row of each"
        )


def _refuse_contradiction(path: Path, rows: pl.DataFrame) -> None:
    """Check that, from rank to rank, no user's score rises."""
    ordered = rows.sort("user_id", "rank", pl.col("score"), descending=[False, False, True])
    rises = ordered.filter((pl.col("score") > pl.col("score").shift(1)).over("user_id"))
    if rises.height:
        user, item = rises.row(0)[:2]
        raise InvalidTableError(
            f"{path}: {rises.height:,} rows have a better score but a worse rank than another one, for example item "
            f"{shown(item)} of user {shown(user)}; name the right column with --score-column or --rank-column"
        )
