"""Visual Bayesian personalised ranking (He & McAuley 2016): habit, looks and two biases.

x̂_ui = α + β_u + β_i + γ_uᵀ γ_i + θ_uᵀ (E f_i) + β'ᵀ f_i        (Eq. 4)

f_i is the mean of the features of an item's frames, as in Wu et al. 2019. α and β_u cancel in
x̂_ui − x̂_uj (Eq. 6) and do not change a user's ranking, so they are left out, as in the original.

Sizes: M users, N items, F the width of a feature, d1 and d2 the dimensions of γ and θ, B positives
in a batch, n negatives per positive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.data.tensors import TrainingData
from model.models.distinct import Distinct, distinct
from model.models.lookup import lookup
from model.models.loss import bpr_loss_of_margins, l2_weight, mean_squared_norm, squared_norm, visual_l2_weight
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender, require_features
from model.models.softmax import candidates, softmax_loss
from model.models.visual.projection import FeatureScaling, ScaledFeatures, mean_by_item


@dataclass(frozen=True)
class VBPRConfig:
    """The settings.

    Attributes:
        dim: d1, size of the embeddings γ.
        visual_dim: d2, size of the visual embeddings θ.
        l2: weight of the L2 penalty on γ and β_i of a batch (`loss.mean_squared_norm`); None: `loss.l2_weight`.
        projection_l2: weight of the squared norms of E and β', which the original penalises instead.
        feature_scaling: how the items' features are scaled first (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial γ and θ, N(0, init_std²).
        projection_std: the same for E; features have norm 1 on average. Biases start at 0.
        loss: `bpr`, or `softmax` (`model.models.softmax`).
        visual_l2: the same for θ_u and the projected pictures, (β'ᵀ f_i, E f_i); None: `loss.visual_l2_weight`. With 0,
            θ_u has l2, and only `projection_l2` holds the pictures, as in the original.
    """

    dim: int = 64
    visual_dim: int = 32
    l2: float | None = None
    projection_l2: float = 0.0
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1
    loss: Loss = "bpr"
    visual_l2: float | None = None


class VBPR(TrainableRecommender):
    """The model. It does not rank frames (Table 1), because θ_u is learnt for the mean of an item's frames.

    An item without frames gets the features of the average item.

    Raises:
        MissingInputError: the data have no frame features.
    """

    needs_features = True
    tried = ("l2=0.003,0.01,0.03,0.06,0.1", "visual_l2=0.01,0.04,0.1")

    def __init__(self, config: VBPRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.visual_l2 = visual_l2_weight(config.visual_l2, config.loss)
        of_items = mean_by_item(require_features(data.frames, "vbpr"), data.frames.offsets)
        self.features = ScaledFeatures(of_items, config.feature_scaling)

        def normal(std: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.users = normal(config.init_std, data.n_users, config.dim + config.visual_dim)  # γ_u, θ_u
        self.items = nn.Parameter(torch.zeros(data.n_items, config.dim + 1))  # γ_i, β_i
        self.visual = nn.Parameter(torch.zeros(1 + config.visual_dim, self.features.width))  # β', E
        with torch.no_grad():
            self.items[:, :-1].normal_(0, config.init_std, generator=generator)
            self.visual[1:].normal_(0, config.projection_std, generator=generator)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch (Eq. 5, or a softmax) with its penalty, a scalar.

        Each distinct item of the batch is projected only once. A softmax has no penalty on the candidates.
        """
        if self.config.loss == "softmax":
            return self._softmax_loss(users, positives, negatives)
        items = distinct(torch.cat([positives[:, None], negatives], 1), len(self.items))
        of_users, of_items = lookup(users, self.users), items.taken_from(self.items)
        u, i = self._user_vectors(of_users), self._item_vectors(of_items, items)  # (B, D), (m, D)
        of_positives, of_negatives = items.which[:, 0], items.which[:, 1:].flatten()  # (B,), (B n,)
        others = lookup(of_negatives, i).view(*negatives.shape, -1)  # (B, n, D)
        apart = lookup(of_positives, i).unsqueeze(1) - others
        margins = (u.unsqueeze(1) * apart) @ u.new_ones(u.shape[1])  # (B, n)
        penalty = self._user_penalty(users) + self._item_penalty(i, of_positives) + self._item_penalty(i, of_negatives)
        return bpr_loss_of_margins(margins) + penalty + self.config.projection_l2 * squared_norm([self.visual])

    def _softmax_loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        among = candidates(positives, negatives, len(self.items), self.is_sampled)
        of_users = lookup(users, self.users)
        i = self._item_vectors(among.items.taken_from(self.items), among.items)
        penalty = self._user_penalty(users) + self._item_penalty(i, among.items.which[: len(positives)])
        penalty = penalty + self.config.projection_l2 * squared_norm([self.visual])
        return softmax_loss(self._user_vectors(of_users), i, among) + penalty

    def _user_penalty(self, users: Tensor) -> Tensor:
        """Return the penalty on the users of a batch."""
        free, visual = torch.split(self.users, [self.config.dim, self.config.visual_dim], 1)
        of_visual = (self.visual_l2 or self.l2) * mean_squared_norm(visual, users)
        return self.l2 * mean_squared_norm(free, users) + of_visual

    def _item_penalty(self, vectors: Tensor, which: Tensor) -> Tensor:
        """Return the penalty on items, given the (m, D) vectors of distinct ones and how often they occur."""
        free, visual = torch.split(vectors, [self.config.dim + 1, self.config.visual_dim + 1], 1)
        penalty = self.l2 * mean_squared_norm(free, which)
        if self.visual_l2:
            penalty = penalty + self.visual_l2 * mean_squared_norm(visual, which)
        return penalty

    def _user_vectors(self, rows: Tensor) -> Tensor:
        """Return (B, D = d1 + d2 + 2) [γ_u, 1, 1, θ_u] of (B, d1 + d2) rows of `self.users`."""
        d1 = self.config.dim
        return torch.cat([rows[:, :d1], rows.new_ones(len(rows), 2), rows[:, d1:]], 1)

    def _item_vectors(self, rows: Tensor, items: Distinct) -> Tensor:
        """Return (m, D) [γ_i, β_i, β'ᵀ f_i, E f_i] of (m, d1 + 1) rows of `self.items`, which are those of `items`."""
        return torch.cat([rows, self.features.project(self.visual, None if items.are_all else items.rows)], 1)

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the inner products of user and item vectors."""
        every = torch.arange(len(self.items), device=self.items.device)
        items = self._item_vectors(self.items, Distinct(every, every, are_all=True))
        return EmbeddingScorer(self._user_vectors(self.users), items)
