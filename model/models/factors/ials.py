"""iALS: matrix factorisation by alternating least squares, with a small weight on every pair that was not observed.

    minimise Σ_{(a,i) observed} (1 − u_aᵀ v_i)² + α₀ Σ_{all (a,i)} (u_aᵀ v_i)²
             + λ Σ_a (n_a + α₀ N)^ν ‖u_a‖² + λ Σ_i (n_i + α₀ M)^ν ‖v_i‖²

Each user solves (Σ_{i ∈ I_a} v_i v_iᵀ + α₀ VᵀV + λ (n_a + α₀ N)^ν I) u_a = Σ_{i ∈ I_a} v_i with the items as they are;
then each item does, with the users as they are. n_a are the user's items, n_i the item's users, M and N all users and
items.

λ = l2 · n̄ / (α₀ N) with n̄ the mean of n_a: beside the weight of a user's own items, about n̄, the penalty is about
`l2` times as strong, whatever N, α₀ and the density are. So one default serves dense and sparse data.

Source: Hu et al. 2008; this form, ν and the initial values are those of Rendle et al. 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.jagged import JaggedTensor, group_by_row, row_positions
from model.data.tensors import TrainingData
from model.models.recommender import EmbeddingScorer, FittedRecommender, Scorer

_BLOCK_NUMBERS = 1 << 22


@dataclass(frozen=True)
class IALSConfig:
    """The settings.

    Attributes:
        dim: d, the size of the embeddings.
        unobserved_weight: α₀.
        l2: λ α₀ N / n̄.
        frequency_exponent: ν; 1 penalises what occurs often more, 0 everything alike.
        sweeps: how often the users and then the items are solved; the best sweep on validation is kept.
        init_std: standard deviation of the initial embeddings times √d.
    """

    dim: int = 64
    unobserved_weight: float = 0.1
    l2: float = 0.1
    frequency_exponent: float = 1.0
    sweeps: int = 16
    init_std: float = 0.1


class IALS(FittedRecommender):
    """Embeddings of users and items; `fit` is one sweep."""

    fits_in_steps = True
    tried = ("dim=32,64,128", "unobserved_weight=0.03,0.1,0.3", "l2=0.03,0.1,0.3")
    users: Tensor
    items: Tensor

    def __init__(self, config: IALSConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_fits = config.sweeps
        self._mean_items = len(data.positives.values) / data.n_users
        std = config.init_std / config.dim**0.5
        self.register_buffer("users", torch.randn(data.n_users, config.dim, generator=generator) * std)
        self.register_buffer("items", torch.randn(data.n_items, config.dim, generator=generator) * std)

    def fit(self, data: TrainingData) -> float:
        """Solve all users, then all items; return the loss per train interaction."""
        of_user = data.positives
        of_item = group_by_row(of_user.values, of_user.owners, data.n_items)
        self.users = self._solved(self.items, of_user)
        self.items = self._solved(self.users, of_item)
        return self._loss(of_user) / len(of_user.values)

    def scorer(self) -> Scorer:
        """Return the inner products of the embeddings."""
        return EmbeddingScorer(self.users, self.items)

    @property
    def _strength(self) -> float:
        """λ; an α₀ N below 1 counts as 1."""
        return self.config.l2 * self._mean_items / max(1.0, self.config.unobserved_weight * len(self.items))

    def _solved(self, fixed: Tensor, partners: JaggedTensor) -> Tensor:
        """Return (R, d) solutions for R rows, whose `partners` are rows of (Q, d) `fixed`."""
        config, device = self.config, fixed.device
        everywhere = config.unobserved_weight * (fixed.T @ fixed)  # (d, d)
        lengths = partners.lengths
        weights = lengths.double() + config.unobserved_weight * len(fixed)
        penalties = (self._strength * weights**config.frequency_exponent).to(fixed)
        solved = fixed.new_zeros(len(lengths), fixed.shape[1])
        eye = torch.eye(fixed.shape[1], device=device)
        for rows in _blocks_of_like_lengths(lengths, fixed.shape[1]):
            positions, owners = row_positions(partners.offsets, rows)
            places = torch.arange(len(owners)) - (lengths[rows].cumsum(0) - lengths[rows])[owners]
            padded = fixed.new_zeros(len(rows), max(1, int(lengths[rows].max())), fixed.shape[1])  # (B, L, d)
            padded[owners.to(device), places.to(device)] = fixed[partners.values[positions].to(device)]
            system = padded.mT @ padded + everywhere + penalties[rows.to(device)][:, None, None] * eye  # (B, d, d)
            right = padded.sum(1).unsqueeze(2)  # (B, d, 1)
            solved[rows.to(device)] = torch.cholesky_solve(right, torch.linalg.cholesky(system)).squeeze(2)
        return solved

    def _loss(self, of_user: JaggedTensor) -> float:
        config, u, v = self.config, self.users.double(), self.items.double()
        observed = 0.0
        pairs = zip(*(torch.split(part, _BLOCK_NUMBERS) for part in (of_user.owners, of_user.values)), strict=True)
        for users, items in pairs:
            scores = (self.users[users.to(u.device)] * self.items[items.to(u.device)]).sum(1).double()
            observed += float((1 - scores).square().sum())
        everywhere = config.unobserved_weight * float(((u.T @ u) * (v.T @ v)).sum())
        n_items = torch.bincount(of_user.values, minlength=len(v))
        penalty = 0.0
        for table, counts, others in ((u, of_user.lengths, len(v)), (v, n_items, len(u))):
            weights = (counts + config.unobserved_weight * others).double() ** config.frequency_exponent
            penalty += self._strength * float(weights.to(table.device) @ table.square().sum(1))
        return observed + everywhere + penalty


def _blocks_of_like_lengths(lengths: Tensor, dim: int) -> Iterator[Tensor]:
    """Yield (B,) rows in the order of their lengths, as many as fit into a block padded to the longest."""
    order = torch.argsort(lengths, descending=True, stable=True)
    start = 0
    while start < len(order):
        size = max(1, _BLOCK_NUMBERS // (max(dim, int(lengths[order[start]])) * dim))
        yield order[start : start + size]
        start += size
