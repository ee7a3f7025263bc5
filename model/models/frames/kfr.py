"""KFR: personalised key frame recommendation (after Chen et al., SIGIR 2017), an upper bound that learns from likes.

    l̂_ak = s ln(1 + n_k) + (w + w_a)ᵀ P c_k
    minimise the mean of −ln σ(l̂_ak − l̂_aj) over likes (a, k) of train pairs and frames j of the same item that a does
    not like, + λ ‖w_a‖² per like + λ_P (‖P‖² + ‖w‖²)

w is the taste that all people share, and w_a what user a adds: 0 for someone without a like. n_k is how many other
people of train like frame k, c_k its scaled features (`visual.projection.ScaledFeatures`).

The paper's task is to choose key frames without any like. KFR breaks this rule on purpose, as the paper's one baseline
that needs likes: it shows how much they are worth. It needs the table `frame_likes_train`, which no other model is
given, and sees no like of a validation or test pair. It ranks key frames and no items, as the original.

Differences from the original:
- The original learns from time-synchronised comments, which people write while they watch a video. They say at which
  frame (there, a comment counts as a like) and, by their words, why: an LSTM reads them. There are none here, so its
  whole textual half is absent.
- The share of a frame's popularity, s ln(1 + n_k), is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dataset.errors import MissingInputError, TooLittleDataError, TrainingError
from model.data.jagged import JaggedTensor, row_positions
from model.data.tensors import TrainingData, TrainLikes
from model.models.lookup import lookup
from model.models.loss import bpr_loss_of_margins, mean_squared_norm, squared_norm
from model.models.recommender import FittedRecommender, FrameOnlyScorer, require_features
from model.models.visual.projection import FeatureScaling, ScaledFeatures


@dataclass(frozen=True)
class KFRConfig:
    """The settings. Those of training have no effect, because it does not go over pairs of items.

    Attributes:
        dim: size of w and w_a.
        l2: λ.
        projection_l2: λ_P.
        passes: over the likes; nothing stops them earlier, because validation judges items.
        likes_per_step: size of a batch.
        rate: Adam's learning rate.
        n_others: frames j per like, drawn again in every pass.
        feature_scaling: how features are scaled first (`projection.ScaledFeatures`).
        projection_std: standard deviation of the initial P and w, N(0, projection_std²).
    """

    dim: int = 32
    l2: float = 1e-2
    projection_l2: float = 1e-4
    passes: int = 30
    likes_per_step: int = 256
    rate: float = 2e-3
    n_others: int = 5
    feature_scaling: FeatureScaling = "standard"
    projection_std: float = 0.1


class KFR(FittedRecommender):
    """The model.

    Raises:
        MissingInputError: the data have no frame features, or no likes of train pairs.
        TooLittleDataError: in every train pair with a like, all frames are liked.
    """

    needs_features = True
    learns_from_likes = True
    needs_liked_pairs = True
    learns_from_interactions = False
    ranks_items = False
    upper_bound = "it learns from who liked which frame of train pairs, which no other model is given"
    popularity: Tensor

    def __init__(self, config: KFRConfig, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.features = ScaledFeatures(require_features(data.frames, "kfr"), config.feature_scaling)
        if data.likes is None:
            raise MissingInputError(
                "kfr: the snapshot has no frame_likes_train, the likes of train pairs; publish the dataset again with "
                "`python -m dataset publish --train-likes`"
            )
        counts = torch.bincount(data.likes.frames, minlength=self.features.n_frames)
        self.register_buffer("popularity", counts, persistent=False)  # (L,) n_k, with a user's own likes
        self.seed = int(torch.randint(2**62, (1,), generator=generator))

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * config.projection_std)

        self.projection = normal(config.dim, self.features.width)  # P
        self.shared = normal(config.dim)  # w
        self.users = nn.Parameter(torch.zeros(data.n_users, config.dim))  # w_a
        self.share = nn.Parameter(torch.ones(()))  # s

    def fit(self, data: TrainingData) -> float:
        """Learn from the likes of train pairs; return the loss of the last pass.

        Raises:
            TrainingError: the loss is not finite.
        """
        if data.likes is None:
            raise MissingInputError("kfr: no likes of train pairs")
        device, generator = self.shared.device, torch.Generator().manual_seed(self.seed)
        likes, others = unliked_frames(data.likes, data.frames.offsets)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.rate)
        loss = 0.0
        for _ in range(self.config.passes):
            total = torch.zeros((), dtype=torch.float64, device=device)
            for users, frames, negatives in self._batches(likes, others, generator):
                optimizer.zero_grad(set_to_none=True)
                batch_loss = self.loss(users.to(device), frames.to(device), negatives.to(device))
                batch_loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += batch_loss.detach() * len(users)
            loss = float(total) / len(likes.users)
            if not torch.isfinite(total):
                raise TrainingError(f"kfr: the loss is {loss}; lower rate (it is {self.config.rate})")
        return loss

    def _batches(
        self, likes: TrainLikes, others: JaggedTensor, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (B,) users, (B,) frames that they like, and (B, n) others of the same item, in random order."""
        for batch in torch.split(torch.randperm(len(likes.users), generator=generator), self.config.likes_per_step):
            chance = torch.rand(len(batch), self.config.n_others, generator=generator, dtype=torch.float64)
            places = (chance * others.lengths[batch][:, None]).long()
            yield likes.users[batch], likes.frames[batch], others.values[others.offsets[batch][:, None] + places]

    def loss(self, users: Tensor, frames: Tensor, negatives: Tensor) -> Tensor:
        """Return the loss of a batch with its penalties, a scalar.

        Args:
            users: (B,) int64.
            frames: (B,) int64, which they like.
            negatives: (B, n) int64 of the same items.
        """
        of_users = lookup(users, self.users)  # (B, d)
        distinct, where = torch.unique(torch.cat([frames[:, None], negatives], 1), return_inverse=True)
        looks = lookup(where, self.features.project(self.projection, distinct))  # (B, 1 + n, d)
        scores = (looks @ (self.shared + of_users).unsqueeze(2)).squeeze(2)  # (B, 1 + n)
        own = torch.cat([frames.new_ones(len(frames), 1), torch.zeros_like(negatives)], 1)
        scores = scores + self.share * torch.log1p((self.popularity[distinct][where] - own).to(scores))
        penalty = self.config.projection_l2 * squared_norm([self.projection, self.shared])
        margins = scores[:, :1] - scores[:, 1:]
        return bpr_loss_of_margins(margins) + self.config.l2 * mean_squared_norm(self.users, users, of_users) + penalty

    @torch.no_grad()
    def scorer(self) -> FrameOnlyScorer:
        """Return the frozen model: all frames are projected once."""
        every = torch.arange(self.features.n_frames, device=self.shared.device)
        return _KFRScorer(
            (self.shared + self.users).clone(),
            self.features.project(self.projection, every),
            self.share * torch.log1p(self.popularity.to(self.shared)),
        )


@dataclass(frozen=True)
class _KFRScorer(FrameOnlyScorer):
    users: Tensor  # (M, d) w + w_a
    frames: Tensor  # (L, d) P c_k
    popularity: Tensor  # (L,) s ln(1 + n_k)

    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) l̂_ak pair by pair."""
        return self.popularity[frames] + (self.users[users] * self.frames[frames]).sum(1)


def unliked_frames(likes: TrainLikes, offsets: Tensor) -> tuple[TrainLikes, JaggedTensor]:
    """Return the likes whose user does not like all frames of the item, and for each the frames that they do not like.

    Args:
        likes: n likes.
        offsets: (N + 1,) int64, the frames of the items.

    Raises:
        TooLittleDataError: there is no such like.
    """
    n_frames = int(offsets[-1])
    items = torch.searchsorted(offsets, likes.frames, right=True) - 1
    frames, owners = row_positions(offsets, items)
    keys = likes.users * n_frames
    kept = ~torch.isin(keys[owners] + frames, keys + likes.frames)
    lengths = torch.bincount(owners[kept], minlength=len(items))
    usable = lengths > 0
    if not usable.any():
        raise TooLittleDataError(
            f"kfr: {len(items):,} likes of train pairs, and none whose user leaves a frame of the movie unliked, so "
            "there is nothing to compare; add more frames or likes"
        )
    starts = torch.cat([lengths.new_zeros(1), lengths[usable].cumsum(0)])
    return TrainLikes(likes.users[usable], likes.frames[usable]), JaggedTensor(starts, frames[kept])
