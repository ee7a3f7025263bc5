from dataclasses import dataclass, replace

import polars as pl
import pytest
import torch

from dataset.errors import InvalidTableError, TooLittleDataError, TrainingError
from model.data.jagged import JaggedTensor
from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, held_out_likes, training_data
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import recall
from model.evaluation.ranking import (
    SampledNegatives,
    full_ranking,
    rank_liked_frames,
    rank_positives,
)
from model.models.recommender import FrameScorer
from model.models.registry import default_config, make_model
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

CONFIG = EvaluationConfig(
    item_ks=(1, 5), frame_ks=(1, 2), protocol="sampled", n_negatives=4, n_repeats=3, n_bootstrap=200
)


@dataclass(frozen=True)
class Given(FrameScorer):
    """Scores given by the test."""

    items: torch.Tensor
    frames: torch.Tensor

    def item_scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.items[users]

    def frame_scores(self, users: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        return self.frames[frames]


def _value(metrics: pl.DataFrame, task: str, metric: str, k: int) -> float:
    return metrics.filter(pl.col("task").cast(pl.String) == task, metric=metric, k=k)["value"].item()


def _truth(tables: Tables) -> Given:
    """Return a perfect scorer: it knows the test interactions and the first frame of every movie."""
    items = held_out_items(tables, index_ids(tables), "test").positives.mask(torch.arange(30), 24).float()
    return Given(items, torch.tensor([1.0, 0.0, 0.0] * 24))


def test_a_perfect_scorer_gets_one_in_every_metric(tables: Tables) -> None:
    evaluation = evaluate(_truth(tables), tables, "test", "truth", 0, CONFIG)
    of_lists = pl.col("metric").is_in(["full_precision", "full_arp", "full_coverage", "full_gini"])
    metrics = evaluation.metrics.filter(~of_lists)
    assert metrics["value"].to_list() == pytest.approx([1.0] * metrics.height)
    assert metrics["ci_low"].to_list() == pytest.approx(metrics["ci_high"].to_list())
    assert set(evaluation.metrics["n_users"]) == {30}
    assert evaluation.slices["value"].to_list() == pytest.approx([1.0] * evaluation.slices.height)
    users = evaluation.metrics.filter(pl.col("ci_low").is_not_null())
    assert evaluation.user_metrics.height == 30 * users.height


def test_a_constant_scorer_gets_exactly_the_expected_value_of_a_random_one(tables: Tables) -> None:
    constant = Given(torch.zeros(30, 24), torch.zeros(72))
    metrics = evaluate(constant, tables, "test", "constant", 0, CONFIG).metrics
    for metric in ("hr", "sampled_hr"):
        assert _value(metrics, "item", metric, 1) == pytest.approx(1 / 5)  # among 4 sampled negatives
    assert _value(metrics, "item", "full_hr", 5) == pytest.approx(5 / (24 - 7))  # 6 train and 1 validation are known
    assert _value(metrics, "item", "full_gini", 5) == pytest.approx(0, abs=0.05)
    assert _value(metrics, "item", "full_coverage", 5) > 0.99
    assert _value(metrics, "frame", "hr", 2) == pytest.approx(2 / 3)


def test_each_protocol_gives_its_own_metrics(tables: Tables) -> None:
    def names(protocol: str) -> set[str]:
        config = replace(CONFIG, protocol=protocol)
        evaluation = evaluate(_truth(tables), tables, "test", "truth", 0, config)
        return set(evaluation.metrics.filter(pl.col("task").cast(pl.String) == "item")["metric"])

    full = {f"full_{name}" for name in ("hr", "ndcg", "recall", "precision", "mrr", "map", "arp", "coverage", "gini")}
    assert names("full") == full
    assert names("exact") == full | {"hr", "ndcg"}
    assert names("sampled") == full | {"hr", "ndcg", "sampled_hr", "sampled_ndcg"}


def test_sampled_negatives_are_unrated_and_all_unrated_items_if_there_are_few(tables: Tables, sampled_rankings) -> None:
    ids = index_ids(tables)
    held_out = held_out_items(tables, ids, "test")
    positives = held_out.positives.mask(torch.arange(30), 24)
    rated = held_out.known.mask(torch.arange(30), 24) | positives
    best_where_rated = Given(rated.float() - positives.float() * 0.5, torch.zeros(72))
    for n_negatives in (4, 1000):
        for ranking in sampled_rankings(best_where_rated, held_out, 5, SampledNegatives(n_negatives, 3, 0)):
            assert recall(ranking, 1).mean() == 1.0  # what scores higher than the positive is never a candidate
    constant = Given(torch.zeros(30, 24), torch.zeros(72))
    all_unrated = sampled_rankings(constant, held_out, 24, SampledNegatives(1000, 1, 0))[0]
    n_candidates = 24 - 6 - 1  # known are 6 train and 1 validation
    assert recall(all_unrated, n_candidates - 1).tolist() == pytest.approx([1 - 1 / n_candidates] * 30)


def test_a_seed_samples_the_same_negatives_for_every_model_and_their_hash_proves_it(tables: Tables) -> None:
    def sampled(scorer: Given, seed: int) -> pl.DataFrame:
        metrics = evaluate(scorer, tables, "test", "m", 0, replace(CONFIG, seed=seed)).metrics
        return metrics.filter(pl.col("metric").str.starts_with("sampled_"))

    other = Given(torch.rand(30, 24, generator=torch.Generator().manual_seed(1)), torch.zeros(72))
    first, again, another_model, another_seed = (
        sampled(_truth(tables), 0), sampled(_truth(tables), 0), sampled(other, 0), sampled(_truth(tables), 1)
    )  # fmt: skip
    assert first.equals(again)
    assert set(first["negatives_sha256"]) == set(another_model["negatives_sha256"])
    assert not set(first["negatives_sha256"]) & set(another_seed["negatives_sha256"])
    assert another_model["std"].max() > 0


def test_more_repeats_extend_fewer_and_a_single_one_has_no_deviation(tables: Tables, sampled_rankings) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    few, many = (sampled_rankings(_random(tables), held_out, 5, SampledNegatives(4, n, 0)) for n in (2, 5))
    assert [ranking.hits.tolist() for ranking in few] == [ranking.hits.tolist() for ranking in many[:2]]
    once = evaluate(_random(tables), tables, "test", "random", 0, replace(CONFIG, n_repeats=1)).metrics
    assert once.filter(pl.col("metric").str.starts_with("sampled_"))["std"].is_null().all()


def test_negatives_do_not_depend_on_the_size_of_blocks(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, sampled_rankings
) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    hashes, values = set(), []
    for block_scores in (1, 24 * 7, 1 << 20):
        monkeypatch.setattr("model.evaluation.score_blocks._BLOCK_SCORES", {"cpu": block_scores})
        negatives = SampledNegatives(4, 2, 0)
        rankings = sampled_rankings(_random(tables), held_out, 5, negatives)
        hashes.add(negatives.sha256)
        values.append([ranking.hits.tolist() for ranking in rankings])
    assert len(hashes) == 1
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("name", ["random", "popular"])
def test_ranking_only_the_top_equals_ranking_everything(name: str, tables: Tables) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    scorer = make_model(name, default_config(name), training_data(tables, index_ids(tables)), 1).scorer()
    for k in (1, 5, 24, 50):
        fast, slow = full_ranking(scorer, held_out, k), expected_ranking(rank_positives(scorer, held_out).counts, k)
        for part in ("hits", "found", "first"):
            torch.testing.assert_close(getattr(fast, part), getattr(slow, part))


def test_validation_does_not_depend_on_test(tables: Tables) -> None:
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


def test_liked_frames_are_ranked_among_the_frames_of_their_movie_only(tables: Tables) -> None:
    likes = held_out_likes(tables, index_ids(tables), "test")
    frame_scores = torch.arange(72).flip(0).double()  # within a movie, the liked first frame is best
    assert (
        rank_liked_frames(Given(torch.zeros(30, 24), frame_scores), likes).counts.negatives_above.tolist() == [0] * 30
    )
    assert (
        rank_liked_frames(Given(torch.zeros(30, 24), -frame_scores), likes).counts.negatives_above.tolist() == [2] * 30
    )


def test_a_like_of_a_frame_without_a_feature_is_left_out_and_counted(tables: Tables) -> None:
    liked = tables.frame_likes.filter(split="test")["frame_id"][0]
    fewer = replace(tables, frame_features=tables.frame_features.filter(pl.col("frame_id") != liked))
    likes = held_out_likes(fewer, index_ids(fewer), "test")
    n = tables.frame_likes.filter(split="test", frame_id=liked).height
    assert len(likes.users) == 30 - n
    metrics = evaluate(_truth(tables), fewer, "test", "truth", 0, CONFIG).metrics
    assert set(metrics.filter(pl.col("task").cast(pl.String) == "frame")["n_left_out"]) == {n}
    assert rank_liked_frames(_truth(tables), likes).counts.negatives_above.max() <= 2


def test_several_likes_of_one_movie_are_one_pair(tables: Tables) -> None:
    more = tables.frame_likes.with_columns(frame_id=pl.col("frame_id").str.replace("f0", "f2"))
    likes = held_out_likes(
        replace(tables, frame_likes=pl.concat([tables.frame_likes, more])), index_ids(tables), "test"
    )
    ranks = rank_liked_frames(_truth(tables), likes).counts
    assert ranks.n_positives.tolist() == [2] * 30
    assert ranks.positives_before.tolist() == [0, 1] * 30
    assert ranks.negatives_above.tolist() == [0, 0] * 30
    assert ranks.negatives_tied.tolist() == [0, 1] * 30


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_are_refused_and_the_message_names_model_user_and_item(
    broken: float, tables: Tables
) -> None:
    scorer = _truth(tables)
    scorer.items[3, 5] = broken
    with pytest.raises(TrainingError, match=r"broken \(seed 7\) gives user 'u03' and item 'm05' the score (nan|inf)"):
        evaluate(scorer, tables, "test", "broken", 7, CONFIG)
    scorer = _truth(tables)
    liked = tables.frame_likes.filter(split="test").sort("user_id", "movie_id")[0]
    scorer.frames[index_ids(tables).frames.to_list().index(liked["frame_id"].item())] = broken
    with pytest.raises(TrainingError, match=f"gives user '.*' and frame '{liked['frame_id'].item()}' the score"):
        evaluate(scorer, tables, "test", "broken", 7, CONFIG)


def test_users_without_a_held_out_positive_are_left_out_and_counted(tables: Tables) -> None:
    gone = pl.col("user_id").is_in(["u00", "u01"]) & (pl.col("split").cast(pl.String) == "test")
    fewer = replace(
        tables, interactions=tables.interactions.filter(~gone), frame_likes=tables.frame_likes.filter(~gone)
    )
    evaluation = evaluate(_truth(fewer), fewer, "test", "truth", 0, CONFIG)
    items = evaluation.metrics.filter(pl.col("task").cast(pl.String) == "item")
    assert set(items["n_users"]) == {28}
    assert set(items["n_left_out"]) == {2}
    assert not {"u00", "u01"} & set(evaluation.user_metrics["user_id"])


def test_metrics_can_be_recomputed_from_the_held_out_ranks(tables: Tables) -> None:
    evaluation = evaluate(_random(tables), tables, "test", "random", 0, CONFIG)
    ranks = evaluation.held_out_ranks.filter(pl.col("task").cast(pl.String) == "item")
    rank = 1 + ranks["positives_before"] + ranks["negatives_above"]  # random scores do not tie
    assert ranks["negatives_tied"].sum() == 0
    hits = ranks.select("user_id", hit=rank <= 5).group_by("user_id").agg(pl.col("hit").mean()).sort("user_id")
    recalls = evaluation.user_metrics.filter(metric="full_recall", k=5).sort("user_id")
    assert hits["hit"].to_list() == pytest.approx(recalls["value"].to_list())


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_test_pair_planted_in_an_earlier_split_is_caught(split: str, tables: Tables) -> None:
    test = tables.interactions.filter(pl.col("split").cast(pl.String) == "test").head(2)
    planted = test.with_columns(pl.lit(split).cast(test["split"].dtype).alias("split"))
    leaking = replace(tables, interactions=pl.concat([tables.interactions, planted]))
    with pytest.raises(InvalidTableError, match="4 rows are user-movie pairs that occur more than once"):
        evaluate(_truth(tables), leaking, "test", "leak", 0, CONFIG)


def test_a_like_planted_on_a_train_pair_is_caught(tables: Tables) -> None:
    pair = tables.interactions.filter(pl.col("split").cast(pl.String) == "train").row(0, named=True)
    planted = tables.frame_likes.head(1).with_columns(
        user_id=pl.lit(pair["user_id"]), movie_id=pl.lit(pair["movie_id"]), frame_id=pl.lit(f"{pair['movie_id']}f0")
    )
    leaking = replace(tables, frame_likes=pl.concat([tables.frame_likes, planted]))
    with pytest.raises(InvalidTableError, match="frame_likes: 1 rows do not belong to a held-out pair of their split"):
        evaluate(_truth(tables), leaking, "test", "leak", 0, CONFIG)


def test_held_out_pairs_planted_in_the_training_data_are_caught_before_training(tables: Tables) -> None:
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    leaking = replace(data, positives=held_out_items(tables, ids, "test").known)  # train and validation
    with pytest.raises(InvalidTableError, match="30 held-out pairs are also train interactions"):
        Trainer(leaking, validation, "bpr", default_config("bpr"), TrainingConfig(), 0)
    forgotten = replace(
        validation, known=JaggedTensor(torch.zeros(31, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    )
    with pytest.raises(InvalidTableError, match="180 train interactions would be ranked as candidates"):
        Trainer(data, forgotten, "bpr", default_config("bpr"), TrainingConfig(), 0)


def test_held_out_rows_change_neither_the_training_data_nor_the_candidates(tables: Tables) -> None:
    """Training data and candidates are the same for other held-out rows and without likes."""
    ids = index_ids(tables)
    is_test = pl.col("split").cast(pl.String) == "test"
    shuffled = pl.concat([
        tables.interactions.filter(~is_test),
        tables.interactions.filter(is_test).with_columns(pl.col("movie_id").shuffle(seed=1)),
    ])  # fmt: skip
    changed = replace(tables, interactions=shuffled, frame_likes=tables.frame_likes.head(0))
    for make in (
        lambda t: training_data(t, ids).positives,
        lambda t: held_out_items(t, ids, "validation").known,
        lambda t: held_out_items(t, ids, "validation").positives,
        lambda t: held_out_items(t, ids, "test").known,
    ):
        before, after = make(tables), make(changed)
        assert torch.equal(before.offsets, after.offsets)
        assert torch.equal(before.values, after.values)


def test_a_split_without_interactions_is_refused_with_a_remedy(tables: Tables) -> None:
    train_only = replace(
        tables, interactions=tables.interactions.filter(split="train"), frame_likes=tables.frame_likes.head(0)
    )
    with pytest.raises(TooLittleDataError, match="0 rows in split 'test'"):
        evaluate(_truth(tables), train_only, "test", "truth", 0, CONFIG)


def _random(tables: Tables) -> FrameScorer:
    scorer = make_model("random", default_config("random"), training_data(tables, index_ids(tables)), 1).scorer()
    assert isinstance(scorer, FrameScorer)
    return scorer
