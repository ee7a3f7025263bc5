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


def use_one_of_devices(name: str) -> str:
    """Make this process use one of several devices ("cpu", "cuda" or "cuda:1"), and return its kind: "cpu" or "cuda".

    Raises:
        UsageError: the device is unknown or not available.
    """
    kind, number = kind_and_number(name)
    if kind == "cuda":
        torch.cuda.set_device(number)
    return kind


def kind_and_number(name: str) -> tuple[str, int]:
    """Return the kind of a device, "cpu" or "cuda", and its number: of "cuda:1", the GPU number 1.

    Raises:
        UsageError: the device is unknown or not available.
    """
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not (number.isascii() and number.isdecimal()))):
        raise UsageError(f"device {name!r} is unknown; choose cpu, cuda, or one of several GPUs as in cuda:1")
    n_found = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= n_found:
        found = f"{n_found} CUDA GPU{'' if n_found == 1 else 's'}" if n_found else "no CUDA GPU"
        raise UsageError(f"device {name!r}: this machine has {found} that torch can use; choose another device")
    return kind, int(number or 0)


@contextmanager
def threads_for(numbers: int) -> Iterator[None]:
    """Inside the block, let torch use only as many threads as an operation on this many numbers keeps busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(_FEW, numbers // _NUMBERS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
