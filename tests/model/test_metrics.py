"""Metrics against values computed by hand, against torchmetrics, and by their mathematical properties."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from model.evaluation.expectation import expected_ranking
from model.evaluation.metrics import METRICS, average_precision, hit_ratio, ndcg, precision, recall, reciprocal_rank
from model.evaluation.rank_counts import RankCounts, order_positives


def ranks_of(rows: list[list[float]], positives: list[int]) -> RankCounts:
    """One user per row; all scores of the row are candidates."""
    scores = torch.tensor(rows, dtype=torch.float64)
    n_users, n_items = scores.shape
    is_negative = torch.ones(n_items, dtype=torch.bool)
    is_negative[positives] = False
    owners = torch.arange(n_users).repeat_interleave(len(positives))
    own = scores[:, positives].flatten()
    order, before, place, group = order_positives(owners, own)
    own, negatives = own[order, None], scores[:, is_negative][owners]
    counts = (torch.full((n_users,), len(positives)), torch.full((n_users,), n_items - len(positives)))
    return RankCounts(owners, before, (negatives > own).sum(1), (negatives == own).sum(1), place, group, *counts)


@contextmanager
def in_double() -> Iterator[None]:
    """Make torchmetrics, which converts everything to float32, compute in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double), mock.patch("torch.float32", torch.float64):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def value(name: str, scores: list[float], positives: list[int], k: int, n_sampled: int | None = None) -> float:
    return METRICS[name](expected_ranking(ranks_of([scores], positives), k, n_sampled), k).item()


def test_known_ranks_give_the_values_computed_by_hand() -> None:
    ranking = expected_ranking(ranks_of([[0.9, 0.8, 0.7, 0.6, 0.5]], positives=[0, 2, 4]), 5)  # ranks 1, 3, 5
    assert hit_ratio(ranking, 1).item() == 1.0  # one hit of min(3, 1)
    assert hit_ratio(ranking, 2).item() == 0.5
    assert hit_ratio(ranking, 3).item() == pytest.approx(2 / 3)
    assert recall(ranking, 2).item() == pytest.approx(1 / 3)
    assert precision(ranking, 4).item() == 0.5
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg(ranking, 3).item() == pytest.approx((1 + 1 / 2) / ideal)
    assert ndcg(ranking, 5).item() == pytest.approx((1 + 1 / 2 + 1 / math.log2(6)) / ideal)
    assert ndcg(ranking, 2).item() == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert average_precision(ranking, 5).item() == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(ranking, 2).item() == pytest.approx(1 / 2)
    assert value("mrr", [0.9, 0.8, 0.7, 0.6], [3, 2], 4) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, 1).item() == 1.0


def test_each_user_is_judged_on_their_own_positives() -> None:
    one = torch.ones(3, dtype=torch.int64)
    ranks = RankCounts(
        owners=torch.tensor([0, 1, 1]), positives_before=torch.tensor([0, 0, 1]),
        negatives_above=torch.tensor([4, 0, 1]),
        negatives_tied=0 * one,
        place=0 * one, group_size=one, n_positives=torch.tensor([1, 2]), n_negatives=torch.tensor([9, 9]),
    )  # fmt: skip
    assert recall(expected_ranking(ranks, 3), 3).tolist() == [0.0, 1.0]
    assert recall(expected_ranking(ranks, 3), 1).tolist() == [0.0, 0.5]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.data(), st.integers(1, 6))
def test_ties_give_the_mean_over_all_orders_of_the_tied(scores: list[int], data: st.DataObject, k: int) -> None:
    positives = sorted(data.draw(st.sets(st.sampled_from(range(len(scores))), min_size=1)))
    orders = itertools.permutations(range(len(scores)))
    broken = [[s + n / 100 for s, n in zip(scores, noise, strict=True)] for noise in orders]
    tied, untied = expected_ranking(ranks_of([scores], positives), k), expected_ranking(ranks_of(broken, positives), k)
    for name, metric in METRICS.items():
        assert metric(tied, k).item() == pytest.approx(metric(untied, k).mean().item(), abs=1e-12), name


@settings(max_examples=60)
@given(st.integers(2, 60), st.data())
def test_random_rankings_agree_with_torchmetrics(n: int, data: st.DataObject) -> None:
    positives = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n)))
    k = data.draw(st.integers(1, n))
    scores = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 999))))
    relevant = torch.zeros(n, dtype=torch.bool)
    relevant[positives] = True
    found = int(relevant[scores.argsort(descending=True)[:k]].sum())
    with in_double():
        theirs = {
            "recall": retrieval_recall(scores, relevant, top_k=k),
            "precision": retrieval_precision(scores, relevant, top_k=k),
            "ndcg": retrieval_normalized_dcg(scores, relevant, top_k=k),
            "mrr": retrieval_reciprocal_rank(scores, relevant, top_k=k),
            # divided by the positives found, not by min(|P|, K)
            "map": retrieval_average_precision(scores, relevant, top_k=k) * found / min(len(positives), k),
            "hr": torch.tensor(found / min(len(positives), k)),
        }
    assert set(theirs) == set(METRICS)
    for name, expected in theirs.items():
        assert value(name, scores.tolist(), positives, k) == pytest.approx(float(expected), abs=1e-9), name


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.data())
def test_ndcg_of_ties_agrees_with_torchmetrics_which_averages_them_too(scores: list[int], data: st.DataObject) -> None:
    positives = sorted(data.draw(st.sets(st.sampled_from(range(len(scores))), min_size=1)))
    relevant = torch.zeros(len(scores), dtype=torch.bool)
    relevant[positives] = True
    with in_double():
        theirs = float(retrieval_normalized_dcg(torch.tensor(scores, dtype=torch.float64), relevant))
    assert value("ndcg", [float(s) for s in scores], positives, len(scores)) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("k", [1, 5, 12])
def test_a_constant_scorer_gets_the_expected_value_of_a_random_one(k: int) -> None:
    for n_sampled, n_candidates in ((None, 30), (10, 12), (1000, 30)):
        constant = expected_ranking(ranks_of([[1.0] * 30], positives=[3, 4]), k, n_sampled)
        assert recall(constant, k).item() == pytest.approx(min(1, k / n_candidates), abs=1e-12)
        discounts = sum(1 / math.log2(r + 1) for r in range(1, min(k, n_candidates) + 1))
        ideal = sum(1 / math.log2(r + 1) for r in range(1, min(2, k) + 1))
        assert ndcg(constant, k).item() == pytest.approx(2 * discounts / n_candidates / ideal, abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=3, max_size=12), st.data(), st.sampled_from([None, 2, 100]))
def test_item_order_and_monotone_transformations_change_nothing(
    scores: list[int], data: st.DataObject, n_sampled: int | None
) -> None:
    order = data.draw(st.permutations(range(len(scores))))
    shuffled = [float(scores[i]) for i in order]
    stretched = [math.exp(score) for score in scores]
    moved = [order.index(0), order.index(1)]
    same, other, another = (
        expected_ranking(ranks_of([row], positives), 5, n_sampled)
        for row, positives in ((scores, [0, 1]), (shuffled, moved), (stretched, [0, 1]))
    )
    for metric, k in itertools.product(METRICS.values(), (1, 3, 5)):
        assert metric(other, k).item() == pytest.approx(metric(same, k).item(), abs=1e-12)
        assert metric(another, k).item() == pytest.approx(metric(same, k).item(), abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12), st.sampled_from([None, 1, 3, 100]))
def test_recall_and_mrr_grow_with_k_and_nothing_leaves_0_to_1(scores: list[int], n_sampled: int | None) -> None:
    ranking = expected_ranking(ranks_of([[float(s) for s in scores]], [0, 1]), 12, n_sampled)
    for metric in (recall, reciprocal_rank):
        values = [metric(ranking, k).item() for k in range(1, 13)]
        assert all(after >= before - 1e-15 for before, after in itertools.pairwise(values))
    assert recall(ranking, 12).item() == pytest.approx(1.0)
    assert all(-1e-15 <= METRICS[name](ranking, k).item() <= 1 + 1e-12 for name in METRICS for k in range(1, 13))


def test_a_larger_k_max_changes_no_metric() -> None:
    scores, positives = [float(-(i % 7)) for i in range(30)], [0, 7, 25]
    for n_sampled in (None, 10):
        few, many = (expected_ranking(ranks_of([scores], positives), k_max, n_sampled) for k_max in (8, 30))
        for k, name in itertools.product(range(1, 9), METRICS):
            assert METRICS[name](few, k).item() == pytest.approx(METRICS[name](many, k).item(), abs=1e-12)
