"""RP³β: random walks of three steps from a user, with popular items held back.

r̂_aj = Σ_{i ∈ I_a} w_ij,   w_ij = Σ_b (x_bi / n_i)^α (x_bj / n_b)^α / n_j^β

A walk goes from one of the user's items i to one of its n_i users b, and on to one of the n_b items of b. The factor
of the first step, n_a^−α, is the same for all items of a user and left out. Of each w_i the k largest are kept.

Source: Paudel et al. 2017 (Cooper et al. 2014 for α); k as in Dacrema et al. 2019.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from model.data.tensors import TrainingData
from model.models.sparse import SparseRecommender, interaction_matrix, strongest_products


@dataclass(frozen=True)
class RP3BetaConfig:
    """The settings.

    Attributes:
        neighbours: k, the weights of each item that are kept.
        alpha: α, how much the probability of a step counts.
        beta: β, how much popular items are held back.
    """

    neighbours: int = 200
    alpha: float = 0.6
    beta: float = 0.3


class RP3Beta(SparseRecommender):
    """The strongest walks from item to item."""

    tried = ("neighbours=50,200", "alpha=0.4,0.6,1", "beta=0.1,0.2,0.4,0.6")

    def fit(self, data: TrainingData) -> None:
        """Compute the weights; there is no loss."""
        alpha, beta = self.config.alpha, self.config.beta
        x = interaction_matrix(data)
        n_items, n_users = np.maximum(x.sum(0), 1), np.maximum(x.sum(1), 1)
        to_users = sparse.diags_array(n_items**-alpha) @ x.T  # (N, M)
        to_items = sparse.diags_array(n_users**-alpha) @ x  # (M, N)
        self.keep(
            strongest_products(
                to_users.tocsr(),
                to_items.tocsr(),
                self.config.neighbours,
                lambda i, j, walks: walks / n_items[j] ** beta,
            )
        )
