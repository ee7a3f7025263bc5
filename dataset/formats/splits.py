"""The values that name a split, and the pairs that are in several splits."""

import polars as pl

from dataset.errors import InvalidTableError
from dataset.schema import SPLITS
from dataset.tables import quarantine_rows

_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "vali", "dev", "development"),
    "test": ("test", "testing"),
}
_NUMBERS = {"0": "train", "1": "validation", "2": "test"}
_SPLIT_OF = _NUMBERS | {word: split for split, words in _WORDS.items() for word in words}
_PAIR = ["user_id", "movie_id"]
_SHOWN_VALUES = 8


def read_splits(values: pl.Series, where: str) -> pl.Series:
    """Return the split that each value names, as `Enum`.

    Args:
        values: words or numbers, of any case.
        where: the file and column, for messages.

    Raises:
        InvalidTableError: a value names no split, or numbers leave train or test out.
    """
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase().str.replace(r"^(\d)\.0+$", "$1")
    n_unknown = len(text) - int(text.is_in(list(_SPLIT_OF)).fill_null(False).sum())
    seen = text.unique().sort()
    if n_unknown:
        shown = ", ".join("nothing" if value is None else repr(value[:40]) for value in seen[:_SHOWN_VALUES])
        more = f" and {len(seen) - _SHOWN_VALUES:,} more" if len(seen) > _SHOWN_VALUES else ""
        raise InvalidTableError(
            f"{where}: {n_unknown:,} of {len(text):,} values name no split; it has {shown}{more}, but should have "
            "train, validation (or valid, val, dev) and test, or 0, 1 and 2 for these: change them in the file"
        )
    if set(seen) <= set(_NUMBERS) and not {"0", "2"} <= set(seen):
        raise InvalidTableError(
            f"{where}: it has only {' and '.join(seen)}, but 0, 1 and 2 stand for train, validation and test, so "
            "nothing would be train, or nothing test; write train and test instead of numbers"
        )
    return text.replace_strict(_SPLIT_OF, return_dtype=pl.Enum(SPLITS)).alias("given_split")


def separate_splits(rows: pl.DataFrame, drop_overlap: bool, where: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the `Rating` rows in which each pair has one split, and the others as `Quarantine` rows.

    Args:
        rows: `Rating` rows with `given_split`.
        drop_overlap: whether a pair in several splits is kept in the last of them; otherwise it is refused.
        where: the file, for messages.

    Raises:
        InvalidTableError: pairs are in several splits, and `drop_overlap` is false.
    """
    last = pl.col("given_split").max().over(_PAIR)
    is_other = pl.col("given_split") != last
    others = rows.with_columns(last=last.cast(pl.String)).filter(is_other)
    if others.height and not drop_overlap:
        example = others.sort(_PAIR).row(0, named=True)
        raise InvalidTableError(
            f"{where}: {others.select(_PAIR).n_unique():,} user-item pairs are in more than one split, for example "
            f"user {example['user_id']!r} with item {example['movie_id']!r} in {example['given_split']} and "
            f"{example['last']}; a model would learn what it is tested on: correct the split, or pass --drop-overlap "
            "to keep such a pair only in the last of its splits"
        )
    reason = pl.format("pair is also in the given split's {}", "last")
    return rows.filter(~is_other), quarantine_rows(others.with_columns(reason=reason), "ratings")


def without_cold_users(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the `Rating` rows without held-out ones of users who have no train row, and those as `Quarantine` rows.

    Source: MMRec (https://github.com/enoche/MMRec), `filter_out_cod_start_users`, which is on by default.
    """
    is_cold = (pl.col("given_split") != "train").all().over("user_id")
    cold = rows.filter(is_cold).with_columns(reason=pl.lit("held out, but its user has no training rating (cold)"))
    return rows.filter(~is_cold), quarantine_rows(cold, "ratings")
