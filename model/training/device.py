"""The device that models run on: the CPU, with a number of threads, or a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dataset.errors import UsageError

_NUMBERS_PER_THREAD = 1 << 17  # fewer than this, and starting a thread costs more than it gives
_FEW = 2  # threads that are always used, so that the smallest machine's results do not depend on this rule


def use_device(device: str, threads: int | None = None) -> None:
    """Check that `device`, "cpu" or "cuda", is available, and set the number of CPU threads (None: all).

    Raises:
        UsageError: the device is unknown or not available.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device {device!r} is unknown; choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no CUDA GPU that torch can use; choose cpu")


@contextmanager
def threads_for(numbers: int) -> Iterator[None]:
    """Inside the block, let torch use only as many threads as an operation on this many numbers keeps busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(_FEW, numbers // _NUMBERS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
