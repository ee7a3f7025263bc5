"""Scores of a trained JIFR for all items at once: the same as `JIFR.score` and `JIFR.score_frames`, but faster."""

import torch
from torch import Tensor

from model.models.recommender import FrameScorer

_TILE_ITEMS, _TILE_USERS = 1 << 12, 4  # on a CPU, (2 h, users, items) numbers are computed at once
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
        (self._by_tile if users.device.type == "cpu" else self._by_users)(of_users, logits)
        return looks.lerp_(habit, logits.add_(self._of_items).sigmoid_())

    def _by_tile(self, of_users: Tensor, logits: Tensor) -> None:
        """Write the weighted sums of all pairs into (B, N) `logits`, a tile of users and items at a time.

        A tile stays in a core's cache. It is not smaller, because threads take turns between the operations.
        """
        weights, of_users = self._weights[None], of_users.T.contiguous()  # (1, 2 h), (2 h, B)
        memory = weights.new_empty(len(of_users) * _TILE_USERS * _TILE_ITEMS)  # reused: fresh memory costs more
        tiles = torch.split(logits, _TILE_ITEMS, dim=1)
        for items, columns in zip(torch.split(self._minus_items, _TILE_ITEMS, dim=1), tiles, strict=True):
            some_users, some_rows = torch.split(of_users, _TILE_USERS, dim=1), torch.split(columns, _TILE_USERS)
            for users, tile in zip(some_users, some_rows, strict=True):
                larger = memory[: len(of_users) * tile.numel()].view(-1, *tile.shape)
                torch.maximum(users[:, :, None], items[:, None], out=larger)
                tile.copy_((weights @ larger.flatten(1)).view(tile.shape))

    def _by_users(self, of_users: Tensor, logits: Tensor) -> None:
        """Write the same, some users at a time: a GPU needs more work at once."""
        at_once = max(1, _GPU_NUMBERS // self._minus_items.numel())
        for some, rows in zip(torch.split(of_users, at_once), torch.split(logits, at_once), strict=True):
            rows.copy_(self._weights @ torch.maximum(some[:, :, None], self._minus_items))

    @torch.no_grad()
    def frame_scores(self, users: Tensor, frames: Tensor) -> Tensor:
        """Return (n,) frame preferences l̂_ak = w_aᵀ P c_k (Eq. 4)."""
        return (self._w[users] * self._frames[frames]).sum(1)
