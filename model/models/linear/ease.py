"""EASE: the best linear model from items to items that uses no item for itself, in closed form.

    minimise ‖X − X B‖² + λ‖B‖²  with  B_jj = 0
    P = (XᵀX + λI)⁻¹,   B_ij = −P_ij / P_jj for i ≠ j,   r̂_a = x_aᵀ B

X is (M, N): 1 where a user has an item, else 0. The loss at the optimum is Σ_j 1 / P_jj − λN.

One matrix of N × N float32 is filled block by block, inverted in place and kept: 1.6 GB for 20,000 items. The weights
of a run take as much on the disk. Time grows with N³.

Source: Steck 2019.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from dataset.errors import TrainingError
from model.data.jagged import JaggedTensor, row_positions
from model.data.memory import require_memory
from model.data.tensors import TrainingData
from model.models.recommender import FittedRecommender, Scorer
from model.models.sparse import interaction_matrix

_BLOCK_NUMBERS = 1 << 24
_WORKING_BYTES = 1 << 28


@dataclass(frozen=True)
class EASEConfig:
    """The settings.

    Attributes:
        l2: λ.
    """

    l2: float = 200.0


class EASE(FittedRecommender):
    """The matrix B.

    Raises:
        TrainingError: B does not fit into the memory.
    """

    tried = ("l2=20,50,100,200,500,1000",)
    history_offsets: Tensor
    history_items: Tensor
    weights: Tensor  # (N, N) B once fitted

    def __init__(self, config: EASEConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self._require_memory(data)
        self.register_buffer("history_offsets", data.positives.offsets, persistent=False)
        self.register_buffer("history_items", data.positives.values, persistent=False)
        self.register_buffer("weights", torch.zeros(0, 0))

    def fit(self, data: TrainingData) -> float:
        """Compute B; return the loss per train interaction.

        Raises:
            TrainingError: the matrix does not fit into the memory, or λ is too small for float32.
        """
        self._require_memory(data, self.weights.device)
        self.weights = torch.zeros(0, 0, device=self.weights.device)
        inverse = inverted_(gram_matrix(data, self.config.l2, self.weights.device))
        diagonal = inverse.diagonal().clone()  # (N,)
        loss = float((1 / diagonal.double()).sum()) - self.config.l2 * data.n_items
        inverse.div_(-diagonal)
        inverse.fill_diagonal_(0)
        self.weights = inverse
        return loss / len(data.positives.values)

    @classmethod
    def bytes_needed(cls, n_users: int, n_items: int) -> int:
        """Return the size of B, and of what it is computed with."""
        return 4 * n_items**2 + _WORKING_BYTES

    def _require_memory(self, data: TrainingData, device: torch.device | None = None) -> None:
        on_gpu = device is not None and device.type == "cuda"
        require_memory(
            self.bytes_needed(data.n_users, data.n_items) * (2 if on_gpu else 1),  # a GPU inverts into a second matrix
            f"ease: its matrix of {data.n_items:,} × {data.n_items:,} items",
            "train slim or itemknn, which keep a few weights of each item, or build the dataset with fewer movies",
            device,
        )

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories."""
        self.history_offsets, self.history_items = histories.offsets, histories.values

    def scorer(self) -> Scorer:
        """Return the sums of the rows of B that belong to a user's items."""
        return _EASEScorer(self.history_offsets, self.history_items, self.weights)


@dataclass(frozen=True)
class _EASEScorer(Scorer):
    offsets: Tensor  # (M + 1,)
    items: Tensor  # (n,)
    weights: Tensor  # (N, N)

    def item_scores(self, users: Tensor) -> Tensor:
        """Return x_aᵀ B for all items."""
        positions, owners = row_positions(self.offsets, users)
        starts = torch.searchsorted(owners, torch.arange(len(users), device=users.device))
        return embedding_bag(self.items[positions], self.weights, starts, mode="sum")


def gram_matrix(data: TrainingData, l2: float, device: torch.device) -> Tensor:
    """Return (N, N) float32 XᵀX + λI, filled a block of rows at a time."""
    x = interaction_matrix(data)
    by_item = x.T.tocsr()
    gram = torch.empty(data.n_items, data.n_items, device=device)
    step = max(1, _BLOCK_NUMBERS // data.n_items)
    for start in range(0, data.n_items, step):
        block = (by_item[start : start + step] @ x).toarray()
        gram[start : start + step] = torch.from_numpy(block)
    gram.diagonal().add_(l2)
    return gram


def inverted_(matrix: Tensor) -> Tensor:
    """Return the inverse of a symmetric positive definite (N, N) matrix, computed in its memory by Cholesky's method.

    Raises:
        TrainingError: it is not positive definite.
    """
    by_column = matrix.mT  # LAPACK's order of numbers, so torch makes no copy
    info = torch.empty(0, dtype=torch.int32, device=matrix.device)
    torch.linalg.cholesky_ex(by_column, out=(by_column, info))
    if int(info):
        raise TrainingError("EASE: the matrix XᵀX + λI is singular in float32; raise l2")
    torch.cholesky_inverse(by_column, out=by_column)
    return matrix
