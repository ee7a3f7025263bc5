"""Where models compute: on the CPU, with how many threads, or on a GPU."""

import torch

from dataset.errors import UsageError


def use_device(device: str, threads: int | None = None) -> None:
    """Check that `device`, "cpu" or "cuda", is there, and use as many CPU threads (None: all).

    Raises:
        UsageError: there is no such device.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--device {device!r} is unknown; choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no CUDA GPU that torch can use; choose cpu")
