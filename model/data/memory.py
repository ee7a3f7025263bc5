"""The memory that is left, and the refusal of what does not fit into it."""

from contextlib import suppress
from pathlib import Path

import torch

from dataset.errors import TrainingError

_GIB = 1 << 30
_MEMINFO, _CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Return the memory that this process can still take, or None if the system does not report it (macOS, Windows).

    Memory that holds only copies of files counts as available. The limit of a container counts (cgroups version 2).
    """
    with suppress(OSError, IndexError, ValueError):
        text = _MEMINFO.read_text(encoding="ascii", errors="replace")
        return int(min(int(text.split("MemAvailable:")[1].split()[0]) * 1024, _left_in_container()))
    return None


def _left_in_container() -> float:
    """Return what the container's limit leaves; infinity without a limit."""
    with suppress(OSError, IndexError, ValueError):
        limit, used = (int((_CONTAINER / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        files = int((_CONTAINER / "memory.stat").read_text(encoding="ascii").split("inactive_file ")[1].split()[0])
        return max(0, limit - used + files)
    return float("inf")


def require_memory(n_bytes: int, what: str, remedy: str, device: torch.device | None = None) -> None:
    """Check that `n_bytes` more fit into the memory, before they are taken.

    Raises:
        TrainingError: they do not; the message says how many `what` needs, how many are left, and the remedy.
    """
    where, left = "of memory", available_memory_bytes()
    if device is not None and device.type == "cuda":
        where, left = "of GPU memory", torch.cuda.mem_get_info(device)[0]
    if left is not None and n_bytes > left:
        raise TrainingError(
            f"{what} needs about {n_bytes / _GIB:.1f} GiB {where}, and {left / _GIB:.1f} GiB are left; {remedy}"
        )
