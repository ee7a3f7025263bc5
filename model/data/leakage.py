"""Checks that the splits do not leak into each other. Training and evaluation run them."""

import polars as pl
import torch

from dataset.errors import InvalidTableError
from model.data.jagged import JaggedTensor
from model.data.tables import Tables
from model.data.tensors import HeldOutItems


def require_separate_splits(tables: Tables) -> None:
    """Check that no pair is in two splits, and that every like belongs to a held-out pair of its own split.

    Raises:
        InvalidTableError: a check fails; the message has the number of rows and one example.
    """
    pair = ["user_id", "movie_id"]
    pairs = tables.interactions.select(*pair, pl.col("split").cast(pl.String))
    doubled = pairs.filter(pl.struct(pair).is_duplicated())
    if doubled.height:
        raise InvalidTableError(
            f"interactions: {doubled.height:,} rows are user-movie pairs that occur more than once, for example "
            f"{doubled.sort(pair).row(0, named=True)}; splits must be disjoint, so build the dataset again"
        )
    likes = tables.frame_likes.select(*pair, "frame_id", pl.col("split").cast(pl.String))
    misplaced = likes.join(pairs, on=[*pair, "split"], how="anti")
    if misplaced.height:
        raise InvalidTableError(
            f"frame_likes: {misplaced.height:,} rows do not belong to a held-out pair of their split, for example "
            f"{misplaced.sort(pair).row(0, named=True)}; likes are not for training, so build the dataset again"
        )


def require_no_leak(train: JaggedTensor, held_out: HeldOutItems) -> None:
    """Check that a model trained on `train` can be evaluated on `held_out`.

    Raises:
        InvalidTableError: a held-out positive is a known or a train item, or a train item could be a candidate.
    """
    n_users = len(train.offsets) - 1
    width = 1 + max(
        (int(part.values.max()) for part in (train, held_out.positives, held_out.known) if len(part.values)), default=0
    )
    trained, positives, known = (
        part.owners * width + part.values for part in (train, held_out.positives, held_out.known)
    )
    for what, is_wrong, pairs in (
        ("held-out pairs are also train interactions", torch.isin(positives, trained), positives),
        ("held-out pairs are also in an earlier split", torch.isin(positives, known), positives),
        ("train interactions would be ranked as candidates", ~torch.isin(trained, known), trained),
    ):
        if n := int(is_wrong.sum()):
            first = int(pairs[is_wrong][0])
            raise InvalidTableError(
                f"interactions: {n:,} {what}, for example of user number {first // width} (of {n_users:,}) and "
                f"movie number {first % width}; splits must be disjoint, so build the dataset again"
            )
