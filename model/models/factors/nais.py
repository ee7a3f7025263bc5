"""NAIS: neural attentive item similarity (He et al., TKDE 2018, with f_prod).

A user is the weighted sum of the items that they have already, and the weights depend on the item to score:

    r̂_ai = b_i + p_iᵀ Σ_{l ∈ R(a)} α_il q_l
    α_il = exp(f_il) / (Σ_{l' ∈ R(a)} exp(f_il'))^β,    f_il = hᵀ ReLU(W (p_i ⊙ q_l) + b)

R(a) are the items of user a in train, without i itself. With β below 1, a longer history gives a larger sum.

Differences from the original:
- The loss is BPR's or a softmax (originally: the log loss of positives and negatives), and the start is random
  (originally: the vectors of a trained FISM).
- A positive is left out of the history that predicts it and its negatives alike.
- A history longer than `max_history` is represented by that many items, sampled once. Time and memory grow with it.

To score one user, the attention of every item to the whole history is computed, so NAIS is slow on large catalogues:
`--set validate_every=5` saves most of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.history import bounded, padded
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_weight, mean_squared_norm, squared_norm
from model.models.names import Loss
from model.models.recommender import Scorer, TrainableRecommender
from model.models.softmax import softmax_loss_of_pairs

_BLOCK_NUMBERS = 1 << 24  # hidden numbers at once in the scorer
_NEVER = -1e9  # the logit of padding


@dataclass(frozen=True)
class NAISConfig:
    """The settings.

    Attributes:
        dim: d, size of the embeddings.
        attention_width: h, rows of W.
        smoothing: β, between 0 and 1; 1 is a softmax.
        max_history: L, the maximum number of items per history.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`), biases and q included;
            None: `loss.l2_weight`.
        attention_l2: weight of the squared norms of W and h.
        init_std: standard deviation of the initial p and q, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    attention_width: int = 16
    smoothing: float = 0.5
    max_history: int = 50
    l2: float | None = None
    attention_l2: float = 1e-4
    init_std: float = 0.01
    loss: Loss = "bpr"


class NAIS(TrainableRecommender):
    """The model. A user without history has the items' biases alone."""

    tried = ("dim=32,64", "l2=0.003,0.01,0.03", "smoothing=0.3,0.5,0.7")
    scores_pairs = True
    history: Tensor

    def __init__(self, config: NAISConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        history = padded(bounded(data.positives, config.max_history, generator), data.n_items)
        self.register_buffer("history", history)  # (M, L), padded with N
        d, h = config.dim, config.attention_width

        def normal(std: float, *shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator) * std

        items = torch.cat([normal(config.init_std, data.n_items, d), torch.zeros(data.n_items, 1)], 1)
        self.items = nn.Parameter(items)  # p, b
        self.watched = nn.Parameter(normal(config.init_std, data.n_items, d))  # q
        self.attention = nn.Parameter(normal(d**-0.5, h, d))  # W
        self.bias = nn.Parameter(torch.zeros(h))  # b of the attention
        self.logit = nn.Parameter(normal(h**-0.5, h))  # h

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories, the longest ones sampled."""
        self.history = padded(bounded(histories, self.config.max_history, generator), len(self.items))

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalties, a scalar."""
        items, (history, counts) = torch.cat([positives[:, None], negatives], 1), self._histories(users)
        counts = counts & (history != positives[:, None])  # (B, L)
        rows, q = lookup(items, self.items), lookup(history, self.watched)  # (B, 1 + n, d + 1), (B, L, d)
        scores = self._scores(rows, q, counts)  # (B, 1 + n)
        weights = counts / counts.sum(1, keepdim=True).clamp_min(1)
        embeddings = (weights * q.square().sum(2)).sum() / len(users) + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            loss = softmax_loss_of_pairs(scores, positives, negatives, len(self.items))
        else:
            loss = bpr_loss(scores[:, 0], scores[:, 1:])
            embeddings = embeddings + mean_squared_norm(self.items, negatives)
        attention = self.config.attention_l2 * squared_norm([self.attention, self.logit])
        return loss + self.l2 * embeddings + attention

    def _histories(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, L) int64 items, 0 for padding, and (B, L) bool: whether each is an item of the user."""
        history = self.history[users]
        counts = history < len(self.items)
        return history * counts, counts

    def _scores(self, rows: Tensor, q: Tensor, counts: Tensor) -> Tensor:
        return attentive_scores(rows, q, counts, (self.attention, self.bias, self.logit), self.config.smoothing)

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the model as it is now."""
        history, counts = self._histories(torch.arange(len(self.history), device=self.history.device))
        network = (self.attention.detach().clone(), self.bias.detach().clone(), self.logit.detach().clone())
        rows, q = self.items.detach().clone(), self.watched.detach().clone()
        return _NAISScorer(rows, q, history, counts, network, self.config.smoothing)


Network = tuple[Tensor, Tensor, Tensor]
"""(h, d) W, (h,) b and (h,) h."""


def attentive_scores(rows: Tensor, q: Tensor, counts: Tensor, network: Network, smoothing: float) -> Tensor:
    """Return (B, n) scores of n items for each of B users.

    W (p_i ⊙ q_l) is (W ⊙ p_i) q_l, so the attention of all items to a history is one product of matrices.

    Args:
        rows: (B, n, d + 1) p_i and b_i.
        q: (B, L, d) of the histories.
        counts: (B, L) bool, which of a history count.
        network: the attention's.
        smoothing: β.
    """
    p, (attention, bias, logit) = rows[..., :-1], network
    scaled = (p.unsqueeze(2) * attention).flatten(1, 2)  # (B, n h, d)
    hidden = (scaled @ q.mT).view(len(q), rows.shape[1], len(bias), -1) + bias[:, None]  # (B, n, h, L)
    f = (logit @ relu(hidden)).masked_fill(~counts.unsqueeze(1), _NEVER)  # (B, n, L)
    alpha = (f - smoothing * f.logsumexp(2, keepdim=True)).exp() * counts.unsqueeze(1)
    return rows[..., -1] + ((alpha @ q) * p).sum(2)


@dataclass(frozen=True)
class _NAISScorer(Scorer):
    rows: Tensor  # (N, d + 1)
    watched: Tensor  # (N, d)
    history: Tensor  # (M, L)
    counts: Tensor  # (M, L)
    network: Network
    smoothing: float

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) scores, one user after another, a block of items at a time."""
        at_once = max(1, _BLOCK_NUMBERS // (self.history.shape[1] * len(self.network[1])))
        blocks = torch.split(self.rows, at_once)
        scores = self.rows.new_empty(len(users), len(self.rows))
        for place, user in enumerate(users):
            q, counts = self.watched[self.history[user]][None], self.counts[user][None]
            of_user = [attentive_scores(rows[None], q, counts, self.network, self.smoothing) for rows in blocks]
            scores[place] = torch.cat(of_user, 1)[0]
        return scores
