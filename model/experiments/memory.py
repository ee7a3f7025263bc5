"""The peak memory of a stretch of this process's life, where the system can tell (Linux)."""

from contextlib import suppress
from pathlib import Path


def reset_peak_memory() -> None:
    """Begin a new stretch: forget the peak so far."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """Return the most resident memory since `reset_peak_memory`; None on systems that do not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return None
