"""Matrix factorisation trained with BPR (Rendle et al. 2009): r̂_ai = u_aᵀ v_i."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.data.tensors import TrainingData
from model.models.lookup import lookup
from model.models.loss import bpr_loss_of_margins, mean_squared_norm
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender


@dataclass(frozen=True)
class BPRConfig:
    """The settings.

    Attributes:
        dim: size of the embeddings.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
    """

    dim: int = 64
    l2: float = 1e-3
    init_std: float = 0.01


class BPR(TrainableRecommender):
    """Free embeddings of users and items."""

    user_parameters = ("users",)

    def __init__(self, config: BPRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the BPR loss of a batch with its penalty.

        A margin is u_aᵀ (v_i − v_j), one product; two scores would need two. A product with ones sums
        over d faster than `sum` does.
        """
        others = negatives.flatten()  # (B n,)
        u = lookup(users, self.users)  # (B, d)
        v = lookup(positives, self.items)  # (B, d)
        w = lookup(others, self.items)  # (B n, d)
        apart = v.unsqueeze(1) - w.view(*negatives.shape, -1)  # (B, n, d)
        margins = (u.unsqueeze(1) * apart) @ u.new_ones(u.shape[1])  # (B, n)
        penalty = mean_squared_norm(self.users, users, u)
        penalty = penalty + mean_squared_norm(self.items, positives, v) + mean_squared_norm(self.items, others, w)
        return bpr_loss_of_margins(margins) + self.config.l2 * penalty

    def scorer(self) -> Scorer:
        """Return the inner products of the embeddings."""
        return EmbeddingScorer(self.users.detach(), self.items.detach())
