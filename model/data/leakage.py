"""What must hold between the splits for a result to mean anything, checked wherever models are judged."""

import polars as pl
import torch

from dataset.errors import InvalidTableError
from model.data.indexed import HeldOutItems, Ragged, Tables


def require_separate_splits(tables: Tables) -> None:
    """Check that no pair is in two splits, and that all likes are of held-out pairs of their own split.

    Raises:
        InvalidTableError: with the number of rows and one example.
    """
    pair = ["user_id", "movie_id"]
    pairs = tables.interactions.select(*pair, pl.col("split").cast(pl.String))
    doubled = pairs.filter(pl.struct(pair).is_duplicated())
    if doubled.height:
        raise InvalidTableError(
            f"interactions: {doubled.height:,} rows are of user-movie pairs that occur more than once, for example "
            f"{doubled.sort(pair).row(0, named=True)}; splits must be disjoint, so build the dataset again"
        )
    likes = tables.frame_likes.select(*pair, "frame_id", pl.col("split").cast(pl.String))
    astray = likes.join(pairs, on=[*pair, "split"], how="anti")
    if astray.height:
        raise InvalidTableError(
            f"frame_likes: {astray.height:,} rows are not of a held-out pair of their split, for example "
            f"{astray.sort(pair).row(0, named=True)}; likes never train, so build the dataset again"
        )


def require_no_leak(train: Ragged, held_out: HeldOutItems) -> None:
    """Check that a model trained on `train` can be judged on `held_out`.

    Raises:
        InvalidTableError: a held-out positive is known or trained on, or something trained on could be a candidate.
    """
    n_users = len(train.offsets) - 1
    width = 1 + max(
        (int(part.values.max()) for part in (train, held_out.positives, held_out.known) if len(part.values)), default=0
    )
    trained, positives, known = (
        part.owners * width + part.values for part in (train, held_out.positives, held_out.known)
    )
    for what, is_wrong, pairs in (
        ("held-out pairs are train interactions too", torch.isin(positives, trained), positives),
        ("held-out pairs are of an earlier split too", torch.isin(positives, known), positives),
        ("train interactions would be ranked as if they were not known", ~torch.isin(trained, known), trained),
    ):
        if n := int(is_wrong.sum()):
            first = int(pairs[is_wrong][0])
            raise InvalidTableError(
                f"interactions: {n:,} {what}, for example of user number {first // width} (of {n_users:,}) and "
                f"movie number {first % width}; splits must be disjoint, so build the dataset again"
            )
