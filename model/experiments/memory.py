"""The memory that this process has used, on systems that report it, and the cores that it may use."""

import os
from contextlib import suppress
from pathlib import Path


def reset_peak_memory() -> None:
    """Start a new measurement: forget the peak so far (Linux only; elsewhere nothing happens)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """Return the highest resident memory since `reset_peak_memory`, or None if the system does not report it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None


def usable_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
