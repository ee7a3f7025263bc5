"""JIFR: Joint Item and key Frame Recommendation (Wu et al., IJCAI 2019), the whole model.

A user likes an item by habit, u_aᵀ v_i, and by its looks, w_aᵀ x_i. The visual embedding of an item,
x_i, is an attentive sum over its frames. A second attention decides how much habit and looks count
for this user and this item. Both are learnt from interactions with items only. The key frame is the
frame that the user's visual embedding w_a scores highest.

The scores are the paper's equations as printed; the loss differs (see `JIFR.loss` and `bpr_loss`). In one more
departure, the penalty of the pictures is on w_a and the projected x_i, as that of habit is on u_a and v_i. The paper
penalises w_a and leaves P free, but w_aᵀ P c does not change when P grows as w_a shrinks (`JIFRConfig.visual_l2`).
`jifr_scorer` computes the same scores faster for all items at once; `projection` multiplies wide features by P and W⁰.

Sizes: M users, N items, L frames, F the width of a feature, d1 and d2 the dimensions of the
collaborative and the visual space, B users in a batch, n items per user, m distinct items, k their frames,
d0 the width of a reduced feature, h the width of an attention network.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from dataset.errors import UsageError
from model.data.jagged import row_positions
from model.data.tensors import TrainingData
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_weight, mean_squared_norm, squared_norm, visual_l2_weight
from model.models.names import Loss
from model.models.recommender import FrameScorer, TrainableRecommender, require_features
from model.models.segments import counts_by, softmax_by, spread_by, sum_by
from model.models.softmax import candidates, softmax_loss, softmax_loss_of_pairs
from model.models.static_shapes import for_gpu
from model.models.visual.item_frames import (
    ItemFrames,
    frames_of_batch,
    frames_of_distinct,
    frames_of_items,
    n_frames_of,
)
from model.models.visual.jifr_scorer import JIFRScorer
from model.models.visual.projection import FeatureScaling, ScaledFeatures

Attention = Literal["att", "avg"]


@dataclass(frozen=True)
class JIFRConfig:
    """The settings. The paper gives d1, d2 and λ1, but no other setting.

    Attributes:
        collaborative_dim: d1; the paper's best is 32.
        visual_dim: d2; the paper's best is 32.
        l2: λ1, on U and V; None: `loss.l2_weight`. The paper's best is 0.001, on W too. With rating attention, scores
            are weighted means of habit and looks, and more than 0.01 is too strong, whatever the data.
        attention_l2: the same for W¹, w¹, W² and w², which the paper does not penalise. Without it,
            the rating attention memorises the training pairs.
        projection_l2: weight of ‖P‖². With neither it nor `visual_l2`, P outgrows the embeddings, the rating attention
            gives all weight to looks, and habit is never learnt.
        visual_attention: `att` for Eq. 5 to 7, `avg` for Eq. 1.
        rating_attention: `att` for Eq. 8 to 10, `avg` for Eq. 2.
        reduced_dim: d0, rows of W⁰.
        visual_attention_width: rows of W¹.
        rating_attention_width: rows of W².
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial U, V and W, N(0, init_std²).
        projection_std: the same for P and W⁰; features have norm 1 on average.
        loss: `bpr`, or `softmax` instead of the paper's (`model.models.softmax`).
        visual_l2: weight of the penalty on the w_a and x_i of a batch; None: `loss.visual_l2_weight`. With 0, W has l2,
            and x_i none, as in the paper.
    """

    collaborative_dim: int = 32
    visual_dim: int = 32
    l2: float | None = 0.01
    attention_l2: float = 3e-3
    projection_l2: float = 0.0
    visual_attention: Attention = "att"
    rating_attention: Attention = "att"
    reduced_dim: int = 32
    visual_attention_width: int = 32
    rating_attention_width: int = 32
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1
    loss: Loss = "bpr"
    visual_l2: float | None = 0.01


class JIFR(TrainableRecommender):
    """The model. With both attentions `avg` it is the paper's JIFR_NA.

    Raises:
        MissingInputError: the data have no frame features.
        UsageError: rating attention with d1 ≠ d2; Eq. 9 applies one W² to [u, v] and to [w, x].
    """

    needs_features = True
    tried: ClassVar[tuple[str, ...]] = ("l2=0.003,0.01,0.03,0.06", "visual_l2=0.003,0.01,0.04")

    def __init__(self, config: JIFRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        if config.rating_attention == "att" and config.collaborative_dim != config.visual_dim:
            raise UsageError(
                f"jifr: rating attention needs collaborative_dim = visual_dim (got {config.collaborative_dim} and "
                f"{config.visual_dim}), because Eq. 9 shares its weights; make them equal or set rating_attention=avg"
            )
        self.config = config
        self.l2 = l2_weight(config.l2, config.loss, data)
        self.visual_l2 = visual_l2_weight(config.visual_l2, config.loss)
        self.scores_pairs = config.rating_attention == "att"
        self.frame_offsets: Tensor
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)
        self.features = ScaledFeatures(require_features(data.frames, "jifr"), config.feature_scaling)  # c
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

    def score(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B, n) predicted ratings r̂_ai of (B,) `users` for (B, n) `items`, n for each user.

        With `avg`, both weights are 1 (Eq. 2, as in VBPR). The caption of Table 2 only asks for equal
        weights; one half each would give the same ranking and half the scores.
        """
        return self._score(*self._embeddings(users, items))  # (B, d1), (B, n, d1), (B, d2), (B, n, d2)

    def _score(self, u: Tensor, v: Tensor, w: Tensor, x: Tensor) -> Tensor:
        habit = (v @ u[:, :, None]).squeeze(2)  # (B, n): u_aᵀ v_i
        looks = (x @ w[:, :, None]).squeeze(2)  # (B, n): w_aᵀ x_i
        if self.config.rating_attention == "avg":
            return habit + looks  # Eq. 2
        beta = self._habit_weight(u, v, w, x)  # (B, n)
        return beta * habit + (1 - beta) * looks  # Eq. 8

    def _embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (B, d1) u_a, (B, n, d1) v_i, (B, d2) w_a and (B, n, d2) x_i."""
        batch = frames_of_batch(self.frame_offsets, self.features.n_frames, items, self.reserved_size("frames"))
        x = self._item_visual(batch)  # (m, d2); each distinct item attends to its frames only once
        both = torch.cat([batch.items.taken_from(self.item_collaborative), x], 1)
        v, x = torch.split(batch.items.of_each(both), [self.config.collaborative_dim, self.config.visual_dim], 2)
        return lookup(users, self.user_collaborative), v, lookup(users, self.user_visual), x

    def _habit_weight(self, u: Tensor, v: Tensor, w: Tensor, x: Tensor) -> Tensor:
        """Return (B, n) weights β_ai1 of habit; looks have β_ai2 = 1 − β_ai1."""
        network = self.rating_hidden, self.rating_logit
        if for_gpu(u):  # both at once
            of_habit, of_looks = _network(*network, torch.stack([u, w])[:, :, None], torch.stack([v, x]))
        else:
            of_habit = _network(*network, u[:, None], v)  # (B, n), Eq. 9
            of_looks = _network(*network, w[:, None], x)  # (B, n), Eq. 9
        return torch.sigmoid(of_habit - of_looks)  # Eq. 10: a softmax over two

    def item_visual(self, items: Tensor) -> Tensor:
        """Return (m, d2) visual embeddings x_i of (m,) `items`; zero for an item without frames."""
        return self._item_visual(frames_of_items(self.frame_offsets, items))

    def _item_visual(self, batch: ItemFrames) -> Tensor:
        """Return (m, d2) visual embeddings x_i of the items of `batch`."""
        alpha, projected = self._attend(batch)
        return sum_by(batch.owners, alpha[:, None] * projected, batch.n_items)  # Eq. 5: Σ_j α_ij P c_j

    def _attend(self, batch: ItemFrames) -> tuple[Tensor, Tensor]:
        """Return (k,) α_ij and (k, d2) P c_j of the frames j of the items of `batch`."""
        owners = batch.owners
        if self.config.visual_attention == "avg":
            projected = self.features.project(self.projection, batch.frames)  # (k, d2)
            n_frames = counts_by(owners, batch.n_items)[owners.clamp_max(batch.n_items - 1)]  # (k,)
            return 1 / n_frames.clamp_min(1).to(projected.dtype), projected  # Eq. 1
        v = batch.items.taken_from(self.item_collaborative)  # (m, d1)
        if for_gpu(v):
            projected, logits = self._attend_folded(batch, v)
        else:
            weights = torch.cat([self.projection, self.reduction])  # one pass over the features for both
            both = self.features.project(weights, batch.frames)
            projected, reduced = torch.split(both, [self.config.visual_dim, self.config.reduced_dim], 1)  # P c, W⁰ c
            logits = _network(self.frame_hidden, self.frame_logit, spread_by(owners, v), reduced)  # (k,), Eq. 6
        return softmax_by(owners, logits, batch.n_items), projected  # Eq. 7

    def _attend_folded(self, batch: ItemFrames, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return (k, d2) P c_j and the (k,) logits of Eq. 6, with as little work per frame as possible.

        W¹ [v_i, W⁰ c_j] = W¹_v v_i + (W¹_c W⁰) c_j: the first part is computed per item, and the product of the two
        matrices multiplies the features.
        """
        of_v, of_c = torch.split(self.frame_hidden, [self.config.collaborative_dim, self.config.reduced_dim], 1)
        both = self.features.project(torch.cat([self.projection, of_c @ self.reduction]), batch.frames)
        projected, hidden = torch.split(both, [self.config.visual_dim, self.config.visual_attention_width], 1)
        return projected, relu(spread_by(batch.owners, v @ of_v.T) + hidden) @ self.frame_logit

    def score_frames(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) predicted frame preferences l̂_ak = w_aᵀ P c_k of (n,) `users` for as many `frames` (Eq. 4)."""
        return (lookup(users, self.user_visual) * self.features.project(self.projection, frames)).sum(1)

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return how many frames the items of a batch have, repeats included (see `TrainableRecommender`)."""
        items = torch.cat([positives[..., None], negatives], -1)
        return {"frames": n_frames_of(self.frame_offsets, items).sum((-2, -1))}

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch plus λ1‖Θ1‖² with Θ1 = [U, V, W], and the penalties on x, the networks and P.

        A softmax has no penalty on its candidates.

        Source: Wu et al. 2019, Eq. 3. The penalties on x, the networks and P are ours (see `JIFRConfig`).
        """
        is_softmax = self.config.loss == "softmax"
        if is_softmax and not self.scores_pairs:
            return self._softmax_loss(users, positives, negatives)
        u, v, w, x = self._embeddings(users, torch.cat([positives[:, None], negatives], 1))
        scores = self._score(u, v, w, x)  # (B, 1 + n)
        if is_softmax:
            loss = softmax_loss_of_pairs(scores, positives, negatives, len(self.item_collaborative))
            return loss + self._penalty(users, [positives], x[:, 0].square().sum(1).mean())
        of_x = x[:, 0].square().sum(1).mean() + x[:, 1:].square().sum(2).mean()
        return bpr_loss(scores[:, 0], scores[:, 1:]) + self._penalty(users, [positives, negatives], of_x)

    def _softmax_loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss without rating attention, where scores are inner products."""
        among = candidates(positives, negatives, len(self.item_collaborative), self.is_sampled)
        reserved = self.reserved_size("frames")
        batch = frames_of_distinct(self.frame_offsets, self.features.n_frames, among.items, reserved)
        x = self._item_visual(batch)  # (m, d2)
        of_users = torch.cat([lookup(users, self.user_collaborative), lookup(users, self.user_visual)], 1)
        of_items = torch.cat([among.items.taken_from(self.item_collaborative), x], 1)  # (m, d1 + d2)
        of_x = mean_squared_norm(x, among.items.which[: len(positives)])
        return softmax_loss(of_users, of_items, among) + self._penalty(users, [positives], of_x)

    def _penalty(self, users: Tensor, occurring: list[Tensor], of_x: Tensor) -> Tensor:
        """Return all penalties, given the `occurring` items and the mean of their ‖x_i‖²."""
        of_w = (self.visual_l2 or self.l2) * mean_squared_norm(self.user_visual, users)
        embeddings = mean_squared_norm(self.user_collaborative, users)
        for items in occurring:
            embeddings = embeddings + mean_squared_norm(self.item_collaborative, items)
        names = ("frame_hidden", "frame_logit", "rating_hidden", "rating_logit")  # W¹, w¹, W², w²
        networks = squared_norm(weight for name, weight in self.named_parameters() if name in names)
        penalty = self.l2 * embeddings + of_w + self.config.attention_l2 * networks
        return penalty + self.visual_l2 * of_x + self.config.projection_l2 * squared_norm([self.projection])

    @torch.no_grad()
    def visual_attention(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the (k,) frames of (m,) `items`, their owners (positions in `items`), and their weights α_ij."""
        batch = frames_of_items(self.frame_offsets, items)
        frames, owners = row_positions(self.frame_offsets, items)
        return frames, owners, self._attend(batch)[0]

    @torch.no_grad()
    def rating_attention(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B, n) weights β_ai1 of habit for (B,) `users` and (B, n) `items`; looks have 1 − β_ai1.

        With `avg` all weights are one half: Table 2 has β_ai1 = β_ai2 there.
        """
        if self.config.rating_attention == "avg":
            return torch.full(items.shape, 0.5)
        return self._habit_weight(*self._embeddings(users, items))

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the frozen model: all x_i and P c_k are computed once."""
        items = torch.arange(len(self.item_collaborative), device=self.frame_offsets.device)
        network = (self.rating_hidden, self.rating_logit) if self.config.rating_attention == "att" else None
        return JIFRScorer(
            self.user_collaborative.detach(),
            self.item_collaborative.detach(),
            self.user_visual.detach(),
            self.item_visual(items),
            self.features.project(self.projection, None),
            network,
        )


def _network(hidden: Tensor, logit: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return (…) outputs w × f(W [a, b]) of the network of Eq. 6 and Eq. 9; f is ReLU, without a bias, as printed.

    W [a, b] is computed as W_a a + W_b b, so that `a` and `b` can broadcast.

    Args:
        hidden: (h, |a| + |b|), W.
        logit: (h,), w.
        a: (…, |a|).
        b: (…, |b|).
    """
    of_a, of_b = torch.split(hidden, [a.shape[-1], b.shape[-1]], 1)
    return relu(a @ of_a.T + b @ of_b.T) @ logit
