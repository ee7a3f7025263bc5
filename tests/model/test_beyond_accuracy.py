"""Coverage, Gini index and popularity of known lists, and their expectation under ties."""

import pytest
import torch

from model.evaluation.beyond_accuracy import RecommendedLists


def lists_of(scores: list[list[float]], k: int, popularity: list[int] | None = None) -> RecommendedLists:
    lists = RecommendedLists((k,), torch.tensor(popularity or [0] * len(scores[0])))
    for row in scores:  # block by block
        lists.add(lists.top(torch.tensor([row])))
    return lists


def test_lists_without_ties_give_the_values_computed_by_hand() -> None:
    lists = lists_of([[3, 2, 1, 0], [3, 1, 2, 0], [3, 2, 1, 0]], 2, [10, 4, 2, 0])
    assert lists.coverage(2) == pytest.approx(3 / 4)
    # lists with each item: 0, 1, 2, 3
    assert lists.gini(2) == pytest.approx((-3 * 0 - 1 * 1 + 1 * 2 + 3 * 3) / (4 * 6))
    assert lists.average_popularity(2).tolist() == [7, 6, 7]


def test_gini_is_highest_for_always_the_same_item_and_zero_for_equal_exposure() -> None:
    n = 50
    same = lists_of([[1.0] + [0.5 - i / 100 for i in range(n - 1)]] * 3, 1)
    assert same.gini(1) == pytest.approx((n - 1) / n)
    assert same.coverage(1) == pytest.approx(1 / n)
    tied = lists_of([[1.0] * n] * 3, 5)
    assert tied.gini(5) == pytest.approx(0, abs=1e-12)
    assert tied.coverage(5) == pytest.approx(1 - (1 - 5 / n) ** 3)  # users' ties are broken independently


def test_ties_at_the_end_of_the_list_share_its_last_places() -> None:
    lists = lists_of([[9, 5, 5, 5, 1]], 3, [1, 10, 20, 30, 100])
    assert lists.coverage(3) == pytest.approx((1 + 3 * 2 / 3) / 5)
    assert lists.average_popularity(3).item() == pytest.approx((1 + 2 / 3 * 60) / 3)


def test_items_that_are_not_candidates_are_never_recommended_even_if_few_are_left() -> None:
    gone = float("-inf")
    lists = lists_of([[gone, 1, gone, 0], [gone, gone, gone, gone]], 3, [9, 2, 9, 4])
    assert lists.coverage(3) == pytest.approx(2 / 4)
    assert lists.average_popularity(3).tolist() == [3, 0]


def test_lists_longer_than_the_catalogue_contain_all_items() -> None:
    assert lists_of([[1, 2]], 10).coverage(10) == 1
