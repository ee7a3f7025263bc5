"""JIFR+: JIFR with a softmax, and with EASE as a second half of habit. Ours, not the paper's.

The learnt scores are JIFR's with equal weights of habit and looks,

    s_ai = u_aᵀ v_i + w_aᵀ x_i,    x_i = Σ_{j ∈ S_i} α_ij P c_j    (Wu et al. 2019, Eq. 2, 5–7)

and minimise, over the train interactions (a, i) of a batch,

    −ln softmax(s_a)_i + λ (‖u_a‖² + ‖v_i‖²) + λ_x (‖w_a‖² + ‖x_i‖²) + λ_2 (‖W¹‖² + ‖w¹‖²).

e_a = (the items of a)ᵀ B are the scores of EASE, whose B is fixed by the train interactions (`ease.py`). The rating is

    r̂_ai = s_ai + γ e_ai.

e_ai is near 1 where many others who have a's items have i, and near 0 where data are sparse, so one γ serves both. The
two halves are learnt apart: a model that was trained on top of e ranked worse than either. The key frame is JIFR's,
by l̂_ak = w_aᵀ P c_k.

Differences from JIFR: the loss; no rating attention, which would need a network per pair of a user and an item; EASE.
B is fitted again when a run is loaded, so it is no part of the weights.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dataset.errors import UsageError
from model.data.jagged import JaggedTensor
from model.data.tensors import TrainingData
from model.models.linear.ease import EASE, EASEConfig
from model.models.names import Loss
from model.models.recommender import FrameScorer, Scorer
from model.models.visual.jifr import JIFR, Attention, JIFRConfig


@dataclass(frozen=True)
class JIFRPlusConfig(JIFRConfig):
    """The settings: those of `JIFRConfig`, with other defaults, and two more.

    Attributes:
        linear_weight: γ; 0 leaves EASE out, and with it the memory that B needs.
        linear_l2: λ of EASE.
    """

    loss: Loss = "softmax"
    rating_attention: Attention = "avg"
    collaborative_dim: int = 64
    l2: float | None = None
    visual_l2: float | None = None
    linear_weight: float = 10.0
    linear_l2: float = 200.0


class JIFRPlus(JIFR):
    """The model.

    Raises:
        MissingInputError: the data have no frame features.
        TrainingError: EASE's matrix does not fit into the memory.
        UsageError: rating attention.
    """

    tried: ClassVar[tuple[str, ...]] = ("l2=0.03,0.1", "visual_l2=0.03,0.1", "linear_weight=0.0,5.0,20.0")
    repeats_steps = False

    def __init__(self, config: JIFRPlusConfig, data: TrainingData, generator: torch.Generator) -> None:
        if config.rating_attention != "avg":
            raise UsageError("jifr_plus: rating_attention is avg only; train jifr for the paper's rating attention")
        super().__init__(config, data, generator)
        self._weight = config.linear_weight
        self._linear: _FittedWhenNeeded | None = None
        if self._weight:
            self._linear = _FittedWhenNeeded(EASE(EASEConfig(config.linear_l2), data, generator), data)

    @classmethod
    def bytes_needed(cls, n_users: int, n_items: int) -> int:
        """Return what EASE needs."""
        return EASE.bytes_needed(n_users, n_items)

    def replace_users(self, histories: JaggedTensor, generator: torch.Generator) -> None:
        """Keep these histories for EASE."""
        if self._linear is not None:
            self._linear = self._linear.of_new_people(histories, generator)

    @torch.no_grad()
    def scorer(self) -> FrameScorer:
        """Return the frozen model."""
        learnt = super().scorer()
        if self._linear is None:
            return learnt
        return _Mixed(learnt, self._linear.scorer(self.frame_offsets.device), self._weight)


class _FittedWhenNeeded:
    """EASE, fitted when its scores are first asked for. It is no submodule, so checkpoints do not hold its matrix."""

    def __init__(self, ease: EASE, data: TrainingData) -> None:
        self._ease, self._data = ease, data

    def of_new_people(self, histories: JaggedTensor, generator: torch.Generator) -> "_FittedWhenNeeded":
        ease = copy.copy(self._ease)
        ease._buffers = dict(self._ease._buffers)  # what is replaced there stays here
        ease.replace_users(histories, generator)
        return _FittedWhenNeeded(ease, self._data)

    def scorer(self, device: torch.device) -> Scorer:
        self._ease.to(device)
        if not self._ease.weights.numel():
            self._ease.fit(self._data)
        return self._ease.scorer()


@dataclass(frozen=True)
class _Mixed(FrameScorer):
    learnt: FrameScorer
    linear: Scorer
    weight: float

    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) r̂."""
        return self.learnt.item_scores(users).add(self.linear.item_scores(users), alpha=self.weight)

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) l̂."""
        return self.learnt.frame_scores(users, frames)
