import threading
from collections.abc import Iterator

import pytest
import torch

from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, training_data
from model.evaluation import score_blocks
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.ranking import full_ranking, rank_positives
from model.evaluation.threads import in_threads
from model.models.registry import MODELS, default_config
from model.training.config import TrainingConfig
from model.training.device import threads_for
from model.training.trainer import Trainer


@pytest.fixture
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("three_threads")
def test_parts_are_worked_on_by_several_threads_and_come_back_in_order() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(part: int) -> tuple[int, int]:
        if part < 3:
            meeting.wait()  # passes only if three threads are here at once
        return part, torch.get_num_threads()

    assert list(in_threads(work, range(50), 50)) == [(part, 1) for part in range(50)]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_within_threads_share_the_cores_and_not_the_operations() -> None:
    def inner(part: int) -> int:
        return sum(in_threads(lambda one: one * torch.get_num_threads(), range(part), part))

    assert list(in_threads(inner, range(5), 5)) == [0, 0, 1, 3, 6]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("n_taken", [1, 5])
def test_an_error_or_an_early_end_gives_torch_its_threads_back(n_taken: int) -> None:
    def work(part: int) -> int:
        if part == 4:
            raise ValueError("part 4")
        return part

    found = in_threads(work, range(50), 50)
    if n_taken == 1:
        next(found)
        found.close()
    else:
        with pytest.raises(ValueError, match="part 4"):
            list(found)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", MODELS)
def test_the_number_of_threads_changes_no_metric(name: str, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_blocks, "_BLOCK_SCORES", {"cpu": 50})  # two users per block
    data = training_data(tables, index_ids(tables))
    scorer = Trainer(data, None, name, default_config(name), TrainingConfig(epochs=1), 0).run().model.scorer()
    config = EvaluationConfig(item_ks=(1, 5), frame_ks=(1,), protocol="sampled", n_negatives=4, n_repeats=3)
    held_out = held_out_items(tables, index_ids(tables), "test")
    found = []
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        try:
            metrics = evaluate(scorer, tables, "test", name, 0, config).metrics
            ranked = []
            if scorer.ranks_items:
                ranked = [rank_positives(scorer, held_out).counts, full_ranking(scorer, held_out, 5)]
        finally:
            torch.set_num_threads(1)
        found.append((metrics, [counts for each in ranked for counts in vars(each).values()]))
    (first, first_counts), (other, other_counts) = found
    assert first.equals(other)
    assert all(torch.equal(a, b) for a, b in zip(first_counts, other_counts, strict=True))


@pytest.mark.parametrize(("numbers", "expected"), [(0, 2), (1 << 18, 2), (5 << 17, 5), (1 << 40, 6)])
def test_little_work_keeps_few_threads_and_much_work_all(numbers: int, expected: int) -> None:
    torch.set_num_threads(6)
    try:
        with threads_for(numbers):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(1)


def test_a_machine_with_one_core_is_not_given_two_threads() -> None:
    with threads_for(1 << 40):
        assert torch.get_num_threads() == 1
