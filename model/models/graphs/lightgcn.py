"""LightGCN (He et al., SIGIR 2020): embeddings propagated over the graph of users and items.

r̂_ai = u_aᵀ v_i, with u and v the means of K + 1 layers (`user_item_graph`). Only layer 0 is learnt, with the BPR
loss and an L2 penalty on the layer-0 embeddings of the batch (Eq. 15), or with a softmax.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.graphs.user_item_graph import UserItemGraph
from model.models.loss import bpr_loss_of_margins, l2_of_loss, mean_squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender
from model.models.softmax import candidates, softmax_loss

GRAPH_L2: dict[Loss, float] = {"bpr": 1e-3, "softmax": 1e-2}


@dataclass(frozen=True)
class LightGCNConfig:
    """The settings.

    Attributes:
        dim: d, size of the embeddings.
        n_layers: K.
        l2: weight of the L2 penalty on the layer-0 embeddings of a batch (`loss.mean_squared_norm`); None: 0.001, with
            a softmax 0.01.
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    n_layers: int = 2
    l2: float | None = None
    init_std: float = 0.1
    loss: Loss = "bpr"


class LightGCN(TrainableRecommender):
    """The model. A new pass over the whole graph is made for each batch, so large batches are faster."""

    user_parameters = ("users",)
    tried = ("l2=0.0001,0.001,0.01", "n_layers=1,2,3")
    repeats_steps = False  # not tried on a GPU
    batch_factor = 8  # each batch passes over the whole graph

    def __init__(self, config: LightGCNConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_of_loss(config.l2, config.loss, GRAPH_L2)
        self.graph = UserItemGraph(data.positives, data.n_items)
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Make these people users whom the graph leads to, but who change nothing in it."""
        self.graph = self.graph.of_new_people(histories, self.users)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalty, a scalar."""
        u, v = self.graph.propagate(self.users, self.items, self.config.n_layers)
        penalty = mean_squared_norm(self.users, users) + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            return softmax_of_graph(u, v, users, positives, negatives, self.is_sampled) + self.l2 * penalty
        penalty = penalty + mean_squared_norm(self.items, negatives)
        return bpr_loss_of_margins(margins(u, v, users, positives, negatives)) + self.l2 * penalty

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the inner products of the propagated embeddings."""
        return EmbeddingScorer(*self.graph.propagate(self.users, self.items, self.config.n_layers))


def margins(u: Tensor, v: Tensor, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return (B, n) u_aᵀ (v_i − v_j) for (M, d) `u` and (N, d) `v`."""
    apart = embedding(positives, v).unsqueeze(1) - embedding(negatives, v)  # (B, n, d)
    return (apart @ embedding(users, u).unsqueeze(2)).squeeze(2)


def softmax_of_graph(
    u: Tensor, v: Tensor, users: Tensor, positives: Tensor, negatives: Tensor, is_sampled: bool
) -> Tensor:
    """Return the softmax loss of the scores u_aᵀ v_i for (M, d) `u` and (N, d) `v`, a scalar."""
    among = candidates(positives, negatives, len(v), is_sampled)
    return softmax_loss(embedding(users, u), among.items.taken_from(v), among)
