"""Splits train and validation anew into k folds. The snapshot's test split is never touched.

- `folds`: each fold is validation once, and the others are train. Test stays as it is, for one judgement at the end.
- `nested_folds`: each fold is judged once (as test), the next one is validation for a search, and the others are train.
  The snapshot's test pairs are left out, so nothing of them is used.

How pairs are dealt out: sorted by user, each user's pairs in random order, dealt to the folds in turn. So folds differ
by at most one pair, and the pairs of a user by at most one per fold. A user of one pair has none in train when it is
held out (a cold user, who is judged like the others). The deal depends on the seed and the set of pairs, not on the
order of rows. It ignores time: with a split by time, a fold may hold pairs that are newer than validation.

Frame likes exist for the snapshot's validation and test pairs only. A like follows its pair, and is left out when the
pair is in train, because likes never train; of `frame_likes_train`, the likes of pairs that stay in train are kept.
Columns that count train interactions or train likes are null, because they
count the snapshot's train split.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from dataset.errors import TooLittleDataError, UsageError
from dataset.schema import HELD_OUT_SPLITS, SPLITS
from dataset.snapshots.snapshot import Fold
from model.data.tables import Tables

_PAIR = ["user_id", "movie_id"]
_COUNTS = "train_"  # what the names of columns begin with that count the train split


def folds(tables: Tables, k: int, seed: int) -> Iterator[Tables]:
    """Yield `tables` k times: with another fold as validation, and the others as train; test as it is.

    Raises:
        UsageError: k is below 2.
        TooLittleDataError: there are fewer than k pairs in train and validation.
    """
    dealt = _deal(tables, k, seed, least=2)
    for number in range(k):
        yield _split_anew(tables, dealt, {number: "validation"}, has_test=True)


def nested_folds(tables: Tables, k: int, seed: int) -> Iterator[Tables]:
    """Yield `tables` k times: with another fold as test, the next one as validation, and the others as train.

    Raises:
        UsageError: k is below 3.
        TooLittleDataError: there are fewer than k pairs in train and validation.
    """
    for number in range(1, k + 1):
        yield fold_of(tables, Fold(number, k, seed))


def fold_of(tables: Tables, fold: Fold) -> Tables:
    """Return `tables` as `nested_folds` yields them for one fold.

    Raises:
        UsageError: k is below 3.
        TooLittleDataError: there are fewer than k pairs in train and validation.
    """
    dealt, number = _deal(tables, fold.k, fold.seed, least=3), fold.number - 1
    return _split_anew(tables, dealt, {number: "test", (number + 1) % fold.k: "validation"}, has_test=False)


def fold_pairs(tables: Tables, k: int, seed: int) -> pl.DataFrame:
    """Return the pairs of train and validation with their `fold`, from 1 to k.

    Raises:
        UsageError, TooLittleDataError: as `nested_folds`.
    """
    return _deal(tables, k, seed, least=3).with_columns((pl.col("fold") + 1).cast(pl.UInt32)).sort(_PAIR)


def _deal(tables: Tables, k: int, seed: int, least: int) -> pl.DataFrame:
    """Return the pairs of train and validation with their `fold`, from 0."""
    if k < least:
        raise UsageError(f"{k} folds are too few; at least {least} are needed")
    pairs = tables.interactions.filter(pl.col("split").cast(pl.String) != "test").select(_PAIR).sort(_PAIR)
    if pairs.height < k:
        raise TooLittleDataError(
            f"interactions: {pairs.height:,} pairs in train and validation are too few for {k} folds; use fewer"
        )
    draw = pl.Series("draw", np.random.default_rng(seed).permutation(pairs.height))
    dealt = pairs.with_columns(draw).sort("user_id", "draw")
    return dealt.select(*_PAIR, fold=pl.int_range(pl.len(), dtype=pl.Int64) % k)


def _split_anew(tables: Tables, dealt: pl.DataFrame, held_out: dict[int, str], has_test: bool) -> Tables:
    """Return `tables` with the splits of the folds; `held_out` names those that are not train."""
    names = pl.col("fold").replace_strict(held_out, default="train", return_dtype=pl.Enum(SPLITS))
    splits = dealt.select(*_PAIR, names.alias("new"))
    known = tables.interactions.join(splits, on=_PAIR, how="left", maintain_order="left")
    interactions = known.with_columns(split=pl.col("new").fill_null("test")).drop("new")
    if not has_test:
        interactions = interactions.filter(known["new"].is_not_null())
    new = interactions.select(*_PAIR, new=pl.col("split").cast(pl.String)).filter(pl.col("new") != "train")
    likes = tables.frame_likes.join(new, on=_PAIR, how="inner", maintain_order="left")
    likes = likes.with_columns(split=pl.col("new").cast(pl.Enum(HELD_OUT_SPLITS))).drop("new")
    movies, frames = (_without_counts(table) for table in (tables.movies, tables.frames))
    of_train = tables.frame_likes_train
    if of_train is not None:
        train = interactions.filter(pl.col("split").cast(pl.String) == "train")
        of_train = of_train.join(train, on=_PAIR, how="semi", maintain_order="left")
    return replace(
        tables,
        movies=movies,
        frames=frames,
        interactions=interactions,
        frame_likes=likes,
        frame_likes_train=of_train,
    )


def counts_train(column: str) -> bool:
    """Return whether a column of movies or frames counts the snapshot's train split, so that a fold has no values."""
    return column.startswith(_COUNTS)


def _without_counts(table: pl.DataFrame) -> pl.DataFrame:
    counts = [name for name in table.columns if counts_train(name)]
    return table.with_columns(pl.lit(None, table.schema[name]).alias(name) for name in counts)
