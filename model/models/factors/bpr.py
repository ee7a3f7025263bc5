"""Matrix factorisation, r̂_ai = u_aᵀ v_i, trained with BPR (Rendle et al. 2009) or with a softmax."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.data.tensors import TrainingData
from model.models.inner_products import inner_products
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_weight, mean_squared_norm
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

    user_parameters = ("users",)
    wants_ascending_users = True
    tried = ("l2=0.003,0.01,0.03,0.06,0.1", "dim=32,64")

    def __init__(self, config: BPRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalty, which a softmax has on the users and the positives alone."""
        penalty = mean_squared_norm(self.users, users) + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            among = candidates(positives, negatives, len(self.items), self.is_sampled)
            u, v = lookup(users, self.users), among.items.taken_from(self.items)
            return softmax_loss(u, v, among) + self.l2 * penalty
        scores = inner_products(self.users, self.items, users, torch.cat([positives[:, None], negatives], 1))
        penalty = penalty + mean_squared_norm(self.items, negatives)
        return bpr_loss(scores[:, 0], scores[:, 1:]) + self.l2 * penalty

    def scorer(self) -> Scorer:
        """Return the inner products of the embeddings."""
        return EmbeddingScorer(self.users.detach(), self.items.detach())
