"""Item neighbours: r̂_aj = Σ_{i ∈ I_a} s_ij over the user's items that are among the k nearest of j.

s_ij = n_ij / (√(n_i n_j) + h), the cosine of the columns of two items, shrunk: n_i users have item i, n_ij have
both, and h makes similarities small that rest on few users.

Source: Sarwar et al. 2001; Deshpande & Karypis 2004; shrinkage in the form of Dacrema et al. 2019.
"""

from dataclasses import dataclass

from model.data.tensors import TrainingData
from model.models.sparse import SparseRecommender, cosine, interaction_matrix, strongest_products


@dataclass(frozen=True)
class ItemKNNConfig:
    """The settings.

    Attributes:
        neighbours: k, the nearest items of each item.
        shrink: h.
    """

    neighbours: int = 200
    shrink: float = 30.0


class ItemKNN(SparseRecommender):
    """The k nearest items of each item."""

    tried = ("neighbours=50,100,200,400", "shrink=0,10,30,100")

    def fit(self, data: TrainingData) -> None:
        """Compute the similarities; there is no loss."""
        x = interaction_matrix(data)
        similar = cosine(x.sum(0), self.config.shrink)
        nearest = strongest_products(x.T.tocsr(), x, self.config.neighbours, similar)
        self.keep(nearest.T.tocsr())  # its rows were the items j
