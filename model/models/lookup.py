"""Rows of an embedding table, with a gradient that is fast and the same in every run on the same GPU."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from model.models.static_shapes import for_gpu

_UNIT = 2.0**46  # gradients are whole numbers of 1/_UNIT, 1.4e-14; sums up to 131,072 fit into 64 bits


def lookup(rows: Tensor, table: Tensor) -> Tensor:
    """Return (…, d) `table[rows]` of a (m, d) `table`.

    On a GPU, additions of floats arrive in any order, and sums differ in their last bits from run to run.
    torch's own gradient sorts `rows` first, which costs more than the rest of a small step. Here the gradient is
    summed in fixed point: sums of integers do not depend on their order.
    """
    found: Tensor = (_Lookup if for_gpu(table) else _LookupOnCPU).apply(table, rows)
    return found


class _LookupOnCPU(torch.autograd.Function):
    """torch's own, but for its gradient: rows are added one after another, which takes a third of the time."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.n_rows = len(table)
        return embedding(rows, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        gradient = gradients[0].reshape(rows.numel(), gradients[0].shape[-1])
        return gradient.new_zeros(ctx.n_rows, gradient.shape[1]).index_add_(0, rows.flatten(), gradient), None


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        flat = rows.flatten()
        ctx.save_for_backward(flat)
        ctx.n_rows = len(table)
        return table.index_select(0, flat).view(*rows.shape, table.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        (gradient,) = gradients
        units = (gradient.reshape(len(rows), -1) * _UNIT).long()
        sums = units.new_zeros(ctx.n_rows, units.shape[1]).index_add_(0, rows, units)
        return sums.to(gradient.dtype) * (1 / _UNIT), None
