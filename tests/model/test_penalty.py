"""The default weight of the penalty on embeddings."""

import pytest
import torch

from model.data.jagged import group_by_row
from model.data.tensors import Frames, TrainingData
from model.models.loss import l2_weight


@pytest.mark.parametrize(
    ("per_user", "n_items", "expected"),
    [
        (100, 3_650, 0.01),  # MovieLens's small set
        (20, 4_000, 0.01),
        (13, 3_500, 4 / 13**2),
        (9, 3_500, 4 / 9**2),
        (8, 3_500, 0.05),
        (1, 100, 0.05),
        (27, 40_981, 0.01 * 4_000 / 40_981),  # Gowalla
        (8, 40_000, 0.005),
        (20, 1_000_000, 4e-5),
    ],
)
def test_the_default_penalty_of_pairs_falls_with_the_interactions_and_with_many_items(
    per_user: int, n_items: int, expected: float
) -> None:
    n = 3
    owners = torch.arange(n).repeat_interleave(per_user)
    positives = group_by_row(owners, torch.arange(n * per_user) % n_items, n)
    data = TrainingData(positives, n_items, Frames(torch.zeros(n_items + 1, dtype=torch.int64), None))
    assert l2_weight(None, "bpr", data) == pytest.approx(expected, rel=0.01)
    assert l2_weight(None, "softmax", data) == 0.1
    assert l2_weight(0.3, "bpr", data) == 0.3
