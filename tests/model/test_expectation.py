"""The closed form of the sampled protocol: against scipy, all samples of a small case, and simulation."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from model.data.jagged import group_by_row
from model.data.tensors import HeldOutItems
from model.evaluation.expectation import (
    _hypergeometric,
    _reach,
    _tie_order,
    _tied_between,
    _tied_last,
    expected_ranking,
)
from model.evaluation.metrics import METRICS
from model.evaluation.rank_counts import RankCounts
from model.evaluation.ranking import SampledNegatives, rank_positives
from model.models.recommender import Scorer


class Table(Scorer):
    """Scores given by the test."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores

    def item_scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.scores[users]


@given(st.integers(1, 13_000), st.integers(1, 1200), st.data())
def test_the_number_sampled_above_a_positive_is_scipys_hypergeometric(u: int, n: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, u))
    h = torch.arange(50)[None, :]
    log_factorial = torch.lgamma(torch.arange(1.0, u + 52, dtype=torch.float64))
    got = _hypergeometric(torch.tensor([x]), torch.tensor([u]), n, h, log_factorial)[0]
    expected = torch.from_numpy(stats.hypergeom(u, x, min(n, u)).pmf(h[0].numpy()))
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-12)


@given(st.integers(0, 40), st.integers(1, 6), st.data())
def test_negatives_before_a_tied_positive_are_scipys_negative_hypergeometric(
    e: int, p: int, data: st.DataObject
) -> None:
    j = data.draw(st.integers(0, p - 1))
    one = torch.ones(1, dtype=torch.int64)
    log_factorial = torch.lgamma(torch.arange(1.0, 100, dtype=torch.float64))
    _, m, got = _tie_order(e * one, j * one, p * one, 1000 * one, log_factorial)
    assert m.tolist() == list(range(e + 1))
    expected = stats.nhypergeom(e + p, e, j + 1).pmf(m.numpy()) if e else [1.0]
    assert got.tolist() == pytest.approx(list(expected), abs=1e-10)


@given(st.integers(1, 20_000), st.integers(1, 1000), st.integers(1, 50))
def test_positives_out_of_reach_have_negligible_probability(u: int, n: int, k: int) -> None:
    reach = int(_reach(torch.tensor([u]), n, k)[0])
    if reach <= u:
        assert stats.hypergeom(u, reach, min(n, u)).cdf(k - 1) < 1e-18


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=6), st.integers(1, 3), st.integers(1, 5))
def test_the_expectation_is_the_mean_over_all_samples_and_all_orders_of_the_tied(
    scores: list[int], n: int, k: int
) -> None:
    """Two positives, the first two items; the ranking of every sample, under every order of equal scores."""
    items = range(len(scores))
    held_out = HeldOutItems(group_by_row(torch.tensor([0, 0]), torch.tensor([0, 1]), 1), _nothing(1))
    ranks = rank_positives(Table(torch.tensor([scores], dtype=torch.float64)), held_out).counts
    got = expected_ranking(ranks, k, n)
    samples = list(itertools.combinations(items[2:], min(n, len(scores) - 2)))
    broken: list[list[float]] = []
    for noise in itertools.permutations(items):
        broken += [[s + i / 100 for s, i in zip(scores, noise, strict=True)]] * len(samples)
    known = torch.ones(len(samples), len(scores), dtype=torch.bool)  # what is known is no candidate
    known[:, :2] = False
    for row, sample in enumerate(samples):
        known[row, list(sample)] = False
    users, others = known.repeat(len(broken) // len(samples), 1).nonzero(as_tuple=True)
    every = torch.arange(len(broken))
    positives = group_by_row(every.repeat_interleave(2), torch.tensor([0, 1]).repeat(len(broken)), len(broken))
    drawn = HeldOutItems(positives, group_by_row(users, others, len(broken)))
    ranking = expected_ranking(rank_positives(Table(torch.tensor(broken, dtype=torch.float64)), drawn).counts, k)
    for name, metric in METRICS.items():
        assert metric(got, k).item() == pytest.approx(metric(ranking, k).mean().item(), abs=1e-12), name


@pytest.mark.parametrize("kind", ["embeddings", "many ties", "few unrated"])
def test_200_sampled_repetitions_agree_with_the_expectation_in_every_metric_and_k(kind: str, sampled_rankings) -> None:
    """The mean of 200 repetitions is within 4 standard errors, and the errors are as large as they should be."""
    n_users, n_items, n_sampled, n_repeats, k_max = 120, 150, 60, 200, 20
    generator = torch.Generator().manual_seed(7)
    chosen = torch.rand(n_users, n_items, generator=generator).argsort(1)
    n_known = 110 if kind == "few unrated" else 20
    scores = torch.randn(n_users, 6, generator=generator) @ torch.randn(6, n_items, generator=generator)
    if kind == "many ties":
        scores = scores.round()

    def part(start: int, stop: int):
        owners = torch.arange(n_users).repeat_interleave(stop - start)
        return group_by_row(owners, chosen[:, start:stop].flatten(), n_users)

    held_out = HeldOutItems(part(n_known, n_known + 5), part(0, n_known))
    exact = expected_ranking(rank_positives(Table(scores), held_out).counts, k_max, n_sampled)
    repeats = sampled_rankings(Table(scores), held_out, k_max, SampledNegatives(n_sampled, n_repeats, 3))
    errors = []
    for name, k in itertools.product(METRICS, (1, 2, 5, 10, 20)):
        means = torch.stack([METRICS[name](repeat, k).mean() for repeat in repeats])
        difference = float(means.mean() - METRICS[name](exact, k).mean())
        if kind == "few unrated":  # all of them are taken, always
            assert difference == pytest.approx(0, abs=1e-12)
            continue
        errors.append(difference / float(means.std() / n_repeats**0.5))
        assert abs(errors[-1]) < 4, (name, k)
    assert kind == "few unrated" or 0.2 < sum(e * e for e in errors) / len(errors) < 4


@pytest.mark.parametrize(("u", "g", "j", "p"), [(300, 0, 0, 1), (300, 20, 3, 7), (300, 250, 0, 1), (60, 5, 1, 3)])
def test_both_forms_for_ties_give_the_sum_over_all_places_of_the_tie(u: int, g: int, j: int, p: int) -> None:
    """With nothing below the tie, the general form holds too; n = 100."""
    h = torch.arange(50)[None, :]
    log_factorial = torch.lgamma(torch.arange(1.0, 500, dtype=torch.float64))
    m = range(u - g + 1)
    places = stats.nhypergeom(u - g + p, u - g, j + 1).pmf(m)
    expected = sum(places[i] * stats.hypergeom(u, g + i, min(100, u)).pmf(h[0].numpy()) for i in m)
    for form in (_tied_last, _tied_between):
        got = form(torch.tensor([[u, g, u - g, j, p]]), 100, h, log_factorial)[0]
        assert got.tolist() == pytest.approx(list(expected), abs=1e-10), form.__name__


def test_large_groups_of_tied_positives_neither_overflow_nor_vanish() -> None:
    u, n_positives = 8000, 2000
    j = torch.arange(n_positives)
    owners, group = torch.zeros_like(j), torch.full_like(j, n_positives)
    all_tied = RankCounts(owners, j, 0 * j, 0 * j + u, j, group, group[:1], 0 * group[:1] + u)
    got = METRICS["precision"](expected_ranking(all_tied, 50, 1000), 50).item()
    assert got == pytest.approx(n_positives / (n_positives + 1000), abs=1e-9)


def test_the_sum_over_a_tied_group_in_parts_is_right_for_a_large_catalogue() -> None:
    n, u = 30, 20_000
    one = torch.ones(n, dtype=torch.int64)
    numbers = torch.arange(n)
    ranks = RankCounts(numbers, 0 * one, 0 * one, u - numbers, 0 * one, one, one, u - numbers)
    got = METRICS["recall"](expected_ranking(ranks, 50, 1000), 50)
    torch.testing.assert_close(got, torch.full((n,), 50 / 1001, dtype=torch.float64), rtol=1e-8, atol=0)


def _nothing(n_users: int):
    return group_by_row(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), n_users)
