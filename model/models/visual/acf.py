"""ACF: attentive collaborative filtering (Chen et al., SIGIR 2017).

A user is a vector u_a plus an attentive sum of the vectors p_l of the items R(a) in the user's
history, as in SVD++. The weight of an item in the history depends on its components:

    r̂_ai = (u_a + Σ_{l ∈ R(a)} α_al p_l)ᵀ v_i,
    α_al ∝ exp(w¹ᵀ f(W¹ᵤ u_a + W¹ᵥ v_l + W¹ₚ p_l + W¹ₓ x̄_al + b¹)),
    x̄_al = Σ_{k ∈ S_l} β_alk c_k,    β_alk ∝ exp(w²ᵀ f(W²ᵤ u_a + W²ₓ c_k + b²)),

f is the ReLU; α sums to 1 over a history, β over the components of an item. (The original's c¹ and
c² cancel in a softmax.) x̄ is never computed: W¹ₓ x̄_al = Σ β_alk W¹ₓ c_k, so each distinct frame
is projected once, by W¹ₓ and W²ₓ in one product, and all other tensors are only as wide as the attention.

Differences from the original:
- The components are the frames of a movie (originally: the regions of a picture, the frames of a video).
- In training, a positive is left out of the history that predicts it (as in FISM and NAIS).
  Otherwise p_i learns to point at v_i, which helps no held-out item.
- A history longer than `max_history` is represented by that many items, sampled once.

Users have no visual vector of their own, so ACF does not rank frames (Table 1).

A batch projects the frames of all its histories, so ACF is the slowest of the models. A larger
batch shares more of this work.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from model.data.jagged import JaggedTensor, row_positions
from model.data.tensors import TrainingData
from model.models.history import bounded
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_of_loss, mean_squared_norm, squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender, require_features
from model.models.segments import softmax_by, spread_by, spread_through, sum_by
from model.models.softmax import candidates, softmax_loss
from model.models.static_shapes import are_static
from model.models.visual.item_frames import frames_of_batch, n_frames_of
from model.models.visual.projection import FeatureScaling, ScaledFeatures

_L2: dict[Loss, float] = {"bpr": 1e-3, "softmax": 0.1}
_BLOCK_USERS = 512  # users per block in the scorer


@dataclass(frozen=True)
class ACFConfig:
    """The settings.

    Attributes:
        dim: size of the embeddings.
        attention_width: h, rows of each W¹ and W².
        max_history: maximum number of items per history.
        l2: weight of the L2 penalty on the embeddings of a batch (`loss.mean_squared_norm`), p included; None: 0.001,
            with a softmax 0.1.
        attention_l2: weight of the squared norms of the attention's matrices.
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial u, v and p, N(0, init_std²).
        projection_std: the same for W¹ₓ and W²ₓ; features have norm 1 on average.
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 32
    attention_width: int = 32
    max_history: int = 50
    l2: float | None = None
    attention_l2: float = 1e-4
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1
    loss: Loss = "bpr"


class ACF(TrainableRecommender):
    """The model. An item without frames has x̄ = 0; a user without history is u_a alone.

    Raises:
        MissingInputError: the data have no frame features.
    """

    user_parameters = ("users",)
    needs_features = True

    def __init__(self, config: ACFConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_of_loss(config.l2, config.loss, _L2)
        self.features = ScaledFeatures(require_features(data.frames, "acf"), config.feature_scaling)
        history = bounded(data.positives, config.max_history, generator)
        self.frame_offsets: Tensor
        self.history_offsets: Tensor
        self.history: Tensor
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)
        self.register_buffer("history_offsets", history.offsets)
        self.register_buffer("history", history.values)
        d, h = config.dim, config.attention_width

        def normal(std: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.users = normal(config.init_std, data.n_users, d)  # u
        self.items = normal(config.init_std, data.n_items, d)  # v
        self.watched = normal(config.init_std, data.n_items, d)  # p
        self.item_attention = normal(d**-0.5, 3, h, d)  # W¹ᵤ, W¹ᵥ, W¹ₚ
        self.item_bias, self.item_logit = nn.Parameter(torch.zeros(h)), normal(h**-0.5, h)  # b¹, w¹
        self.frame_attention = normal(d**-0.5, h, d)  # W²ᵤ
        self.frame_bias, self.frame_logit = nn.Parameter(torch.zeros(h)), normal(h**-0.5, h)  # b², w²
        self.projection = normal(config.projection_std, 2 * h, self.features.width)  # W¹ₓ, W²ₓ

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories, the longest ones sampled."""
        history = bounded(histories, self.config.max_history, generator)
        self.history_offsets, self.history = history.offsets, history.values

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalties, a scalar."""
        history, owners, is_other = self._history(users, positives)
        u, p = lookup(users, self.users), lookup(history, self.watched)  # (B, d), (m, d)
        alpha = self._attend(u, history, owners, p, is_other)
        profile = u + sum_by(owners, alpha[:, None] * p, len(users))  # (B, d)
        embeddings = mean_squared_norm(self.users, users, u) + (alpha * p.square().sum(1)).sum() / len(users)
        embeddings = embeddings + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            among = candidates(positives, negatives, len(self.items), self.is_sampled)
            loss = softmax_loss(profile, among.items.taken_from(self.items), among)
        else:
            v = lookup(torch.cat([positives[:, None], negatives], 1), self.items)  # (B, 1 + n, d)
            scores = (v @ profile.unsqueeze(2)).squeeze(2)  # (B, 1 + n)
            loss = bpr_loss(scores[:, 0], scores[:, 1:])
            embeddings = embeddings + mean_squared_norm(self.items, negatives)
        attention = (self.item_attention, self.frame_attention, self.projection, self.item_logit, self.frame_logit)
        return loss + self.l2 * embeddings + self.config.attention_l2 * squared_norm(attention)

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return how many items the histories of a batch have, and these items' frames (see `TrainableRecommender`)."""
        items = self.history_offsets.diff()
        frames = n_frames_of(self.frame_offsets, self.history).cumsum(0)
        before = torch.cat([frames.new_zeros(1), frames])[self.history_offsets]  # (M + 1,)
        return {"history": items[users].sum(-1), "frames": before.diff()[users].sum(-1)}

    def _history(self, users: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the (m,) items of the users' histories without the positives, their owners, and which of them count.

        With static shapes a positive stays in the history, and the mask leaves it out.
        """
        where, owners = row_positions(self.history_offsets, users, self.reserved_size("history"))
        history = self.history[where]
        if are_static():
            return history, owners, history != positives[owners.clamp_max(len(users) - 1)]
        others = history != positives[owners]
        return history[others], owners[others], None

    def _attend(self, u: Tensor, history: Tensor, owners: Tensor, p: Tensor, counts: Tensor | None = None) -> Tensor:
        """Return (m,) weights α of the items of all histories.

        Args:
            u: (B, d) users.
            history: (m,) int64 items.
            owners: (m,) int64, ascending: the position in `u` of the user of each item.
            p: (m, d) vectors of the items.
            counts: (m,) bool; an item that does not count gets weight 0. None if all count.
        """
        of_user, of_item, of_watched = self.item_attention  # (h, d) each
        hidden = spread_by(owners, u @ of_user.T) + lookup(history, self.items @ of_item.T) + p @ of_watched.T
        hidden = hidden + self._looks(u, history, owners) + self.item_bias  # (m, h)
        logits = relu(hidden) @ self.item_logit
        return softmax_by(owners, logits if counts is None else logits.masked_fill(~counts, -torch.inf), len(u))

    def _looks(self, u: Tensor, history: Tensor, owners: Tensor) -> Tensor:
        """Return (m, h) rows W¹ₓ x̄_al: the looks of the items of the histories, as their users see them."""
        reserved = self.reserved_size("frames")
        batch = frames_of_batch(self.frame_offsets, self.features.n_frames, history, reserved)
        both = self.features.project(self.projection, batch.frames)  # (k, 2 h), each distinct frame only once
        components, of_row = row_positions(batch.starts(), batch.items.which, reserved)  # (c,) frames of all the rows
        of_looks, of_frame = torch.split(embedding(components, both), self.config.attention_width, 1)  # (c, h) each
        of_user = u @ self.frame_attention.T + self.frame_bias  # (B, h)
        logits = relu(spread_through(owners, of_row, of_user) + of_frame) @ self.frame_logit  # (c,)
        beta = softmax_by(of_row, logits, len(history))
        return sum_by(of_row, beta[:, None] * of_looks, len(history))

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the frozen model: all user profiles are computed once."""
        every = torch.arange(len(self.users), device=self.users.device)
        return EmbeddingScorer(
            torch.cat([self._profile(users) for users in torch.split(every, _BLOCK_USERS)]), self.items.detach().clone()
        )

    def _profile(self, users: Tensor) -> Tensor:
        """Return (B, d) rows u_a + Σ α_al p_l."""
        where, owners = row_positions(self.history_offsets, users)
        history = self.history[where]
        u, p = self.users[users], self.watched[history]
        alpha = self._attend(u, history, owners, p)
        return u + sum_by(owners, alpha[:, None] * p, len(users))
