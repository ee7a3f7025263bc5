"""JIFR: Joint Item and key Frame Recommendation (Wu et al., IJCAI 2019), all of it.

A user likes an item by habit, u_aᵀ v_i, and by its looks, w_aᵀ x_i. What an item looks like,
x_i, is an attentive sum over its frames; how much looks count for this user and this item is
another attention. Both are learnt from interactions with items alone; the key frame then is the
frame that the user's visual embedding w_a likes best.

Sizes: M users, N items, L frames, F the width of a feature, d1 and d2 the dimensions of the
collaborative and the visual space, B a batch, n negatives a positive, h the width of an
attention network.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from dataset.errors import UsageError
from model.data.jagged import row_positions
from model.data.tensors import TrainingData
from model.models.loss import bpr_loss, l2_penalty
from model.models.recommender import FrameScorer, TrainableRecommender, require_features
from model.models.segments import softmax_by
from model.models.visual.projection import FeatureScaling, ScaledFeatures

Attention = Literal["att", "avg"]
_ATTENTION = ("frame_hidden", "frame_logit", "rating_hidden", "rating_logit")  # W¹, w¹, W², w²
_TILE = (1 << 12, 1 << 20)  # items attended at once on a CPU, where (2 h, items) stays in its cache, and on a GPU


@dataclass(frozen=True)
class JIFRConfig:
    """What can be chosen; the paper states d1, d2 and λ1, and leaves the rest open.

    Attributes:
        collaborative_dim: d1; the paper's best is 32.
        visual_dim: d2; the paper's best is 32.
        l2: λ1, on U, V and W; the paper's best is 0.001.
        attention_l2: the same for W¹, w¹, W² and w², which the paper does not penalise. Without
            it, the rating attention learns the training pairs by heart.
        projection_l2: the same for P. Without it, P outgrows the embeddings, the rating attention
            gives all weight to looks, and habit is never learnt. More of it favours items over
            frames: on the sandbox's validation split (random weights, 4 seeds), 3e-4 instead of
            1e-4 gives 8 % more NDCG@15 for items and 8 % less NDCG@3 for frames.
        visual_attention: `att` for Eq. 5 to 7, `avg` for Eq. 1.
        rating_attention: `att` for Eq. 8 to 10, `avg` for Eq. 2.
        reduced_dim: rows of W⁰, what the visual attention sees of a frame.
        visual_attention_width: rows of W¹.
        rating_attention_width: rows of W².
        feature_scaling: how features are scaled before all else (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial U, V and W, N(0, init_std²).
        projection_std: the same for P and W⁰; features have norm 1 on average.
    """

    collaborative_dim: int = 32
    visual_dim: int = 32
    l2: float = 1e-3
    attention_l2: float = 3e-3
    projection_l2: float = 1e-4
    visual_attention: Attention = "att"
    rating_attention: Attention = "att"
    reduced_dim: int = 32
    visual_attention_width: int = 32
    rating_attention_width: int = 32
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1


class JIFR(TrainableRecommender):
    """The model; with both attentions `avg` it is the paper's JIFR_NA.

    Raises:
        MissingInputError: the data have no frame features.
        UsageError: rating attention with d1 ≠ d2; Eq. 9 applies one W² to [u, v] and to [w, x].
    """

    needs_features = True

    def __init__(self, config: JIFRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        if config.rating_attention == "att" and config.collaborative_dim != config.visual_dim:
            raise UsageError(
                f"jifr: rating attention needs collaborative_dim = visual_dim (got {config.collaborative_dim} and "
                f"{config.visual_dim}), because Eq. 9 shares its weights; make them equal or set rating_attention=avg"
            )
        self.config = config
        self.frame_offsets: Tensor
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)
        self.features = ScaledFeatures(require_features(data.frames, "jifr"), config.feature_scaling)
        d1, d2, width = config.collaborative_dim, config.visual_dim, self.features.width

        def normal(std: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.user_collaborative = normal(config.init_std, data.n_users, d1)  # U
        self.item_collaborative = normal(config.init_std, data.n_items, d1)  # V
        self.user_visual = normal(config.init_std, data.n_users, d2)  # W
        self.projection = normal(config.projection_std, d2, width)  # P
        if config.visual_attention == "att":
            d0, h = config.reduced_dim, config.visual_attention_width
            self.reduction = normal(config.projection_std, d0, width)  # W⁰
            self.frame_hidden = normal((d1 + d0) ** -0.5, h, d1 + d0)  # W¹
            self.frame_logit = normal(h**-0.5, h)  # w¹
        if config.rating_attention == "att":
            h = config.rating_attention_width
            self.rating_hidden = normal((2 * d1) ** -0.5, h, 2 * d1)  # W²
            self.rating_logit = normal(h**-0.5, h)  # w²

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the BPR loss of a batch plus λ1‖Θ1‖², Θ1 = [U, V, W], and the networks' penalty (Eq. 3; see `loss`).

        Each distinct item of the batch is projected and attended once, however often it occurs.
        """
        items, where = torch.unique(torch.cat([positives[:, None], negatives], 1), return_inverse=True)
        u, w = embedding(users, self.user_collaborative), embedding(users, self.user_visual)  # (B, d1), (B, d2)
        v_distinct, x_distinct = self.item_collaborative[items], self.item_visual(items)
        v, x = v_distinct[where], x_distinct[where]  # (B, 1 + n, d1), (B, 1 + n, d2)
        habit, looks = (v @ u.unsqueeze(2)).squeeze(2), (x @ w.unsqueeze(2)).squeeze(2)  # (B, 1 + n)
        if self.config.rating_attention == "att":
            of_user, of_item = self._rating_inputs(u, w), self._rating_inputs(v_distinct, x_distinct, item=True)
            beta = self._rating_attention(of_user[:, :, None], of_item[:, where])  # (B, 1 + n)
            scores = beta * habit + (1 - beta) * looks
        else:
            scores = habit + looks
        penalty = self.config.l2 * (l2_penalty(u, v[:, 0], v[:, 1:]) + w.square().sum() / len(users))
        attention = (weight for name, weight in self.named_parameters() if name in _ATTENTION)
        penalty = penalty + self.config.attention_l2 * sum(weight.square().sum() for weight in attention)
        penalty = penalty + self.config.projection_l2 * self.projection.square().sum()
        return bpr_loss(scores[:, 0], scores[:, 1:]) + penalty

    def item_visual(self, items: Tensor) -> Tensor:
        """Return (m, d2) visual embeddings of (m,) `items`, x_i = Σ_j α_ij P c_j; zero without frames.

        Source: Wu et al. 2019, Eq. 5; with `avg`, Eq. 1.
        """
        _, owners, alpha, projected = self._attend(items)
        x = projected.new_zeros(len(items), self.config.visual_dim)
        return x.index_add(0, owners, alpha[:, None] * projected)

    def visual_attention(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the (k,) frames of (m,) `items`, whose they are (numbers into `items`), and their α_ij.

        Source: Wu et al. 2019, Eq. 6 and 7.
        """
        with torch.no_grad():
            return self._attend(items)[:3]

    def _attend(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return frames, owners, α (k,) and P c (k, d2).

        α_ij = softmax over the item's frames of w¹ f(W¹[v_i, W⁰ c_j]) (Eq. 6 and 7); f is ReLU, and
        there is no bias, as printed. W¹[v, W⁰ c] is the sum of an item's and a frame's part.
        """
        frames, owners = row_positions(self.frame_offsets, items)
        if self.config.visual_attention == "avg":
            counts = torch.bincount(owners)[owners]
            projected = self.features.project(self.projection, frames)
            return frames, owners, 1 / counts.to(projected.dtype), projected
        both = self.features.project(torch.cat([self.projection, self.reduction]), frames)  # (k, d2 + d0)
        projected, reduced = both[:, : self.config.visual_dim], both[:, self.config.visual_dim :]
        d1 = self.config.collaborative_dim
        of_item, of_frame = self.frame_hidden[:, :d1], self.frame_hidden[:, d1:]  # (h, d1), (h, d0)
        hidden = (self.item_collaborative[items] @ of_item.T)[owners] + reduced @ of_frame.T  # (k, h)
        logits = relu(hidden) @ self.frame_logit  # (k,)
        return frames, owners, softmax_by(owners, logits, len(items)), projected

    def _rating_inputs(self, collaborative: Tensor, visual: Tensor, item: bool = False) -> Tensor:
        """Return (2, m, h): a user's or an item's part of W²[u, v] and of W²[w, x]."""
        d1 = self.config.collaborative_dim
        part = self.rating_hidden[:, d1:] if item else self.rating_hidden[:, :d1]  # (h, d1)
        return torch.stack([collaborative, visual]) @ part.T

    def _rating_attention(self, of_user: Tensor, of_item: Tensor) -> Tensor:
        """Return β_ai1, the weight of habit, from (2, …, h) parts that broadcast; β_ai2 = 1 − β_ai1.

        Source: Wu et al. 2019, Eq. 9 and 10; a softmax over two is a sigmoid of the difference.
        """
        logits = relu(of_user + of_item) @ self.rating_logit  # (2, …)
        return torch.sigmoid(logits[0] - logits[1])

    def rating_attention(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B, m) weights β_ai1 that habit has for (B,) `users` and (m,) `items`; looks have the rest.

        With `avg` it is one half throughout: Table 2 has β_ai1 = β_ai2 there.
        """
        if self.config.rating_attention == "avg":
            return torch.full((len(users), len(items)), 0.5)
        with torch.no_grad():
            of_user = self._rating_inputs(self.user_collaborative[users], self.user_visual[users])
            of_item = self._rating_inputs(self.item_collaborative[items], self.item_visual(items), item=True)
            return self._rating_attention(of_user[:, :, None], of_item[:, None])

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the frozen model: all x_i and P c_k computed once."""
        items = torch.arange(len(self.item_collaborative), device=self.frame_offsets.device)
        frames = torch.arange(len(self.features.features), device=self.frame_offsets.device)
        return _JIFRScorer(self, self.item_visual(items), self.features.project(self.projection, frames))


class _JIFRScorer(FrameScorer):
    """The frozen model.

    The rating attention differs for each pair, and all the time goes there. With relu(a + b) =
    max(a, −b) + b, the logits' difference in Eq. 10 is the items' own part, made once, and a sum
    over 2 h numbers max(a, −b) a pair, signed by the weights w² and −w².
    """

    def __init__(self, trained: JIFR, item_visual: Tensor, frame_visual: Tensor) -> None:
        self._jifr = trained
        self._x = item_visual  # (N, d2)
        self._frames = frame_visual  # (L, d2)
        if trained.config.rating_attention == "att":
            of_item = trained._rating_inputs(trained.item_collaborative, item_visual, item=True)  # (2, N, h)
            self._weights = torch.cat([trained.rating_logit, -trained.rating_logit])  # (2 h,)
            self._minus_items = -of_item.transpose(1, 2).flatten(0, 1).contiguous()  # (2 h, N)
            self._of_items = -(self._weights @ self._minus_items)  # (N,)

    @torch.no_grad()
    def item_scores(self, users: Tensor) -> Tensor:
        """Return r̂_ai = β_ai1 u_aᵀ v_i + β_ai2 w_aᵀ x_i for all items (Eq. 8).

        With `avg` both weights are 1 (Eq. 2, which is VBPR). Table 2's caption only asks that
        they be equal; one half each would rank the same and merely halve the scores.
        """
        jifr = self._jifr
        u, w = jifr.user_collaborative[users], jifr.user_visual[users]
        habit, looks = u @ jifr.item_collaborative.T, w @ self._x.T  # (B, N)
        if jifr.config.rating_attention == "avg":
            return habit + looks
        logits = torch.empty_like(habit)  # of habit minus those of looks
        tiles = torch.split(self._minus_items, _TILE[users.device.type == "cuda"], dim=1)
        of_users = jifr._rating_inputs(u, w).transpose(0, 1).flatten(1)  # (B, 2 h)
        for of_user, row in zip(of_users, logits, strict=True):
            torch.cat([self._weights @ torch.maximum(of_user[:, None], tile) for tile in tiles], out=row)
        return torch.lerp(looks, habit, torch.sigmoid_(logits.add_(self._of_items)))

    @torch.no_grad()
    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return l̂_ak = w_aᵀ P c_k (Eq. 4)."""
        return (self._jifr.user_visual[users] * self._frames[frames]).sum(1)
