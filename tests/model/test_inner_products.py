"""Scores of pairs and their gradients are those of the plain formula, whatever the pairs' order and repeats."""

import pytest
import torch

from model.models.inner_products import inner_products


@pytest.mark.parametrize("ascend", [True, False])
@pytest.mark.parametrize(
    ("n_users", "n_items", "dim", "shape"),
    [(5, 7, 3, (4, 2)), (1, 9, 2, (4, 2)), (1, 7, 3, (4, 2)), (5, 1, 3, (4, 2)), (4, 3, 1, (9, 11)), (6, 5, 2, (0, 3))],
    ids=["few", "one user", "one user, twice the same item", "one item", "more pairs than places", "nothing"],
)
def test_scores_and_gradients_are_those_of_the_formula(
    n_users: int, n_items: int, dim: int, shape: tuple[int, int], ascend: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(n_users, dim, generator=generator, dtype=torch.float64, requires_grad=True)
    v = torch.randn(n_items, dim, generator=generator, dtype=torch.float64, requires_grad=True)
    users = torch.randint(n_users, shape[:1], generator=generator)
    users = users.sort().values if ascend else users
    items = torch.randint(n_items, shape, generator=generator)
    weights = torch.randn(shape, generator=generator, dtype=torch.float64)
    plain = (u[users][:, None] * v[items]).sum(2)
    found = inner_products(u, v, users, items)
    torch.testing.assert_close(found, plain)
    expected, gradients = (torch.autograd.grad((weights * one).sum(), (u, v)) for one in (plain, found))
    torch.testing.assert_close(gradients, expected)


def test_a_table_that_learns_nothing_gets_no_gradient() -> None:
    u, v = torch.ones(4, 2, requires_grad=True), torch.ones(5, 2)
    inner_products(u, v, torch.tensor([0, 2]), torch.tensor([[1], [4]])).sum().backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None
    assert u.grad.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert v.grad is None
