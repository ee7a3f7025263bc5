"""Matrix factorisation trained with BPR (Rendle et al. 2009): r̂_ai = u_aᵀ v_i."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.interactions import TrainingData
from model.loss import bpr_loss, l2_penalty
from model.recommender import EmbeddingScorer, Scorer, TrainableRecommender


@dataclass(frozen=True)
class BPRConfig:
    """What can be chosen.

    Attributes:
        dim: size of the embeddings.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.l2_penalty`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
    """

    dim: int = 64
    l2: float = 1e-3
    init_std: float = 0.01


class BPR(TrainableRecommender):
    """Free embeddings of users and items, nothing else."""

    def __init__(self, config: BPRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the BPR loss of a batch with its penalty."""
        u = nn.functional.embedding(users, self.users)  # (B, d)
        v = nn.functional.embedding(torch.cat([positives[:, None], negatives], 1), self.items)  # (B, 1 + n, d)
        scores = (v * u.unsqueeze(1)).sum(2)  # (B, 1 + n)
        penalty = l2_penalty(u, v[:, 0], v[:, 1:])
        return bpr_loss(scores[:, 0], scores[:, 1:]) + self.config.l2 * penalty

    def scorer(self) -> Scorer:
        """Return the inner products of the embeddings."""
        return EmbeddingScorer(self.users.detach(), self.items.detach())
