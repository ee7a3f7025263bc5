"""Convolutions by Winograd's minimal filtering, which multiplies a quarter as often: fp32 networks on a CPU use them.

A 3 × 3 convolution of 4 × 4 outputs reads 6 × 6 inputs d. With fixed matrices A, B, G, it is Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
for a filter g: 36 multiplications instead of 144. Over channels, ⊙ becomes 36 matrix products. The result differs from
the plain convolution's by a few roundings (3e-6), less than two processors differ in a deep network.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1, F(4 × 4, 3 × 3).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

_INPUT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
          [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]  # fmt: skip
_FILTER = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
_SIDE, _STEP = 6, 4  # of a tile: its inputs, its outputs
_TILES = 224  # at once, so that they stay in a CPU's cache
# Below these numbers of channels, moving tiles costs more than is saved (measured with AVX2 and AVX-512).
_MIN_CHANNELS, _MIN_MOST_CHANNELS = 128, 256


class WinogradConvolution(nn.Module):
    """A convolution of 3 × 3 with stride 1, computed tile by tile.

    Args:
        plain: the convolution; see `is_possible`.
    """

    input_transform: Tensor  # (36, 36)
    output_transform: Tensor  # (16, 36)
    filters: Tensor  # (36, C, K)

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        self._padding = plain.padding
        by_side, by_filter, by_output = (torch.tensor(rows).double() for rows in (_INPUT, _FILTER, _OUTPUT))
        flat = plain.weight.detach().double().permute(2, 3, 1, 0).reshape(9, -1)
        filters = torch.kron(by_filter / 24, by_filter / 24) @ flat
        self.register_buffer("filters", filters.float().view(36, plain.in_channels, plain.out_channels))
        self.register_buffer("input_transform", torch.kron(by_side, by_side).float())
        self.register_buffer("output_transform", torch.kron(by_output, by_output).float())

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, K, H', W'), in channels-last memory."""
        rows, columns = (int(padding) for padding in self._padding)
        n, _, height, width = inputs.shape
        height, width = height + 2 * rows - 2, width + 2 * columns - 2
        down, across = -(-height // _STEP), -(-width // _STEP)
        below, right = down * _STEP - height + rows, across * _STEP - width + columns
        padded = pad(inputs.permute(0, 2, 3, 1), (0, 0, columns, right, rows, below)).contiguous()
        tiles = padded.unfold(1, _SIDE, _STEP).unfold(2, _SIDE, _STEP).permute(4, 5, 0, 1, 2, 3)  # (6, 6, B, …, C)
        outputs = inputs.new_empty(n, down, _STEP, across, _STEP, self.filters.shape[2])
        self._convolve(tiles, outputs.permute(2, 4, 0, 1, 3, 5))
        whole = outputs.view(n, down * _STEP, across * _STEP, -1)
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    def _convolve(self, tiles: Tensor, outputs: Tensor) -> None:
        """Write the (4, 4, B, rows, columns, K) outputs of (6, 6, B, rows, columns, C) tiles, some tiles at a time."""
        n, down, across, n_in = tiles.shape[2:]
        n_out = outputs.shape[-1]
        images = max(1, min(n, _TILES // (down * across)))
        rows = down if images > 1 else max(1, min(down, _TILES // across))
        memory = [
            tiles.new_empty(size * images * rows * across) for size in (36 * n_in, 36 * n_in, 36 * n_out, 16 * n_out)
        ]
        for image in range(0, n, images):
            for row in range(0, down, rows):
                part = tiles[:, :, image : image + images, row : row + rows]
                count = part[0, 0, ..., 0].numel()
                sizes = (36 * n_in, 36 * n_in, 36 * n_out, 16 * n_out)
                gathered, transformed, products, results = (
                    kept[: size * count] for kept, size in zip(memory, sizes, strict=True)
                )
                gathered.view(part.shape).copy_(part)
                torch.mm(self.input_transform, gathered.view(36, -1), out=transformed.view(36, -1))
                torch.bmm(transformed.view(36, count, n_in), self.filters, out=products.view(36, count, n_out))
                torch.mm(self.output_transform, products.view(36, -1), out=results.view(16, -1))
                target = outputs[:, :, image : image + images, row : row + rows]
                if self.bias is None:
                    target.copy_(results.view(target.shape))
                else:
                    torch.add(results.view(target.shape), self.bias, out=target)


def is_possible(module: nn.Module) -> bool:
    """Return whether a module is a convolution that this way computes, and computes faster."""
    return (
        type(module) is nn.Conv2d
        and (module.kernel_size, module.stride, module.dilation, module.groups) == ((3, 3), (1, 1), (1, 1), 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and min(module.in_channels, module.out_channels) >= _MIN_CHANNELS
        and max(module.in_channels, module.out_channels) >= _MIN_MOST_CHANNELS
        and module.weight.dtype == torch.float32
    )


def with_winograd(network: nn.Module) -> tuple[nn.Module, int]:
    """Return a copy with the same weights and these convolutions, and how many there are; of none, the network."""
    found = [name for name, module in network.named_modules() if is_possible(module)]
    if not found:
        return network, 0
    shared = {id(weight): weight for weight in network.parameters()}
    changed = copy.deepcopy(network, shared).eval()  # the copy of a traced network is in training mode
    for name in found:
        parent, _, leaf = name.rpartition(".")
        setattr(changed.get_submodule(parent), leaf, WinogradConvolution(changed.get_submodule(name)))  # type: ignore[arg-type]
    return changed, len(found)
