"""CDL: comparative deep learning (Lei et al., CVPR 2016), purely visual.

Users and pictures are points in one space, and a user likes the pictures that are near. With h_k = f(W¹ c_k + b¹)
and f the ReLU,

    φ(c_k) = W² h_k + b²,    l̂_ak = −‖w_a − φ(c_k)‖²,    r̂_ai = −D(a, i) = Σ_{k ∈ S_i} l̂_ak / |S_i|,

and the loss of a positive i and a negative j is −ln σ(D(a, j) − D(a, i)).

Differences from the original, which needs data that this setting lacks:
- It learns the whole network of the pictures; here the extractor is fixed, and two layers on top are learnt.
- It describes a user by tags and groups; here a user is a free vector.
- It compares single pictures that the user marked; here it compares items, whose frames count equally.

Distances are averaged, not the points of the frames. The mean of the points may be nearer to
the centre than any frame, so a user near the mean could be far from all frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.data.jagged import row_positions
from model.data.tensors import TrainingData
from model.models.lookup import lookup
from model.models.loss import bpr_loss, l2_of_loss, mean_squared_norm, squared_norm
from model.models.names import Loss
from model.models.recommender import FrameScorer, TrainableRecommender, require_features
from model.models.segments import mean_by
from model.models.softmax import candidates, softmax_loss
from model.models.visual.item_frames import ItemFrames, frames_of_batch, frames_of_distinct, n_frames_of
from model.models.visual.projection import FeatureScaling, ScaledFeatures

_L2: dict[Loss, float] = {"bpr": 1e-3, "softmax": 1e-2}


@dataclass(frozen=True)
class CDLConfig:
    """The settings.

    Attributes:
        dim: d, number of dimensions of the space of users and pictures.
        hidden_dim: rows of W¹.
        l2: weight of the squared norms of the users of a batch; None: 0.001, with a softmax 0.01.
        projection_l2: the same for W¹ and W². Without it, they memorise the noise of single pictures.
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial users, N(0, init_std²).
        projection_std: the same for W¹; features have norm 1 on average.
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 32
    hidden_dim: int = 64
    l2: float | None = None
    projection_l2: float = 3e-3
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.01
    projection_std: float = 0.1
    loss: Loss = "bpr"


class CDL(TrainableRecommender):
    """The model. An item without frames is at the origin.

    D(a, i) = ‖w_a‖² − 2 w_aᵀ x_i + s_i, where x_i and s_i are the means over the item's frames of
    φ(c_k) and of ‖φ(c_k)‖². So a pair costs no more than an inner product.

    Raises:
        MissingInputError: the data have no frame features.
    """

    user_parameters = ("users",)
    item_parameters = ()
    needs_features = True

    def __init__(self, config: CDLConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_of_loss(config.l2, config.loss, _L2)
        self.frame_offsets: Tensor
        self.register_buffer("frame_offsets", data.frames.offsets, persistent=False)
        self.features = ScaledFeatures(require_features(data.frames, "cdl"), config.feature_scaling)
        d, h = config.dim, config.hidden_dim

        def normal(std: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.users = normal(config.init_std, data.n_users, d)  # w
        self.hidden = normal(config.projection_std, h, self.features.width)  # W¹
        self.hidden_bias = nn.Parameter(torch.zeros(h))  # b¹
        self.last = normal(h**-0.5, d, h)  # W²
        self.last_bias = nn.Parameter(torch.zeros(d))  # b²

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the mean of −ln σ(D(a, j) − D(a, i)) over all pairs, or a softmax of −D, with its penalty."""
        w = lookup(users, self.users)  # (B, d)
        penalty = self.l2 * mean_squared_norm(self.users, users, w)
        penalty = penalty + self.config.projection_l2 * squared_norm([self.hidden, self.last])
        size, reserved = self.features.n_frames, self.reserved_size("frames")
        if self.config.loss == "softmax":
            among = candidates(positives, negatives, len(self.frame_offsets) - 1, self.is_sampled)
            both = self._item_vectors(frames_of_distinct(self.frame_offsets, size, among.items, reserved))
            return softmax_loss(torch.cat([2 * w, -w.new_ones(len(w), 1)], 1), both, among) + penalty
        items = torch.cat([positives[:, None], negatives], 1)  # (B, 1 + n)
        batch = frames_of_batch(self.frame_offsets, size, items, reserved)
        both = batch.items.of_each(self._item_vectors(batch))  # (B, 1 + n, d + 1)
        scores = 2 * (both[..., :-1] @ w.unsqueeze(2)).squeeze(2) - both[..., -1]  # ‖w‖² cancels
        return bpr_loss(scores[:, 0], scores[:, 1:]) + penalty

    def _item_vectors(self, batch: ItemFrames) -> Tensor:
        """Return (m, d + 1) [x_i, s_i] of the items of `batch`."""
        x, s = _means(self._points(batch.frames), batch.owners, batch.n_items)
        return torch.cat([x, s[:, None]], 1)

    def batch_sizes(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """Return how many frames the items of a batch have, repeats included (see `TrainableRecommender`)."""
        items = torch.cat([positives[..., None], negatives], -1)
        return {"frames": n_frames_of(self.frame_offsets, items).sum((-2, -1))}

    def _points(self, frames: Tensor | None) -> Tensor:
        """Return (k, d) rows φ(c_k) of (k,) `frames`; None for all frames."""
        hidden = relu(self.features.project(self.hidden, frames) + self.hidden_bias)  # (k, h)
        return hidden @ self.last.T + self.last_bias

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the frozen model: the points of all frames are computed once."""
        points = self._points(None)
        items = torch.arange(len(self.frame_offsets) - 1, device=self.frame_offsets.device)
        positions, owners = row_positions(self.frame_offsets, items)
        return _CDLScorer(self.users.detach().clone(), *_means(points[positions], owners, len(items)), points)


@dataclass(frozen=True)
class _CDLScorer(FrameScorer):
    users: Tensor  # (M, d)
    items: Tensor  # (N, d) x
    squares: Tensor  # (N,) s
    frames: Tensor  # (L, d)

    def item_scores(self, users: Tensor) -> Tensor:
        """Return −D(a, i) for all items."""
        w = self.users[users]
        return 2 * w @ self.items.T - w.square().sum(1)[:, None] - self.squares

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return −‖w_a − φ(c_k)‖²."""
        return -(self.users[users] - self.frames[frames]).square().sum(1)


def _means(points: Tensor, owners: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Return (n_items, d) x_i and (n_items,) s_i of (k, d) `points` and their items; zero without frames."""
    return mean_by(owners, points, n_items), mean_by(owners, points.square().sum(1), n_items)
