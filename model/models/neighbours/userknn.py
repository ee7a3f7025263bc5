"""User neighbours: r̂_aj = Σ_b s_ab x_bj over the k users nearest to a; x_bj is 1 if b has item j, else 0.

s_ab = n_ab / (√(n_a n_b) + h), the cosine of the rows of two users, shrunk: n_a items belong to user a, n_ab to
both, and h makes similarities small that rest on few items.

Source: Resnick et al. 1994, Herlocker et al. 1999, for implicit feedback; shrinkage in the form of Dacrema et al. 2019.
"""

from dataclasses import dataclass

import numpy as np
import torch

from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.recommender import Scorer
from model.models.sparse import (
    Floats,
    Indices,
    SparseProductScorer,
    SparseRecommender,
    cosine,
    interaction_matrix,
    matrix_of,
    strongest_products,
)


@dataclass(frozen=True)
class UserKNNConfig:
    """The settings.

    Attributes:
        neighbours: k, the nearest users of each user.
        shrink: h.
    """

    neighbours: int = 100
    shrink: float = 10.0


class UserKNN(SparseRecommender):
    """The k nearest users of each user."""

    tried = ("neighbours=50,100,200,400", "shrink=0,10,30,100")

    def fit(self, data: TrainingData) -> None:
        """Compute the similarities; there is no loss."""
        x = interaction_matrix(data)
        similar = cosine(x.sum(1), self.config.shrink)
        self.keep(strongest_products(x, x.T.tocsr(), self.config.neighbours, similar))

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Compare these people with the train users, whose interactions stay.

        A train user with the same items is left out: they know nothing that is new to the person, who may be them.
        """
        theirs = matrix_of(histories, self.n_items)
        ours = matrix_of(JaggedTensor(self.history_offsets, self.history_items), self.n_items)
        n_theirs, n_ours = theirs.sum(1), ours.sum(1)

        def similar(rows: Indices, columns: Indices, both: Floats) -> Floats:
            are_same = (both == n_theirs[rows]) & (both == n_ours[columns])
            return np.where(are_same, 0.0, both / (np.sqrt(n_theirs[rows] * n_ours[columns]) + self.config.shrink))

        self.keep(strongest_products(theirs, ours.T.tocsr(), self.config.neighbours, similar, has_diagonal=True))

    def scorer(self) -> Scorer:
        """Return r̂ = S X, for similarities S (M, M)."""
        return SparseProductScorer(self.learnt, self.history, self.n_items)
