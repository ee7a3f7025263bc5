import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataset.errors import TooLittleDataError
from model.data.jagged import group_by_row
from model.training import sampling
from model.training.sampling import NegativeSampler

N_ITEMS = 9
histories = st.lists(st.sets(st.integers(0, N_ITEMS - 1), max_size=N_ITEMS - 1), min_size=1, max_size=6)


def _sampler(rows: list[set[int]]) -> NegativeSampler:
    owners = [row for row, items in enumerate(rows) for _ in items]
    items = [item for items in rows for item in items]
    return NegativeSampler(group_by_row(_int(owners), _int(items), len(rows)), N_ITEMS)


def _int(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@given(histories, st.integers(0, 2**32))
def test_a_negative_is_an_item_and_never_a_train_positive(rows: list[set[int]], seed: int) -> None:
    drawn = _sampler(rows).sample(torch.arange(len(rows)), 40, torch.Generator().manual_seed(seed))
    for row, negatives in zip(rows, drawn.tolist(), strict=True):
        assert not row & set(negatives)
        assert set(negatives) <= set(range(N_ITEMS))


@given(histories, st.integers(0, 2**32))
def test_the_negatives_of_an_epoch_are_never_train_positives_either(rows: list[set[int]], seed: int) -> None:
    users = torch.arange(len(rows)).repeat_interleave(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "_BLOCK_USERS", 3)
        drawn = _sampler(rows).sample_all(users, 4, torch.Generator().manual_seed(seed))
    for user, negatives in zip(users.tolist(), drawn.tolist(), strict=True):
        assert not rows[user] & set(negatives)
        assert set(negatives) <= set(range(N_ITEMS))


@given(histories)
def test_all_items_except_the_positives_are_drawn_equally_often(rows: list[set[int]]) -> None:
    n = 4000
    drawn = _sampler(rows).sample(torch.arange(len(rows)), n, torch.Generator().manual_seed(0))
    for row, negatives in zip(rows, drawn, strict=True):
        counts = torch.bincount(negatives, minlength=N_ITEMS)
        expected = n / (N_ITEMS - len(row))
        for item in set(range(N_ITEMS)) - row:
            assert abs(int(counts[item]) - expected) < 6 * expected**0.5


def test_a_seed_determines_the_negatives_and_the_next_draw_differs() -> None:
    sampler, generator = _sampler([{1, 2}, {3}]), torch.Generator().manual_seed(5)
    users = torch.tensor([0, 1, 0])
    first, second = sampler.sample(users, 20, generator), sampler.sample(users, 20, generator)
    assert torch.equal(first, sampler.sample(users, 20, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, second)


def test_a_seed_determines_the_negatives_of_an_epoch() -> None:
    sampler, users = _sampler([{1, 2}, {3}]), torch.arange(2).repeat_interleave(30)
    first, again, other = (sampler.sample_all(users, 4, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert first.dtype == torch.int32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_user_and_each_positive_gets_its_own_negatives() -> None:
    drawn = _sampler([set(), set()]).sample(torch.tensor([0, 0, 1]), 40, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 40)
    assert len(torch.unique(drawn, dim=0)) == 3


def test_every_item_of_a_very_large_catalogue_can_be_drawn() -> None:
    sampler = NegativeSampler(group_by_row(_int([]), _int([]), 1), 1 << 40)
    drawn = sampler.sample(torch.tensor([0]), 2000, torch.Generator().manual_seed(0))
    assert len(torch.unique(drawn % 1024)) > 500  # a float32 would reach every 65,536th item only


def test_a_user_who_has_seen_everything_is_refused_with_the_count() -> None:
    with pytest.raises(
        TooLittleDataError, match="1 users have interacted with all of the 9 movies in train, so no negative"
    ):
        _sampler([{1}, set(range(N_ITEMS))])
