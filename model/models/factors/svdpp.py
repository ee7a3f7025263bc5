"""SVD++: matrix factorisation in which a user is also the sum of the items that they have already (Koren 2008, Eq. 15).

    r̂_ai = b_i + v_iᵀ (u_a + |R(a)|^(−1/2) Σ_{l ∈ R(a)} y_l)

R(a) are the items of user a in train. ACF weighs the same sum by attention (`visual.acf`).

Differences from the original:
- It ranks: the loss is BPR's or a softmax, not the squared error of stars, so there are no mean and no bias of users.
- In training, a positive is left out of the history that predicts it, as in FISM and NAIS. Otherwise y_i learns to
  point at v_i, which helps no held-out item.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.data.jagged import JaggedTensor, row_positions
from model.data.tensors import TrainingData
from model.models.distinct import distinct
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_weight, mean_squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender
from model.models.segments import sum_by
from model.models.softmax import candidates, softmax_loss

_BLOCK_USERS = 512  # users per block in the scorer


@dataclass(frozen=True)
class SVDPPConfig:
    """The settings.

    Attributes:
        dim: d, size of the embeddings.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`), biases included; None:
            `loss.l2_weight`.
        history_l2: the same for y: the mean of ‖y_l‖² over a user's history; None: as `l2`.
        init_std: standard deviation of the initial u, v and y, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    l2: float | None = None
    history_l2: float | None = None
    init_std: float = 0.01
    loss: Loss = "bpr"


class SVDPP(TrainableRecommender):
    """Free embeddings of users, of items, and of items as parts of a history."""

    user_parameters = ("users",)
    tried = ("dim=32,64,128", "l2=0.003,0.01,0.03", "history_l2=0.003,0.01,0.03")
    history_offsets: Tensor
    history: Tensor

    def __init__(self, config: SVDPPConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.history_l2 = self.l2 if config.history_l2 is None else config.history_l2
        self.register_buffer("history_offsets", data.positives.offsets, persistent=False)
        self.register_buffer("history", data.positives.values, persistent=False)

        def normal(n: int) -> Tensor:
            return torch.randn(n, config.dim, generator=generator) * config.init_std

        self.users = nn.Parameter(normal(data.n_users))  # u
        self.items = nn.Parameter(torch.cat([normal(data.n_items), torch.zeros(data.n_items, 1)], 1))  # v, b
        self.watched = nn.Parameter(normal(data.n_items))  # y

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories."""
        self.history_offsets, self.history = histories.offsets, histories.values

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalties, a scalar. Each user's history is summed once."""
        rows = distinct(users, len(self.users))
        where, owners = self._history(rows.rows, len(self.history) if rows.are_all else self.reserved_size("history"))
        y = lookup(self.history[where], self.watched)  # (m, d)
        sums, squares = (sum_by(owners, one, len(rows.rows)) for one in (y, y.square().sum(1, keepdim=True)))
        own = lookup(positives, self.watched)  # (B, d), left out
        others = (self.history_offsets.diff()[users] - 1).clamp_min(1).to(y)[:, None]  # (B, 1) |R(a) \ {i}|
        u = lookup(users, self.users)
        profiles = u + (rows.of_each(sums) - own) * others.rsqrt()  # (B, d)
        of_history = ((rows.of_each(squares) - own.square().sum(1, keepdim=True)) / others).mean()
        penalty = mean_squared_norm(self.users, users, u) + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            among = candidates(positives, negatives, len(self.items), self.is_sampled)
            loss = softmax_loss(_with_one(profiles), among.items.taken_from(self.items), among)
        else:
            v = lookup(torch.cat([positives[:, None], negatives], 1), self.items)  # (B, 1 + n, d + 1)
            scores = (v @ _with_one(profiles).unsqueeze(2)).squeeze(2)  # (B, 1 + n)
            loss = bpr_loss(scores[:, 0], scores[:, 1:])
            penalty = penalty + mean_squared_norm(self.items, negatives)
        return loss + self.l2 * penalty + self.history_l2 * of_history

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return how many items the histories of a batch have (see `TrainableRecommender`)."""
        return {"history": self.history_offsets.diff()[users].sum(-1)}

    def _history(self, users: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
        return row_positions(self.history_offsets, users, size)

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the frozen model: all user profiles are computed once."""
        every = torch.arange(len(self.users), device=self.users.device)
        profiles = torch.cat([self._profile(users) for users in torch.split(every, _BLOCK_USERS)])
        return EmbeddingScorer(_with_one(profiles), self.items.detach().clone())

    def _profile(self, users: Tensor) -> Tensor:
        """Return (B, d) rows u_a + |R(a)|^(−1/2) Σ y_l."""
        where, owners = self._history(users)
        sums = sum_by(owners, self.watched[self.history[where]], len(users))
        n = self.history_offsets.diff()[users].clamp_min(1).to(sums)
        return self.users[users] + sums * n.rsqrt()[:, None]


def _with_one(rows: Tensor) -> Tensor:
    """Return (B, d + 1): `rows` and a 1, the factor of an item's bias."""
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
