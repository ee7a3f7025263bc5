import polars as pl
import pytest
import torch

from model.data.tables import Tables
from model.evaluation.rank_counts import RankCounts
from model.evaluation.slices import slice_metrics, slice_values
from model.evaluation.uncertainty import Bootstrap

DISCOUNT = 0.63092975357  # 1 / log2(3), of rank 2


def test_each_slice_has_the_metrics_of_its_own_positives_at_their_ranks_among_all() -> None:
    """User a has positives at the ranks 1 (cold) and 3, user b one at rank 2."""
    zero = torch.zeros(3, dtype=torch.int64)
    ranks = RankCounts(
        owners=torch.tensor([0, 0, 1]), positives_before=torch.tensor([0, 1, 0]),
        negatives_above=torch.tensor([0, 1, 1]),
        negatives_tied=zero,
        place=zero, group_size=zero + 1, n_positives=torch.tensor([2, 1]), n_negatives=torch.tensor([10, 10]),
    )  # fmt: skip
    numbers = pl.DataFrame({"user_activity": [5, 5, 2], "item_popularity": [0, 4, 4], "item_frames": [1, 1, 9]})
    table = slice_metrics(ranks, pl.Series(["a", "b"]), numbers, (1, 2), None, Bootstrap(100, 0))
    got = {
        (row["slice_by"], row["low"], row["high"], row["metric"], row["k"]): (
            row["value"], row["n_users"], row["n_positives"],
        )
        for row in table.iter_rows(named=True)
    }  # fmt: skip
    expected = {
        ("user_activity", 2, 2, "hr", 1): (0, 1, 1),
        ("user_activity", 2, 2, "hr", 2): (1, 1, 1),
        ("user_activity", 2, 2, "ndcg", 2): (DISCOUNT, 1, 1),
        ("user_activity", 5, 5, "hr", 1): (1, 1, 2),
        ("user_activity", 5, 5, "hr", 2): (1 / 2, 1, 2),
        ("user_activity", 5, 5, "ndcg", 2): (1 / (1 + DISCOUNT), 1, 2),
        ("item_popularity", 0, 0, "hr", 1): (1, 1, 1),
        ("item_popularity", 1, 5, "hr", 2): (1 / 2, 2, 2),
        ("item_popularity", 1, 5, "ndcg", 2): (DISCOUNT / 2, 2, 2),
        ("item_frames", 1, 1, "hr", 2): (1 / 2, 1, 2),
        ("item_frames", 9, 9, "ndcg", 2): (DISCOUNT, 1, 1),
    }
    for key, value in expected.items():
        assert got[key] == pytest.approx(value), key
    assert len(got) == (2 + 2 + 2) * 2 * 2  # slices, metrics, K


@pytest.mark.parametrize(
    ("popularity", "slices"),
    [
        ([0, 0, 0, 0], [(0, 0)]),
        ([1, 5, 3, 2], [(1, 5)]),
        ([6, 9, 9, 40], [(6, 6), (9, 9), (40, 40)]),
        ([0, 2, 6, 7], [(0, 0), (1, 5), (6, 6), (7, 7)]),
    ],
)
def test_movies_with_no_or_few_train_interactions_are_slices_of_their_own(
    popularity: list[int], slices: list[tuple[int, int]]
) -> None:
    every = torch.arange(4)
    ranks = RankCounts(
        owners=every, positives_before=every * 0, negatives_above=every, negatives_tied=every * 0, place=every * 0,
        group_size=every * 0 + 1, n_positives=every * 0 + 1, n_negatives=every * 0 + 10,
    )  # fmt: skip
    numbers = pl.DataFrame({"user_activity": popularity, "item_popularity": popularity, "item_frames": popularity})
    table = slice_metrics(ranks, pl.Series(list("abcd")), numbers, (1,), None, Bootstrap(10, 0))
    found = (
        table.filter(pl.col("slice_by") == "item_popularity", metric="hr").select("low", "high").unique().sort("low")
    )
    assert found.rows() == slices


def test_slice_values_count_train_interactions_and_frames_only(tables: Tables) -> None:
    train = tables.interactions.filter(pl.col("split").cast(pl.String) == "train")
    cold = pl.Series(["m00"])
    without = Tables(
        tables.movies, tables.frames.filter(pl.col("frame_id") != "m01f2"),
        tables.interactions.filter((pl.col("movie_id") != "m00") | (pl.col("split").cast(pl.String) != "train")),
        tables.frame_likes, None,
    )  # fmt: skip
    numbers = slice_values(without, pl.Series(["u01", "u01"]), pl.concat([cold, pl.Series(["m01"])]))
    assert numbers["user_activity"].to_list() == [6, 6]  # the group of u01 does not watch m00
    assert numbers["item_popularity"].to_list() == [0, train.filter(movie_id="m01").height]
    assert numbers["item_frames"].to_list() == [3, 2]
