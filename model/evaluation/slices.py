"""Metrics per slice of the users or movies: by activity, popularity and number of frames."""

import numpy as np
import polars as pl
import torch

from model.data.tables import Tables
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS
from model.evaluation.rank_counts import RankCounts
from model.evaluation.uncertainty import Bootstrap, by_user
from model.schema import SLICES, SliceMetric

_METRICS = ("hr", "ndcg")
_QUARTILES = (0.25, 0.5, 0.75)
FEW = 5
"""A movie with at most so many train interactions is nearly cold."""


def slice_values(tables: Tables, users: pl.Series, movies: pl.Series) -> pl.DataFrame:
    """Return, for (n,) positives, the value that each kind of slice is based on, one column per kind.

    Args:
        tables: of the snapshot.
        users: (n,) user_id.
        movies: (n,) movie_id.
    """
    train = tables.interactions.filter(pl.col("split").cast(pl.String) == "train")
    counted = {
        "user_activity": ("user_id", train),
        "item_popularity": ("movie_id", train),
        "item_frames": ("movie_id", tables.frames),
    }
    positives = pl.DataFrame({"user_id": users, "movie_id": movies})
    for name, (key, rows) in counted.items():
        counts = rows.group_by(key).agg(pl.len().alias(name))
        positives = positives.join(counts, on=key, how="left", maintain_order="left")
    return positives.select(pl.col(name).fill_null(0).cast(pl.Int64) for name in SLICES)


def slice_metrics(
    ranks: RankCounts,
    users: pl.Series,
    values: pl.DataFrame,
    ks: tuple[int, ...],
    n_sampled: int | None,
    bootstrap: Bootstrap,
) -> pl.DataFrame:
    """Return the `slices` table of one task and run, without `model`, `seed` and `task`.

    The value 0 (cold) is a slice of its own; of `item_popularity`, so are the values from 1 to `FEW`. The other values
    are cut at the quartiles of the users (`user_activity`) or of the positives; equal values stay together. A slice
    without a positive is left out.

    Args:
        ranks: of all positives.
        users: (n_owners,) user_id of each owner.
        values: (n,) rows, the `slice_values` of the positives.
        ks: the values of K.
        n_sampled: see `expected_ranking`; None for all negatives.
        bootstrap: computes the intervals.
    """
    rows: list[tuple[object, ...]] = []
    for name in SLICES:
        of_positives = values[name].to_numpy()
        of_owners = of_positives[np.unique(ranks.owners.numpy(), return_index=True)[1]]
        few = FEW if name == "item_popularity" else 0
        for low, high in _bounds(of_owners if name == "user_activity" else of_positives, few):
            chosen = torch.from_numpy((of_positives >= low) & (of_positives <= high))
            part, owners = _restricted(ranks, chosen)
            ranking = expected_ranking(part, max(ks), n_sampled)
            ids = users[owners.numpy()]
            for metric in _METRICS:
                for k in ks:
                    per_user = by_user(pl.DataFrame({"user_id": ids, "value": METRICS[metric](ranking, k).numpy()}))
                    sums, counts = per_user["sum"].to_numpy(), per_user["n"].to_numpy()
                    mean = sums.sum() / counts.sum()
                    interval = bootstrap.interval(sums, counts)
                    rows.append((name, low, high, metric, k, mean, *interval, len(owners), int(chosen.sum())))
    names = ["slice_by", "low", "high", "metric", "k", "value", "ci_low", "ci_high", "n_users", "n_positives"]
    return pl.DataFrame(rows, schema={name: SliceMetric.columns()[name].dtype for name in names}, orient="row")


def _bounds(values: np.ndarray, few: int) -> list[tuple[int, int]]:
    """Return the lowest and highest value of each slice; 0 is one, and 1 to `few`, unless that is 0, another."""
    bounds = [(low, high) for low, high in ((0, 0), (1, few)) if ((values >= low) & (values <= high)).any()]
    rest = np.sort(values[values > few])
    if not len(rest):
        return bounds
    edges = np.unique([*np.quantile(rest, _QUARTILES, method="lower"), rest[-1]])
    slices = np.split(rest, np.searchsorted(rest, edges, side="right"))
    return bounds + [(int(part[0]), int(part[-1])) for part in slices if len(part)]


def _restricted(ranks: RankCounts, chosen: torch.Tensor) -> tuple[RankCounts, torch.Tensor]:
    """Return the counts of the chosen positives only, unchanged, and the owners who have a chosen positive."""
    owners, number, counts = np.unique(ranks.owners[chosen].numpy(), return_inverse=True, return_counts=True)
    part = RankCounts(
        owners=torch.from_numpy(number),
        positives_before=ranks.positives_before[chosen],
        negatives_above=ranks.negatives_above[chosen],
        negatives_tied=ranks.negatives_tied[chosen],
        place=ranks.place[chosen],
        group_size=ranks.group_size[chosen],
        n_positives=torch.from_numpy(counts),
        n_negatives=ranks.n_negatives[owners],
    )
    return part, torch.from_numpy(owners)
