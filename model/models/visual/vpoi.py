"""VPOI (Wang et al., WWW 2017), as adapted by Wu et al. 2019: pictures regularise free embeddings.

    r̂_ai = u_aᵀ v_i,    P(frame k belongs to item i) = σ(v_iᵀ Q c_k).

The loss of a user a, a positive i and negatives j is BPR's plus, with j the first negative,

    γ ( Σ_{k ∈ S_i} −ln σ(v_iᵀ Q c_k) / |S_i| + Σ_{k ∈ S_j} −ln σ(−v_iᵀ Q c_k) / |S_j| ).

So v_i moves towards its own frames and away from another item's frames. Frames do not enter a
score, and users have no visual embedding, so VPOI does not rank frames (Table 1).

Differences from the original:
- It factorises visits with a squared loss; here the objective is BPR, as for all models.
- It has a second such term for the pictures that a user posted. Users post no pictures here, and the paper
  says of VPOI that "each item has a free embedding, and the relationship between images and POIs
  are used as side information in the regularization terms".
- It samples frames of other places as negatives; here they are the frames of the first negative item.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from model.data.jagged import row_positions
from model.data.tensors import TrainingData
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_weight, mean_squared_norm, squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender, require_features
from model.models.segments import mean_by, spread_by
from model.models.softmax import candidates, softmax_loss
from model.models.visual.item_frames import frames_of_batch, n_frames_of
from model.models.visual.projection import FeatureScaling, ScaledFeatures


@dataclass(frozen=True)
class VPOIConfig:
    """The settings.

    Attributes:
        dim: size of the embeddings.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`); None: `loss.l2_weight`.
        image_weight: γ.
        projection_l2: weight of ‖Q‖².
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
        projection_std: the same for Q; features have norm 1 on average.
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    l2: float | None = None
    image_weight: float = 0.1
    projection_l2: float = 1e-4
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1
    loss: Loss = "bpr"


class VPOI(TrainableRecommender):
    """The model. Items without frames are not regularised by pictures.

    Raises:
        MissingInputError: the data have no frame features.
    """

    needs_features = True
    tried = ("l2=0.003,0.01,0.03,0.06,0.1", "image_weight=0.01,0.1")

    def __init__(self, config: VPOIConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.frame_offsets: Tensor
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)
        self.features = ScaledFeatures(require_features(data.frames, "vpoi"), config.feature_scaling)

        def normal(std: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.users = normal(config.init_std, data.n_users, config.dim)  # u
        self.items = normal(config.init_std, data.n_items, config.dim)  # v
        self.projection = normal(config.projection_std, config.dim, self.features.width)  # Q

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch plus the image loss and the penalties, a scalar."""
        of_images = self.config.image_weight * self.image_loss(positives, negatives[:, 0])
        penalty = self.config.projection_l2 * squared_norm([self.projection])
        return self._habit_loss(users, positives, negatives) + of_images + penalty

    def _habit_loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of the ratings with the penalty on the embeddings."""
        u = lookup(users, self.users)  # (B, d)
        if self.config.loss == "softmax":
            among = candidates(positives, negatives, len(self.items), self.is_sampled)
            embeddings = mean_squared_norm(self.users, users, u) + mean_squared_norm(self.items, positives)
            return softmax_loss(u, among.items.taken_from(self.items), among) + self.l2 * embeddings
        v = lookup(torch.cat([positives[:, None], negatives], 1), self.items)  # (B, 1 + n, d)
        scores = (v @ u.unsqueeze(2)).squeeze(2)  # (B, 1 + n)
        embeddings = mean_squared_norm(self.users, users, u)
        for items in (positives, negatives):
            embeddings = embeddings + mean_squared_norm(self.items, items)
        return bpr_loss(scores[:, 0], scores[:, 1:]) + self.l2 * embeddings

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return how many frames the positives and the first negatives have (see `TrainableRecommender`)."""
        own, others = (n_frames_of(self.frame_offsets, items).sum(-1) for items in (positives, negatives[..., 0]))
        return {"own": own, "others": others, "frames": own + others}

    def image_loss(self, positives: Tensor, others: Tensor) -> Tensor:
        """Return the mean over B of the loss of telling the frames of (B,) `positives` from those of (B,) `others`."""
        items = torch.stack([positives, others], 1)
        batch = frames_of_batch(self.frame_offsets, self.features.n_frames, items, self.reserved_size("frames"))
        projected = self.features.project(self.projection, batch.frames)  # (k, d), each distinct frame only once
        v, total = lookup(positives, self.items), self.projection.new_zeros(())
        for column, name, sign in ((0, "own", 1.0), (1, "others", -1.0)):
            frames, pairs = row_positions(batch.starts(), batch.items.which[:, column], self.reserved_size(name))
            logits = (spread_by(pairs, v) * lookup(frames, projected)).sum(1)
            total = total - mean_by(pairs, logsigmoid(sign * logits), len(positives)).mean()
        return total

    def scorer(self) -> Scorer:
        """Return the inner products of the free embeddings."""
        return EmbeddingScorer(self.users.detach().clone(), self.items.detach().clone())
