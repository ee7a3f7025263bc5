"""Scores of a trained JIFR for all items at once: the same as `JIFR.score` and `JIFR.score_frames`, but faster."""

import torch
from torch import Tensor

from model.models.recommender import FrameScorer

_TILE_ITEMS = 1 << 12  # on a CPU, (2 h, items) numbers stay in a core's cache
_GPU_NUMBERS = 1 << 25  # on a GPU, (users, 2 h, items) numbers are computed at once


class JIFRScorer(FrameScorer):
    """The frozen model.

    Nearly all time goes into the rating attention, which differs for each pair of a user and an
    item. With relu(a + b) = max(a, −b) + b, the difference of the two logits in Eq. 10 is a term of
    the item, computed once, plus a weighted sum of 2 h numbers max(a, −b) per pair. The weights are
    w² for habit and −w² for looks.

    Args:
        user_collaborative: (M, d1), U.
        item_collaborative: (N, d1), V.
        user_visual: (M, d2), W.
        item_visual: (N, d2), all x_i.
        frame_visual: (L, d2), all P c_k.
        rating_network: (h, 2 d1) and (h,), W² and w² of Eq. 9; None without rating attention (Eq. 2).
    """

    def __init__(
        self,
        user_collaborative: Tensor,
        item_collaborative: Tensor,
        user_visual: Tensor,
        item_visual: Tensor,
        frame_visual: Tensor,
        rating_network: tuple[Tensor, Tensor] | None,
    ) -> None:
        self._u, self._v = user_collaborative, item_collaborative
        self._w, self._x = user_visual, item_visual
        self._frames = frame_visual
        self._has_attention = rating_network is not None
        if rating_network is not None:
            hidden, logit = (weight.detach() for weight in rating_network)
            self._of_user, of_item = hidden.chunk(2, 1)  # (h, d1) each
            of_items = torch.stack([self._v, self._x]) @ of_item.T  # (2, N, h)
            self._weights = torch.cat([logit, -logit])  # (2 h,)
            self._minus_items = -of_items.transpose(1, 2).flatten(0, 1).contiguous()  # (2 h, N)
            self._of_items = -(self._weights @ self._minus_items)  # (N,)

    @torch.no_grad()
    def item_scores(self, users: Tensor) -> Tensor:
        """Return (B, N) predicted ratings r̂_ai of all items for (B,) int64 `users` (Eq. 8; Eq. 2 without attention)."""
        u, w = self._u[users], self._w[users]
        habit, looks = u @ self._v.T, w @ self._x.T  # (B, N)
        if not self._has_attention:
            return habit + looks
        logits = torch.empty_like(habit)  # the logit of habit minus that of looks
        of_users = (torch.stack([u, w]) @ self._of_user.T).transpose(0, 1).flatten(1)  # (B, 2 h)
        (self._by_user if users.device.type == "cpu" else self._by_users)(of_users, logits)
        return torch.lerp(looks, habit, torch.sigmoid_(logits.add_(self._of_items)))

    def _by_user(self, of_users: Tensor, logits: Tensor) -> None:
        """Write the weighted sums of all pairs into (B, N) `logits`, user by user, a tile of items at a time."""
        tiles = torch.split(self._minus_items, _TILE_ITEMS, dim=1)
        larger = [torch.empty_like(tile) for tile in tiles]  # reused, because fresh memory costs more than filling it
        sums = [tile.new_empty(1, tile.shape[1]) for tile in tiles]
        weights = self._weights[None]
        for of_user, row in zip(of_users[:, :, None], logits[:, None], strict=True):
            for tile, buffer, part in zip(tiles, larger, sums, strict=True):
                torch.mm(weights, torch.maximum(of_user, tile, out=buffer), out=part)
            torch.cat(sums, dim=1, out=row)

    def _by_users(self, of_users: Tensor, logits: Tensor) -> None:
        """Write the same, some users at a time: a GPU needs more work at once."""
        at_once = max(1, _GPU_NUMBERS // self._minus_items.numel())
        for some, rows in zip(torch.split(of_users, at_once), torch.split(logits, at_once), strict=True):
            rows.copy_(self._weights @ torch.maximum(some[:, :, None], self._minus_items))

    @torch.no_grad()
    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) frame preferences l̂_ak = w_aᵀ P c_k (Eq. 4)."""
        return (self._w[users] * self._frames[frames]).sum(1)
