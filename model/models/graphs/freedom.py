"""FREEDOM (Zhou & Shen, MM 2023): LightGCN plus a frozen graph of similar items, and a thinned interaction graph.

r̂_ai = u_aᵀ (v_i + γ h_i), with u and v LightGCN's propagated embeddings, and h = Sᴸ V⁽⁰⁾ the items' layer-0
embeddings propagated L times over the item graph S = Σ_m share_m S_m. Each item's row of S_m has 1 / k for each of
the k nearest items by the cosine of modality m's vectors, itself included. S is made once, before training.

The loss is BPR's plus, for each modality m, reg_weight times the BPR loss of the scores u_aᵀ (W_m c_i + b_m).

In each epoch, `edge_dropout` of the interactions are left out of the graph. An edge stays with a probability
proportional to 1 / √(d_a d_i), drawn without replacement; scores use the whole graph.

As in MMRec's code, only the last layer of the item graph counts, S_m is not made symmetric (each weight is 1 / k,
because both factors of the normalisation are a row's degree), and h is added to the propagated v.

Differences:
- h has the weight γ; MMRec's code has 1. There, the items' own embeddings escape the smoothing over the graph, and
  the model overfits. On real people and posters (validation NDCG@15, one seed), γ = 1, 0.2 and 0.05 have 0.167, 0.178
  and 0.182; LightGCN has 0.182. Without any pictures, h = V⁽⁰⁾ with γ = 1 has 0.167, too. On sparser data γ was not
  tried.
- No interactions are left out by default: with γ = 0.05, leaving out half of them has 0.180.
- MMRec also trains the features themselves, one copy per item; here they stay, so that a frame has a score:
  u_aᵀ (W c_k + b), by the pictures' modality.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from model.data.jagged import JaggedTensor
from model.data.tensors import ItemFeatures, TrainingData
from model.models.graphs.item_graph import ItemGraph, mixed, nearest
from model.models.graphs.lightgcn import GRAPH_L2, margins, softmax_of_graph
from model.models.graphs.modalities import PICTURES, Projections, item_vectors
from model.models.graphs.user_item_graph import UserItemGraph
from model.models.loss import bpr_loss_of_margins, l2_of_loss, mean_squared_norm
from model.models.names import Loss
from model.models.recommender import FrameScorer, ItemAndFrameVectors, TrainableRecommender, require_features
from model.models.visual.projection import FeatureScaling


@dataclass(frozen=True)
class FREEDOMConfig:
    """The settings.

    Attributes:
        dim: d, size of the embeddings.
        n_layers: layers of the graph of users and items.
        n_item_layers: L, layers of the item graph.
        n_neighbours: k.
        image_share: share of the pictures' graph in S, if there are other modalities, which share the rest equally.
        item_graph_weight: γ; MMRec's code has 1.
        edge_dropout: share of the interactions that an epoch leaves out of the graph.
        reg_weight: weight of the modalities' own losses.
        l2: weight of the L2 penalty on the layer-0 embeddings of a batch (`loss.mean_squared_norm`); None: LightGCN's.
            MMRec has none.
        feature_scaling: how a modality's vectors are scaled for W (`projection.ScaledFeatures`).
        init_std: standard deviation of the initial embeddings, N(0, init_std²).
        loss: `bpr`, or `softmax` (`model.models.softmax`); the modalities' own losses stay BPR's over
            the negatives.
    """

    dim: int = 64
    n_layers: int = 2
    n_item_layers: int = 1
    n_neighbours: int = 10
    image_share: float = 0.1
    item_graph_weight: float = 0.05
    edge_dropout: float = 0.0
    reg_weight: float = 1e-3
    l2: float | None = None
    feature_scaling: FeatureScaling = "standard"
    init_std: float = 0.1
    loss: Loss = "bpr"


class FREEDOM(TrainableRecommender):
    """The model. An item without a vector of a modality has no neighbours there but itself.

    Raises:
        MissingInputError: the data have no frame features.
    """

    user_parameters = ("users",)
    needs_features = True
    tried = ("item_graph_weight=0.05,0.2,1.0", "edge_dropout=0.0,0.5,0.8")
    repeats_steps = False
    batch_factor = 8  # each batch passes over the whole graph
    item_neighbours: Tensor  # (N, k · modalities)
    item_weights: Tensor

    def __init__(self, config: FREEDOMConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.l2 = l2_of_loss(config.l2, config.loss, GRAPH_L2)
        self.graph = UserItemGraph(data.positives, data.n_items)
        self.thinned = self.graph
        modalities = item_vectors(data, "freedom")
        graph = _frozen_graph(modalities, config)
        self.register_buffer("item_neighbours", graph.neighbours, persistent=False)
        self.register_buffer("item_weights", graph.weights, persistent=False)
        self.frame_features = require_features(data.frames, "freedom")
        self.users = nn.Parameter(torch.randn(data.n_users, config.dim, generator=generator) * config.init_std)
        self.items = nn.Parameter(torch.randn(data.n_items, config.dim, generator=generator) * config.init_std)
        self.projections = Projections(modalities, config.dim, config.feature_scaling, generator)

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Make these people users whom the graph leads to, but who change nothing in it."""
        self.graph = self.graph.of_new_people(histories, self.users)
        self.thinned = self.graph

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw the interactions that stay in the graph."""
        if self.config.edge_dropout:
            self.thinned = self.graph.thinned(1 - self.config.edge_dropout, generator)

    def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch plus those of the modalities, a scalar."""
        u, v = self._propagated(self.thinned)
        vectors = v + self._of_similar_items()
        penalty = mean_squared_norm(self.users, users) + mean_squared_norm(self.items, positives)
        if self.config.loss == "softmax":
            loss = softmax_of_graph(u, vectors, users, positives, negatives, self.is_sampled)
        else:
            loss = bpr_loss_of_margins(margins(u, vectors, users, positives, negatives))
            penalty = penalty + mean_squared_norm(self.items, negatives)
        loss = loss + self.l2 * penalty
        of_users = embedding(users, u).unsqueeze(2)  # (B, d, 1)
        items = torch.cat([positives[:, None], negatives], 1)  # (B, 1 + n)
        for projection in self.projections.by_name().values():
            scores = (projection(items) @ of_users).squeeze(2)  # (B, 1 + n)
            loss = loss + self.config.reg_weight * bpr_loss_of_margins(scores[:, :1] - scores[:, 1:])
        return loss

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the inner products of users with items, and with projected frames."""
        u, v = self._propagated(self.graph)
        frames = self.projections.by_name()[PICTURES].of_others(self.frame_features)
        return ItemAndFrameVectors(u, v + self._of_similar_items(), frames)

    def _propagated(self, graph: UserItemGraph) -> tuple[Tensor, Tensor]:
        return graph.propagate(self.users, self.items, self.config.n_layers)

    def _of_similar_items(self) -> Tensor:
        """Return (N, d) γ h."""
        graph = ItemGraph(self.item_neighbours, self.item_weights)
        return self.config.item_graph_weight * graph.propagate(self.items, self.config.n_item_layers)


def _frozen_graph(modalities: dict[str, ItemFeatures], config: FREEDOMConfig) -> ItemGraph:
    graphs = []
    for modality in modalities.values():
        neighbours = nearest(modality.vectors, modality.is_known.nonzero().flatten(), config.n_neighbours)
        graphs.append(ItemGraph(neighbours, torch.full(neighbours.shape, 1 / config.n_neighbours)))
    rest = (1 - config.image_share) / max(1, len(modalities) - 1)
    shares = {name: config.image_share if name == PICTURES else rest for name in modalities}
    return mixed(graphs, list(shares.values()) if len(graphs) > 1 else [1.0])
