"""What a GPU can do at most, measured on it: the limits of `bench_gpu`'s rows."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True)
class Card:
    """A GPU, or with `BENCH_GPU_DEVICE=cpu` this machine's processor in its place.

    Attributes:
        device: "cuda" or "cpu".
        is_tiny: whether all sizes are tiny, to test the benchmarks themselves.
        flops: floating-point operations per second of a bfloat16 matrix product.
        bytes_per_s: of a copy within the memory, read and written bytes together.
    """

    device: str
    is_tiny: bool
    flops: float
    bytes_per_s: float

    def floor_s(self, n_bytes: float, n_flops: float) -> float:
        """Return the shortest time in which this card can move so many bytes and multiply so much."""
        return max(n_bytes / self.bytes_per_s, n_flops / self.flops)


def chosen_device() -> str:
    """Return the device to measure, "cuda" unless `BENCH_GPU_DEVICE` says otherwise."""
    return os.environ.get("BENCH_GPU_DEVICE", "cuda")


@cache
def the_card() -> Card:
    """Measure the limits, once in a run, with random numbers: products of zeros are faster."""
    device, is_tiny = chosen_device(), os.environ.get("BENCH_GPU_TINY") == "1"
    n = 256 if is_tiny else 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    product_s = median_s(lambda: a @ b, device, 2 if is_tiny else 10)
    source = torch.randint(1 << 30, (1 << 16 if is_tiny else 1 << 28,), dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    copy_s = median_s(lambda: target.copy_(source), device, 2 if is_tiny else 10)
    return Card(device, is_tiny, 2 * n**3 / product_s, 2 * source.nbytes / copy_s)


def median_s(work: Callable[[], object], device: str, repeats: int) -> float:
    """Return the median seconds of some runs, after two that are not counted."""
    took = []
    for number in range(repeats + 2):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        if number >= 2:
            took.append(time.perf_counter() - started)
    return sorted(took)[len(took) // 2]


def synchronise(device: str) -> None:
    """Wait until the device has done all its work."""
    if device == "cuda":
        torch.cuda.synchronize()
