"""The memory that is available, and the peak memory of this process."""

from contextlib import suppress
from pathlib import Path

import psutil


def available_memory_bytes() -> int:
    """Return the memory that new processes can use without swapping."""
    return int(psutil.virtual_memory().available)


def reset_peak_memory() -> None:
    """Start a new measurement of the peak, on Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory since `reset_peak_memory`; None on systems other than Linux."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None
