"""The frames of a batch's distinct items, each of which is projected only once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.jagged import row_positions
from model.models.distinct import MANY, Distinct, distinct
from model.models.segments import counts_by
from model.models.static_shapes import are_static


@dataclass(frozen=True)
class ItemFrames:
    """Distinct items and their frames, item by item.

    Attributes:
        items: the m distinct items.
        frames: (k,) int64; None for all frames in order.
        owners: (k,) int64, ascending: the position in `items.rows` of the item of each frame; m for padding.
    """

    items: Distinct
    frames: Tensor | None
    owners: Tensor

    @property
    def n_items(self) -> int:
        """The number m of the items."""
        return len(self.items.rows)

    def starts(self) -> Tensor:
        """Return the (m + 1,) positions in `frames` where the frames of each item start; the last is their end."""
        return torch.cat([self.owners.new_zeros(1), counts_by(self.owners, self.n_items).cumsum(0)])


def frames_of_items(offsets: Tensor, items: Tensor) -> ItemFrames:
    """Return the frames of (m,) `items`, each taken as distinct.

    Args:
        offsets: (N + 1,) int64, the frames of each of the N items (`Frames.offsets`).
        items: (m,) int64.
    """
    return ItemFrames(Distinct(items, torch.arange(len(items), device=items.device)), *row_positions(offsets, items))


def frames_of_batch(offsets: Tensor, n_frames: int, items: Tensor, reserved: int | None) -> ItemFrames:
    """Return the distinct items of a batch and their frames.

    Args:
        offsets: (N + 1,) int64, the frames of each of the N items.
        n_frames: L, the number of all frames.
        items: int64 of any shape.
        reserved: with static shapes, how many frames a batch's items have at most, repeats included.
    """
    prefers_all = are_static() and (reserved is None or reserved >= MANY * n_frames)
    return frames_of_distinct(offsets, n_frames, distinct(items, len(offsets) - 1, prefers_all), reserved)


def frames_of_distinct(offsets: Tensor, n_frames: int, found: Distinct, reserved: int | None) -> ItemFrames:
    """Return the frames of distinct items; the other arguments are those of `frames_of_batch`."""
    if found.are_all:
        return ItemFrames(found, None, torch.repeat_interleave(offsets.diff(), output_size=n_frames))
    return ItemFrames(found, *row_positions(offsets, found.rows, reserved if are_static() else None))


def n_frames_of(offsets: Tensor, items: Tensor) -> Tensor:
    """Return the numbers of frames of `items`, in their shape."""
    return offsets.diff()[items]
