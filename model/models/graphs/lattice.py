"""LATTICE (Zhang et al., MM 2021): LightGCN plus a learnt graph of similar items.

r̂_ai = u_aᵀ (v_i + γ h_i / ‖h_i‖), with u and v LightGCN's propagated embeddings, and h = Sᴸ V⁽⁰⁾ the items' layer-0
embeddings propagated L times over the item graph

    S = λ Σ_m β_m N(S_m) + (1 − λ) N(Σ_m β_m S̃_m),    β = softmax of one learnt number per modality   (Eq. 2–7).

S_m has the cosines of modality m's vectors with those of the k nearest items, itself included; S̃_m is the same for the
learnt projections W_m c_i + b_m. N(S) = D^(−1/2) S D^(−1/2) with the diagonal D of S's row sums.

As in MMRec's code: S is made again in the first batch of each epoch, and only there do gradients reach W, b and β; the
propagation over users and items uses D⁻¹ (A + I) instead of LightGCN's symmetric form; and the L2 penalty is on the
propagated vectors of the batch. Differences: h / ‖h‖ has the weight γ, in MMRec's code 1; on real people and posters,
γ = 1, 0.3 and 0.1 have a validation NDCG@15 of 0.180, 0.181 and 0.182, LightGCN 0.182 (one seed). MMRec also trains the
features; here they stay as they are.
No score of the model uses a picture itself, so it does not rank frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.graphs.item_graph import ItemGraph, cosines, mixed, nearest, symmetric
from model.models.graphs.lightgcn import margins, softmax_of_graph
from model.models.graphs.modalities import Projections, item_vectors
from model.models.graphs.user_item_graph import UserItemGraph
from model.models.loss import bpr_loss_of_margins, l2_of_loss, mean_squared_norm
from model.models.names import Loss
from model.models.recommender import EmbeddingScorer, Scorer, TrainableRecommender
from model.models.visual.projection import FeatureScaling

_L2: dict[Loss, float] = {"bpr": 7e-3, "softmax": 7e-2}


@dataclass(frozen=True)
class LATTICEConfig:
    """The settings.

    Attributes:
        dim: d, size of the embeddings and of the projections.
        n_neighbours: k.
        raw_share: λ, share of the graph of the features as they are.
        item_graph_weight: γ; MMRec's code has 1.
        n_item_layers: L, layers of the item graph.
        n_layers: layers of the graph of users and items.
        l2: weight of the L2 penalty on the propagated vectors of a batch (`loss.mean_squared_norm`); None: 0.007, with
            a softmax 0.07.
        feature_scaling: how a modality's vectors are scaled for W (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`).
    """

    dim: int = 64
    n_neighbours: int = 10
    raw_share: float = 0.9
    item_graph_weight: float = 0.1
    n_item_layers: int = 1
    n_layers: int = 2
    l2: float | None = None
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.1
    loss: Loss = "bpr"


class LATTICE(TrainableRecommender):
    """The model. An item without a vector of a modality has no neighbours there but itself.

    Raises:
        MissingInputError: the data have no frame features.
    """

    user_parameters = ("users",)
    needs_features = True
    tried = ("l2=0.001,0.003,0.01,0.03", "item_graph_weight=0.1,0.3,1.0")
    repeats_steps = False
    batch_factor = 8  # each batch passes over the whole graph

    def __init__(self, config: LATTICEConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_of_loss(config.l2, config.loss, _L2)
        self.graph = UserItemGraph(data.positives, data.n_items, self_loops=True)
        modalities = item_vectors(data, "lattice")
        self.projections = Projections(modalities, config.dim, config.feature_scaling, generator)
        for name, modality in modalities.items():
            known = modality.is_known.nonzero().flatten()
            neighbours = nearest(modality.vectors, known, config.n_neighbours)
            graph = symmetric(neighbours, cosines(modality.vectors, neighbours))
            self.register_buffer(f"{name}_known", known, persistent=False)
            self.register_buffer(f"{name}_neighbours", neighbours, persistent=False)
            self.register_buffer(f"{name}_weights", graph.weights, persistent=False)
        self.mixture = nn.Parameter(torch.full((len(modalities),), 1 / len(modalities)))  # β before the softmax
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)
        self._item_graph: ItemGraph | None = None

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Make these people users whom the graph leads to, but who change nothing in it."""
        self.graph = self.graph.of_new_people(histories, self.users)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Let the first batch make the item graph again."""
        self._item_graph = None

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalty, a scalar."""
        graph = self.item_graph() if self._item_graph is None else self._item_graph
        self._item_graph = graph.detach()
        u, v = self._vectors(graph)
        penalty = mean_squared_norm(u, users) + mean_squared_norm(v, positives)
        if self.config.loss == "softmax":
            return softmax_of_graph(u, v, users, positives, negatives, self.is_sampled) + self.l2 * penalty
        penalty = penalty + mean_squared_norm(v, negatives)
        return bpr_loss_of_margins(margins(u, v, users, positives, negatives)) + self.l2 * penalty

    def item_graph(self) -> ItemGraph:
        """Return S for the present weights."""
        shares = torch.softmax(self.mixture, 0)
        raw, learnt, similarities = [], [], []
        for name, projection in self.projections.by_name().items():
            raw.append(ItemGraph(getattr(self, f"{name}_neighbours"), getattr(self, f"{name}_weights")))
            vectors = projection.every()
            neighbours = nearest(vectors, getattr(self, f"{name}_known"), self.config.n_neighbours)
            learnt.append(neighbours)
            similarities.append(cosines(vectors, neighbours))
        mixed_similarities = torch.cat([share * s for share, s in zip(shares, similarities, strict=True)], 1)
        of_projections = symmetric(torch.cat(learnt, 1), mixed_similarities)
        share = self.config.raw_share
        return mixed([*raw, of_projections], [*(share * shares), 1 - share])

    def _vectors(self, graph: ItemGraph) -> tuple[Tensor, Tensor]:
        """Return (M, d) vectors of users and (N, d) vectors of items."""
        u, v = self.graph.propagate(self.users, self.items, self.config.n_layers)
        similar = normalize(graph.propagate(self.items, self.config.n_item_layers), dim=1)
        return u, v + self.config.item_graph_weight * similar

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Return the inner products of the vectors, with the item graph of the present weights."""
        return EmbeddingScorer(*self._vectors(self.item_graph()))
