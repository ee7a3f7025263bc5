import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.metrics import METRICS, Ranks, hit_ratio, ndcg, rank_within_rows, recall


def _ranks(scores: list[float], positives: list[int], k_max: int = 20) -> Ranks:
    """One user whose candidates are all of `scores`."""
    row = torch.tensor([scores], dtype=torch.float64)
    rows = torch.zeros(len(positives), dtype=torch.int64)
    above, tied = rank_within_rows(row, rows, row[0, positives], k_max)
    return Ranks(rows, above, tied, torch.tensor([len(positives)]))


def test_known_ranks_give_the_values_computed_by_hand() -> None:
    ranks = _ranks([0.9, 0.8, 0.7, 0.6, 0.5], positives=[0, 2, 4])  # ranks 1, 3, 5
    assert hit_ratio(ranks, 1).item() == 1.0  # one hit of min(3, 1)
    assert hit_ratio(ranks, 2).item() == 0.5
    assert hit_ratio(ranks, 3).item() == pytest.approx(2 / 3)
    assert recall(ranks, 2).item() == pytest.approx(1 / 3)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg(ranks, 3).item() == pytest.approx((1 + 1 / 2) / ideal)
    assert ndcg(ranks, 5).item() == pytest.approx((1 + 1 / 2 + 1 / math.log2(6)) / ideal)
    assert ndcg(ranks, 2).item() == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_users_are_kept_apart() -> None:
    ranks = Ranks(torch.tensor([0, 1, 1]), torch.tensor([4, 0, 2]), torch.tensor([1, 1, 1]), torch.tensor([1, 2]))
    assert recall(ranks, 3).tolist() == [0.0, 1.0]
    assert recall(ranks, 1).tolist() == [0.0, 0.5]


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
    st.data(),
    st.integers(1, 6),
    st.sampled_from(sorted(METRICS)),
)
def test_ties_give_the_mean_over_all_orders_of_the_tied(
    scores: list[int], data: st.DataObject, k: int, name: str
) -> None:
    positives = sorted(data.draw(st.sets(st.sampled_from(range(len(scores))), min_size=1)))
    got = METRICS[name](_ranks([float(s) for s in scores], positives), k).item()
    values = []
    for noise in itertools.permutations(range(len(scores))):
        broken = [score + n / 100 for score, n in zip(scores, noise, strict=True)]
        values.append(METRICS[name](_ranks(broken, positives), k).item())
    assert got == pytest.approx(sum(values) / len(values), abs=1e-12)


@pytest.mark.parametrize("k", [1, 5, 12])
def test_a_constant_scorer_gets_what_random_gets_on_average(k: int) -> None:
    constant = _ranks([1.0] * 30, positives=[3, 4])
    assert recall(constant, k).item() == pytest.approx(k / 30)
    discounts = sum(1 / math.log2(r + 1) for r in range(1, k + 1))
    ideal = sum(1 / math.log2(r + 1) for r in range(1, min(2, k) + 1))
    assert ndcg(constant, k).item() == pytest.approx(2 * discounts / 30 / ideal)


@given(st.lists(st.integers(-3, 3), min_size=3, max_size=12), st.data())
def test_item_order_and_monotone_transformations_change_nothing(scores: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(scores))))
    shuffled = [float(scores[i]) for i in order]
    stretched = [math.exp(score) for score in scores]
    for name, k in itertools.product(METRICS, (1, 3, 5)):
        expected = METRICS[name](_ranks([float(s) for s in scores], [0, 1]), k).item()
        moved = [order.index(0), order.index(1)]
        assert METRICS[name](_ranks(shuffled, moved), k).item() == pytest.approx(expected)
        assert METRICS[name](_ranks(stretched, [0, 1]), k).item() == pytest.approx(expected)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_recall_grows_with_k_and_nothing_leaves_0_to_1(scores: list[int]) -> None:
    ranks = _ranks([float(s) for s in scores], [0, 1])
    recalls = [recall(ranks, k).item() for k in range(1, 13)]
    assert recalls == sorted(recalls)
    assert recalls[len(scores) - 1] == 1.0
    assert all(0 <= METRICS[name](ranks, k).item() <= 1 + 1e-12 for name in METRICS for k in range(1, 13))


def test_ranks_beyond_the_largest_k_are_cut_off_without_changing_a_metric() -> None:
    scores, positives = [float(-i) for i in range(30)], [0, 7, 25]
    for k, name in itertools.product(range(1, 9), METRICS):
        exact, cut = _ranks(scores, positives, 30), _ranks(scores, positives, 8)
        assert METRICS[name](cut, k).item() == METRICS[name](exact, k).item()
