"""The split that came with imported ratings: its pairs, its digest, and how much of it a dataset keeps.

A published split has train and test, and may have validation. Where it has none, validation is drawn from train
(`dataset.building.split`), and the dataset's description says so.
"""

import hashlib
from typing import Any

import polars as pl

from dataset.building.split import SplitConfig
from dataset.errors import InvalidTableError, UsageError
from dataset.schema import SPLITS

_PAIR = ["user_id", "movie_id"]


def given_pairs(ratings: pl.DataFrame) -> pl.DataFrame:
    """Return the split of each pair in `ratings`: `user_id`, `movie_id`, `split`, in order, each pair once.

    Args:
        ratings: `Rating` rows with `given_split`; a pair may repeat within its split.

    Raises:
        UsageError: no rating has a given split.
        InvalidTableError: some ratings have none, a pair is in two splits, or there is no train or no test pair.
    """
    n_missing = ratings["given_split"].null_count()
    if n_missing == ratings.height:
        raise UsageError(
            "--split given: the raw tables have no given split; import the ratings with --split-column, or with "
            "--test and a file, or choose another --split"
        )
    if n_missing:
        raise InvalidTableError(
            f"ratings: {n_missing:,} of {ratings.height:,} rows have no given_split; import them with one, or choose "
            "another --split"
        )
    pairs = ratings.select(*_PAIR, split="given_split").unique().sort(*_PAIR)
    doubled = pairs.filter(pl.struct(_PAIR).is_duplicated())
    if doubled.height:
        raise InvalidTableError(
            f"ratings: {doubled.select(_PAIR).n_unique():,} pairs are in more than one given split, for example "
            f"{doubled.select(_PAIR).row(0, named=True)}; import the ratings again with --drop-overlap"
        )
    for split in ("train", "test"):
        if not counts(pairs)[split]:
            raise InvalidTableError(f"ratings: no row is in {split} in the given split; choose another --split")
    return pairs


def counts(pairs: pl.DataFrame) -> dict[str, int]:
    """Return the number of rows of each split, by its name."""
    found = dict(pairs.group_by(pl.col("split").cast(pl.String)).len().iter_rows())
    return {split: found.get(split, 0) for split in SPLITS}


def digest(pairs: pl.DataFrame) -> str:
    """Return the SHA-256 of a split: the same for equal pairs and splits, whatever the order of the rows.

    It is the digest of one line of JSON in UTF-8 per pair, `{"user_id":"…","movie_id":"…","split":"train"}`,
    sorted by user and movie. Each line ends in a line break; no character is escaped that JSON allows as it is.
    """
    lines = pairs.sort(*_PAIR).select(pl.struct(*_PAIR, "split").struct.json_encode()).to_series()
    return hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()


def describe(pairs: pl.DataFrame, interactions: pl.DataFrame, config: SplitConfig) -> dict[str, Any]:
    """Return how a dataset uses the given split, as JSON for its provenance.

    Args:
        pairs: the result of `given_pairs`.
        interactions: the `Interaction` rows of the dataset.
        config: how they were split.
    """
    kept = pairs.join(interactions.select(_PAIR), on=_PAIR, how="semi")
    drawn = {
        "pairs": counts(interactions)["validation"], "share_of_train": config.validation_share, "seed": config.seed
    }  # fmt: skip
    return {
        "sha256": digest(pairs),
        "pairs": counts(pairs),
        "kept_pairs": counts(kept),
        "validation_drawn_from_train": None if counts(pairs)["validation"] else drawn,
    }
