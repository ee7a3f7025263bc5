"""The graph of users and items, and its propagation of embeddings (LightGCN, He et al., SIGIR 2020).

With A the (M, N) matrix of train interactions and D_u, D_i its row and column sums, a layer is

    U^(k+1) = D_u^(−1/2) A D_i^(−1/2) V^(k),    V^(k+1) = D_i^(−1/2) Aᵀ D_u^(−1/2) U^(k)      (Eq. 3, 8)

and the result is the mean of the layers 0, …, K (Eq. 4 with α_k = 1 / (K + 1)). With `self_loops` a layer is the mean
over a node's neighbours and itself instead, D⁻¹ (A + I), as LATTICE has it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from model.data.jagged import JaggedTensor, group_by_row


class UserItemGraph(nn.Module):
    """The train interactions as a graph. It has nothing to learn and is no part of a checkpoint.

    Args:
        positives: for each of the M users, the items of their train interactions.
        n_items: N.
        self_loops: whether a layer is the mean over the neighbours and the node itself.
    """

    items: Tensor  # (n,) the items of each user, user after user
    item_starts: Tensor  # (M,)
    users: Tensor  # (n,) the users of each item, item after item
    user_starts: Tensor  # (N,)
    user_degrees: Tensor  # (M, 1)
    item_degrees: Tensor  # (N, 1)

    def __init__(self, positives: JaggedTensor, n_items: int, self_loops: bool = False) -> None:
        super().__init__()
        self._positives, self.self_loops = positives, self_loops
        of_items = group_by_row(positives.values, positives.owners, n_items)
        buffers = {
            "items": positives.values,
            "item_starts": positives.offsets[:-1],
            "users": of_items.values,
            "user_starts": of_items.offsets[:-1],
            "user_degrees": positives.lengths[:, None],
            "item_degrees": of_items.lengths[:, None],
        }
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def thinned(self, share: float, generator: torch.Generator) -> "UserItemGraph":
        """Return the graph of a random `share` of the interactions, at least one, on the same device.

        They are drawn without replacement, each with a probability proportional to 1 / √(d_a d_i), so that an edge
        between a busy user and a popular item is often left out (degree-sensitive edge pruning, FREEDOM, Sec. 3.2).
        """
        positives = self._positives
        owners, values = positives.owners, positives.values
        degrees = self.user_degrees.flatten().cpu()[owners] * self.item_degrees.flatten().cpu()[values]
        uniform = torch.rand(len(values), generator=generator, dtype=torch.float64, device=generator.device).cpu()
        keys = -(-uniform.log()).log() - 0.5 * degrees.double().log()  # the largest win (Gumbel)
        kept = torch.topk(keys, max(1, round(share * len(values))), sorted=False).indices.sort().values
        thinned = group_by_row(owners[kept], values[kept], len(positives.offsets) - 1)
        return UserItemGraph(thinned, len(self.item_degrees), self.self_loops).to(self.items.device)

    def of_new_people(self, histories: JaggedTensor, users: Tensor) -> "UserItemGraph":
        """Return the graph as people see it who were not in training.

        Args:
            histories: the items of each of them.
            users: (M, d), layer 0 of the train users.
        """
        return GraphOfNewPeople(self, histories, users.detach())

    def layers(self, users: Tensor, items: Tensor, n_layers: int) -> list[tuple[Tensor, Tensor]]:
        """Return the layers 0, …, `n_layers`: (M, d) of users and (N, d) of items."""
        layer = self._mean_layer if self.self_loops else self._symmetric_layer
        found = [(users, items)]
        for _ in range(n_layers):
            found.append(layer(*found[-1]))
        return found

    def propagate(self, users: Tensor, items: Tensor, n_layers: int) -> tuple[Tensor, Tensor]:
        """Return the means of the layers 0, …, `n_layers`: (M, d) of users and (N, d) of items.

        Args:
            users: (M, d), layer 0.
            items: (N, d), layer 0.
            n_layers: K.
        """
        of_users, of_items = zip(*self.layers(users, items, n_layers), strict=True)
        return sum(of_users[1:], users) / (n_layers + 1), sum(of_items[1:], items) / (n_layers + 1)

    def _symmetric_layer(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        user_scale, item_scale = (_inverse_root(degrees, users) for degrees in (self.user_degrees, self.item_degrees))
        of_users, of_items = self._sums(user_scale * users, item_scale * items)
        return user_scale * of_users, item_scale * of_items

    def _mean_layer(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        of_users, of_items = self._sums(users, items)
        return (users + of_users) / (self.user_degrees + 1), (items + of_items) / (self.item_degrees + 1)

    def _sums(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return (M, d) sums of the users' items and (N, d) sums of the items' users."""
        of_users, of_items = (self.items, self.item_starts), (self.users, self.user_starts)
        return (
            _SumOfNeighbours.apply(items, of_users, of_items),
            _SumOfNeighbours.apply(users, of_items, of_users),
        )


class GraphOfNewPeople(UserItemGraph):
    """The graph as people see it who were not in training: it leads from their items to them, and not back.

    So the items' layers are those of the training, and what one person is recommended does not depend on the others.
    """

    def __init__(self, graph: UserItemGraph, histories: JaggedTensor, users: Tensor) -> None:
        nn.Module.__init__(self)
        self._graph, self._histories, self._train_users = graph, histories.to(users.device), users
        self._known: tuple[Tensor, Tensor, Tensor] | None = None

    def thinned(self, share: float, generator: torch.Generator) -> UserItemGraph:
        """Return the graph as it is: nothing is left out for new people."""
        return self

    def propagate(self, users: Tensor, items: Tensor, n_layers: int) -> tuple[Tensor, Tensor]:
        """Return the means of the layers 0, …, `n_layers`: (n, d) of the new people and (N, d) of the items.

        Args:
            users: (n, d), layer 0 of the new people.
            items: (N, d), layer 0 of the items, the same in every call.
            n_layers: K, the same in every call.
        """
        if self._known is None:
            self._known = self._layers(items.detach(), n_layers)
        of_items, own, of_people = self._known
        return (own * users + of_people) / (n_layers + 1), of_items

    @torch.no_grad()
    def _layers(self, items: Tensor, n_layers: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (N, d) means of the items' layers, and a (n, 1) and b (n, d): people's layers sum up to a · u⁰ + b."""
        graph, histories = self._graph, self._histories
        layers = [of_items for _, of_items in graph.layers(self._train_users, items, n_layers)]
        degrees = histories.lengths[:, None]
        own, rest = items.new_ones(len(degrees), 1), items.new_zeros(len(degrees), items.shape[1])
        own_sum, rest_sum = own, rest
        for layer in layers[:-1]:
            if graph.self_loops:
                own, rest = own / (degrees + 1), (rest + self._sums_of_items(layer)) / (degrees + 1)
                own_sum = own_sum + own
            else:
                scaled = _inverse_root(graph.item_degrees, items) * layer
                rest = _inverse_root(degrees, items) * self._sums_of_items(scaled)
            rest_sum = rest_sum + rest
        return sum(layers[1:], layers[0]) / len(layers), own_sum, rest_sum

    def _sums_of_items(self, items: Tensor) -> Tensor:
        """Return (n, d) sums of the people's items."""
        return embedding_bag(self._histories.values, items, self._histories.offsets[:-1], mode="sum")


def _inverse_root(degrees: Tensor, like: Tensor) -> Tensor:
    """Return 1 / √degree, 0 for a degree of 0."""
    return torch.where(degrees > 0, degrees.clamp_min(1).to(like.dtype).rsqrt(), 0.0)


class _SumOfNeighbours(torch.autograd.Function):
    """A x for a 0-1 matrix A, given as the neighbours of its rows; the gradient is Aᵀ times that of the result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
        ctx.rows, ctx.columns = rows, columns
        return embedding_bag(rows[0], x, rows[1], mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return embedding_bag(ctx.columns[0], gradient.contiguous(), ctx.columns[1], mode="sum"), None, None
