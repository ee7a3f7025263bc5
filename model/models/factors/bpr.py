"""Matrix factorisation, r̂_ai = u_aᵀ v_i, trained with BPR (Rendle et al. 2009) or with a softmax."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.data.tensors import TrainingData
from model.models.lookup import lookup
from model.models.loss import bpr_loss_of_margins, l2_weight, mean_squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender
from model.models.softmax import candidates, softmax_loss


@dataclass(frozen=True)
class BPRConfig:
    """The settings.

    Attributes:
        dim: size of the embeddings.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`); None: `loss.l2_weight`.
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    l2: float | None = None
    init_std: float = 0.01
    loss: Loss = "bpr"


class BPR(TrainableRecommender):
    """Free embeddings of users and items."""

    tried = ("l2=0.003,0.01,0.03,0.06,0.1", "dim=32,64")

    def __init__(self, config: BPRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalty, which a softmax has on the users and the positives alone."""
        if self.config.loss == "softmax":
            return self._softmax_loss(users, positives, negatives)
        return self._bpr_loss(users, positives, negatives)

    def _softmax_loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        among = candidates(positives, negatives, len(self.items), self.is_sampled)
        u = lookup(users, self.users)  # (B, d)
        penalty = mean_squared_norm(self.users, users, u) + mean_squared_norm(self.items, positives)
        return softmax_loss(u, among.items.taken_from(self.items), among) + self.l2 * penalty

    def _bpr_loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return BPR's loss with its penalty.

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
        return bpr_loss_of_margins(margins) + self.l2 * penalty

    def scorer(self) -> Scorer:
        """Return the inner products of the embeddings."""
        return EmbeddingScorer(self.users.detach(), self.items.detach())
