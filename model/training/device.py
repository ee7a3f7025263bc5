"""The device that models run on: the CPU, with a number of threads, or a GPU."""

import torch

from dataset.errors import UsageError


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
