"""BM3 (Zhou et al., WWW 2023): learns without negatives, by predicting one view of an item from another.

u, v are LightGCN's propagated embeddings, the items' layer 0 added to v once more. With the linear predictor p,
views without gradients in square brackets, "·" the cosine, and x_m = W_m c_i + b_m the item's vector in modality m,

    L = [1 − p(u)·[v]] + [1 − p(v)·[u]]
        + cl_weight Σ_m ( [1 − p(x_m)·[v]] + [1 − p(x_m)·[x_m]] ) + reg_weight (‖U‖ + ‖V‖) / N

for the interactions of the batch (Eq. 8–14); dropout is applied to the views without gradients. Scores are
p(u_a)ᵀ p(v_i). A frame's score is p(u_a)ᵀ p(W c_k + b), by the pictures' modality; the paper has none.

As in MMRec's code, ‖·‖ is the norm of a whole matrix, not its square. Difference: MMRec also trains the features; here
they stay as they are. Negative items are ignored, so `n_negatives` has no effect.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, embedding

from model.data.tensors import TrainingData
from model.models.graphs.modalities import PICTURES, Projections, item_vectors
from model.models.graphs.user_item_graph import UserItemGraph
from model.models.recommender import FrameScorer, ItemAndFrameVectors, TrainableRecommender, require_features
from model.models.visual.projection import FeatureScaling


@dataclass(frozen=True)
class BM3Config:
    """The settings.

    Attributes:
        dim: d, size of the embeddings.
        n_layers: layers of the graph of users and items.
        dropout: share of the numbers that are dropped from the views without gradients.
        reg_weight: weight of the penalty.
        cl_weight: weight of the modalities' losses.
        feature_scaling: how a modality's vectors are scaled for W (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
    """

    dim: int = 64
    n_layers: int = 2
    dropout: float = 0.3
    reg_weight: float = 0.01
    cl_weight: float = 2.0
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.1


class BM3(TrainableRecommender):
    """The model.

    Raises:
        MissingInputError: the data have no frame features.
    """

    needs_features = True
    tried = ("reg_weight=0.001,0.01,0.1", "n_layers=1,2", "dropout=0.3,0.5")
    repeats_steps = False
    batch_factor = 8  # each batch passes over the whole graph

    def __init__(self, config: BM3Config, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.graph = UserItemGraph(data.positives, data.n_items)
        self.frame_features = require_features(data.frames, "bm3")
        self.projections = Projections(item_vectors(data, "bm3"), config.dim, config.feature_scaling, generator)
        bound = (3 / config.dim) ** 0.5  # Glorot & Bengio 2010
        weight = (2 * torch.rand(config.dim, config.dim, generator=generator) - 1) * bound
        self.predictor_weight, self.predictor_bias = nn.Parameter(weight), nn.Parameter(torch.zeros(config.dim))
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)
        self._dropout: torch.Generator | None = None

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Start the dropout of an epoch."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        self._dropout = torch.Generator(self.users.device).manual_seed(seed)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return L for a batch, a scalar."""
        u, v = self._propagated()
        of_users, of_items = embedding(users, u), embedding(positives, v)  # (B, d)
        user_view, item_view = self._view(of_users), self._view(of_items)
        loss: Tensor = self._apart(of_users, item_view) + self._apart(of_items, user_view)
        for projection in self.projections.by_name().values():
            x = projection(positives)
            loss = loss + self.config.cl_weight * (self._apart(x, item_view) + self._apart(x, self._view(x)))
        norms: Tensor = torch.linalg.vector_norm(u) + torch.linalg.vector_norm(v)
        return loss + self.config.reg_weight * norms / len(v)

    def _apart(self, online: Tensor, view: Tensor) -> Tensor:
        """Return the mean of 1 − cos(p(online), view)."""
        similarity: Tensor = cosine_similarity(self._predicted(online), view, dim=1)
        return 1 - similarity.mean()

    def _view(self, vectors: Tensor) -> Tensor:
        """Return a view without gradients; outside of an epoch nothing is dropped."""
        view, dropped = vectors.detach(), self.config.dropout
        if self._dropout is None or not dropped:
            return view
        kept = torch.rand(view.shape, generator=self._dropout, device=view.device) >= dropped
        return view * kept / (1 - dropped)

    def _predicted(self, vectors: Tensor) -> Tensor:
        return vectors @ self.predictor_weight.T + self.predictor_bias

    def _propagated(self) -> tuple[Tensor, Tensor]:
        u, v = self.graph.propagate(self.users, self.items, self.config.n_layers)
        return u, v + self.items

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the inner products of the predictions."""
        u, v = (self._predicted(vectors) for vectors in self._propagated())
        frames = self.projections.by_name()[PICTURES].of_others(self.frame_features)
        return ItemAndFrameVectors(u, v, self._predicted(frames))
