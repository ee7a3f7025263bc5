from dataclasses import dataclass, replace

import polars as pl
import pytest
import torch

from dataset.errors import TooLittleDataError, TrainingError
from model.evaluate import EvaluationConfig, average, evaluate
from model.interactions import Tables, held_out_items, held_out_likes, index_ids
from model.metrics import recall
from model.protocol import rank_among_all, rank_among_sampled, rank_frames
from model.recommender import FrameScorer
from model.registry import default_config, make_model

CONFIG = EvaluationConfig(item_ks=(1, 5), frame_ks=(1, 2), n_negatives=4, n_repeats=3, n_bootstrap=200)


@dataclass(frozen=True)
class Given(FrameScorer):
    """Scores that the test gives."""

    items: torch.Tensor
    frames: torch.Tensor

    def item_scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.items[users]

    def frame_scores(self, users: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        return self.frames[frames]


def _value(metrics: pl.DataFrame, task: str, metric: str, k: int) -> float:
    return metrics.filter(pl.col("task").cast(pl.String) == task, metric=metric, k=k)["value"].item()


def _truth(tables: Tables) -> Given:
    """Knows the test interactions, and the first frame of every movie."""
    items = held_out_items(tables, index_ids(tables), "test").positives.mask(torch.arange(30), 24).float()
    return Given(items, torch.tensor([1.0, 0.0, 0.0] * 24))


def test_a_scorer_that_knows_the_truth_gets_one_everywhere(tables: Tables) -> None:
    metrics, user_metrics = evaluate(_truth(tables), tables, "test", "truth", 0, CONFIG)
    assert metrics["value"].to_list() == pytest.approx([1.0] * metrics.height)
    assert metrics["ci_low"].to_list() == metrics["ci_high"].to_list()
    assert set(metrics["n_users"]) == {30}
    assert user_metrics.height == 30 * metrics.height


def test_a_constant_scorer_gets_exactly_what_random_gets_on_average(tables: Tables) -> None:
    constant = Given(torch.zeros(30, 24), torch.zeros(72))
    metrics, _ = evaluate(constant, tables, "test", "constant", 0, CONFIG)
    assert _value(metrics, "item", "hr", 1) == pytest.approx(1 / 5)  # among 4 sampled negatives
    assert _value(metrics, "item", "full_hr", 5) == pytest.approx(5 / (24 - 7))  # 6 train and 1 validation are known
    assert _value(metrics, "frame", "hr", 2) == pytest.approx(2 / 3)


def test_sampled_negatives_are_unrated_and_all_of_them_where_few_are_left(tables: Tables) -> None:
    ids = index_ids(tables)
    held_out = held_out_items(tables, ids, "test")
    rated = held_out.known.mask(torch.arange(30), 24) | held_out.positives.mask(torch.arange(30), 24)
    best_where_rated = Given(
        rated.float() - held_out.positives.mask(torch.arange(30), 24).float() * 0.5, torch.zeros(72)
    )
    for n_negatives in (4, 1000):
        for ranks in rank_among_sampled(best_where_rated, held_out, 5, torch.Generator(), n_negatives, 3):
            assert recall(ranks, 1).mean() == 1.0  # what scores higher than the positive is never a candidate
    constant = Given(torch.zeros(30, 24), torch.zeros(72))
    all_unrated = rank_among_sampled(constant, held_out, 5, torch.Generator(), 1000, 1)[0]
    assert all_unrated.tied.tolist() == [24 - 6 - 1] * 30


def test_the_sampled_mean_approaches_the_exact_expectation(tables: Tables) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    scorer = make_model("random", default_config("random"), _data(tables), 1).scorer()
    full = rank_among_all(scorer, held_out, 24)
    unrated, sampled, n_repeats = 24 - 8, 6, 400
    ranks = rank_among_sampled(scorer, held_out, 24, torch.Generator().manual_seed(0), sampled, n_repeats)
    got = torch.stack([recall(repeat, 1) for repeat in ranks]).mean(0)
    for above, value in zip(full.above.tolist(), got.tolist(), strict=True):
        nothing_above = 1.0  # P(none of the sampled negatives is among those above), without replacement
        for draw in range(sampled):
            nothing_above *= max(0, unrated - above - draw) / (unrated - draw)
        assert value == pytest.approx(nothing_above, abs=4.5 * 0.5 / n_repeats**0.5)


def test_validation_knows_nothing_of_test(tables: Tables) -> None:
    ids = index_ids(tables)
    without_test = replace(tables, interactions=tables.interactions.filter(pl.col("split").cast(pl.String) != "test"))
    for ours, theirs in zip(
        (held_out_items(tables, ids, "validation").positives, held_out_items(tables, ids, "validation").known),
        (
            held_out_items(without_test, ids, "validation").positives,
            held_out_items(without_test, ids, "validation").known,
        ),
        strict=True,
    ):
        assert torch.equal(ours.offsets, theirs.offsets)
        assert torch.equal(ours.values, theirs.values)


def test_liked_frames_are_ranked_among_all_frames_of_their_movie_alone(tables: Tables) -> None:
    likes = held_out_likes(tables, index_ids(tables), "test")
    frame_scores = torch.arange(72).flip(0).double()  # within a movie, the liked first frame is best
    assert rank_frames(Given(torch.zeros(30, 24), frame_scores), likes).above.tolist() == [0] * 30
    assert rank_frames(Given(torch.zeros(30, 24), -frame_scores), likes).above.tolist() == [2] * 30


def test_a_like_of_a_frame_without_a_feature_is_left_out_and_counted(tables: Tables) -> None:
    liked = tables.frame_likes.filter(split="test")["frame_id"][0]
    fewer = replace(tables, frame_features=tables.frame_features.filter(pl.col("frame_id") != liked))
    likes = held_out_likes(fewer, index_ids(fewer), "test")
    n = tables.frame_likes.filter(split="test", frame_id=liked).height
    assert likes.n_left_out == n
    assert len(likes.users) == 30 - n
    assert rank_frames(_truth(tables), likes).above.max() <= 2


def test_several_likes_of_one_movie_are_one_pair(tables: Tables) -> None:
    more = tables.frame_likes.with_columns(frame_id=pl.col("frame_id").str.replace("f0", "f2"))
    likes = held_out_likes(
        replace(tables, frame_likes=pl.concat([tables.frame_likes, more])), index_ids(tables), "test"
    )
    ranks = rank_frames(_truth(tables), likes)
    assert ranks.n_positives.tolist() == [2] * 30
    assert ranks.above.tolist() == [0, 1] * 30
    assert ranks.tied.tolist() == [1, 2] * 30


def test_the_bootstrap_resamples_users_with_all_their_pairs() -> None:
    rows = [("u0", m, 1.0) for m in "abcdefgh"] + [("u1", "a", 0.0), ("u2", "a", 0.0)]
    users, movies, values = (list(column) for column in zip(*rows, strict=True))
    table = pl.DataFrame({"user_id": users, "movie_id": movies, "value": values}).select(
        pl.lit("m").alias("model"), pl.lit(0).alias("seed"), pl.lit("frame").alias("task"),
        pl.lit("hr").alias("metric"), pl.lit(1, pl.UInt32).alias("k"), pl.all(),
    )  # fmt: skip
    row = average(table.cast({"seed": pl.Int64, "task": pl.Enum(["item", "frame"])}), CONFIG).row(0, named=True)
    assert row["value"] == pytest.approx(0.8)
    assert (row["ci_low"], row["ci_high"], row["n_users"]) == (0.0, 1.0, 10)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_are_refused(broken: float, tables: Tables) -> None:
    scorer = _truth(tables)
    scorer.items[3, 5] = broken
    with pytest.raises(TrainingError, match="1 of 720 scores of an item are not finite"):
        evaluate(scorer, tables, "test", "broken", 0, CONFIG)


def test_a_split_without_interactions_is_refused_with_the_remedy(tables: Tables) -> None:
    train_only = replace(tables, interactions=tables.interactions.filter(split="train"))
    with pytest.raises(TooLittleDataError, match="0 rows in split 'test'"):
        evaluate(_truth(tables), train_only, "test", "truth", 0, CONFIG)


def _data(tables: Tables):
    from model.interactions import training_data

    return training_data(tables, index_ids(tables))
